package cib

import "testing"

func TestPropertyName(t *testing.T) {
	for _, c := range []struct{ present, ask, want string }{
		{"", "fencing-enabled", "stonith-enabled"},
		{"", "stonith-timeout", "stonith-timeout"},
		{"stonith-enabled", "fencing-action", "stonith-action"},
		{"fencing-enabled", "stonith-action", "fencing-action"},
		{"fencing-enabled", "stonith-enabled", "fencing-enabled"},
		{"stop-removed-resources", "stop-orphan-actions", "cancel-removed-actions"},
		{"", "crmd-transition-delay", "transition-delay"},
		{"crmd-transition-delay", "transition-delay", "crmd-transition-delay"},
		{"", "no-quorum-policy", "no-quorum-policy"},
		{"", "nothing-known", "nothing-known"},
	} {
		doc := New()
		if c.present != "" {
			doc.Section("crm_config").Add(NewElement("cluster_property_set", "id", "s").Add(NewElement("nvpair", "id", "p", "name", c.present, "value", "1")))
		}
		if got := doc.PropertyName(c.ask); got != c.want {
			t.Errorf("with %q, %s is spelled %s, want %s", c.present, c.ask, got, c.want)
		}
	}
}

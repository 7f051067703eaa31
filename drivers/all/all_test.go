package all

import (
	"slices"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/meta"
)

func TestEveryNativeAgentDescribesItself(t *testing.T) {
	natives := Natives()
	if len(natives) < 5 {
		t.Errorf("only %d native agents", len(natives))
	}
	for name, agent := range natives {
		text, err := agent.Metadata(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, err := meta.Parse(text)
		if err != nil || m.Name != name.Type || m.Short == "" {
			t.Errorf("%s: %v, %+v", name, err, m)
			continue
		}
		for _, action := range []string{drivers.Start, drivers.Stop, drivers.Monitor, drivers.MetaData, drivers.Validate} {
			if !m.HasAction(action) {
				t.Errorf("%s does not describe %s", name, action)
			}
		}
	}
}

func TestRegistryWithoutAnyPackage(t *testing.T) {
	r := Registry(Options{OCFRoot: t.TempDir()})
	for name := range Natives() {
		_, src, err := r.Lookup(name)
		if err != nil || src.Kind != "native" {
			t.Errorf("%s: %+v, %v", name, src, err)
		}
	}
	if !slices.Contains(r.List("ocf", "heartbeat"), "Dummy") {
		t.Error("Dummy is not listed")
	}
}

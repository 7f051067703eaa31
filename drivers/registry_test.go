package drivers

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type label string

func (label) Metadata(context.Context) (string, error) { return "", nil }
func (label) Run(context.Context, Request) Result      { return Result{} }

// table is a finder over a fixed list of names; a name with "!" in its value
// exists but cannot be run.
type table map[Name]string

func (t table) Find(n Name) (Agent, Source, error) {
	switch p, ok := t[n]; {
	case !ok:
		return nil, Source{}, &NotFoundError{Name: n, Places: []string{"/ocf/" + n.Provider + "/" + n.Type}}
	case strings.HasSuffix(p, "!"):
		return nil, Source{}, &UnusableError{n, p, "is not executable"}
	default:
		return label(p), Source{Kind: "script", Path: p}, nil
	}
}

func (t table) Providers() (out []string) {
	for n := range t {
		if n.Provider != "" && !slices.Contains(out, n.Provider) {
			out = append(out, n.Provider)
		}
	}
	slices.Sort(out)
	return out
}

func (t table) Types(provider string) (out []string) {
	for n := range t {
		if provider == "" || n.Provider == provider {
			out = append(out, n.Type)
		}
	}
	return out
}

func testRegistry(prefs Preferences) *Registry {
	return NewRegistry(map[Name]Agent{
		{"ocf", "heartbeat", "IPaddr2"}: label("native IPaddr2"),
		{"ocf", "heartbeat", "Dummy"}:   label("native Dummy"),
		{"ocf", "pacemaker", "Dummy"}:   label("native pacemaker Dummy"),
	}, map[string]Finder{
		"ocf": table{
			{"ocf", "heartbeat", "Dummy"}:   "/ocf/heartbeat/Dummy",
			{"ocf", "heartbeat", "IPaddr2"}: "/ocf/heartbeat/IPaddr2!",
			{"ocf", "heartbeat", "apache"}:  "/ocf/heartbeat/apache",
			{"ocf", "heartbeat", "broken"}:  "/ocf/heartbeat/broken!",
		},
		"lsb":     table{{Class: "lsb", Type: "cron"}: "/etc/init.d/cron"},
		"systemd": table{{Class: "systemd", Type: "cron"}: "cron.service", {Class: "systemd", Type: "ssh"}: "ssh.service"},
	}, prefs)
}

func TestLookupChoosesBetweenScriptAndNative(t *testing.T) {
	native := Preferences{Default: PreferNative}
	mixed, err := ParsePreferences("native, ocf:heartbeat:Dummy=script")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		prefs Preferences
		name  string
		want  label
		kind  string
	}{
		{Preferences{}, "ocf:heartbeat:Dummy", "/ocf/heartbeat/Dummy", "script"},
		{native, "ocf:heartbeat:Dummy", "native Dummy", "native"},
		{mixed, "ocf:heartbeat:Dummy", "/ocf/heartbeat/Dummy", "script"},
		{mixed, "ocf:pacemaker:Dummy", "native pacemaker Dummy", "native"},
		{Preferences{}, "ocf:pacemaker:Dummy", "native pacemaker Dummy", "native"},
		{Preferences{}, "ocf:heartbeat:IPaddr2", "native IPaddr2", "native"}, // the script is not executable
		{native, "ocf:heartbeat:apache", "/ocf/heartbeat/apache", "script"},  // no native
		{Preferences{}, "service:cron", "/etc/init.d/cron", "script"},
		{Preferences{}, "service:ssh", "ssh.service", "script"},
	} {
		n, _ := ParseName(c.name)
		got, src, err := testRegistry(c.prefs).Lookup(n)
		if err != nil || got != Agent(c.want) || src.Kind != c.kind {
			t.Errorf("%s: got %v from %+v, %v; want %v, %s", c.name, got, src, err, c.want, c.kind)
		}
	}
}

func TestLookupOfMissingAgentNamesThePlaces(t *testing.T) {
	r := testRegistry(Preferences{})
	for name, words := range map[string][]string{
		"ocf:heartbeat:IPadr2":  {"/ocf/heartbeat/IPadr2", "built-in", "did you mean ocf:heartbeat:IPaddr2?"},
		"ocf:pacemaker:IPaddr2": {"did you mean ocf:heartbeat:IPaddr2?"},
		"service:nginx":         {"/ocf//nginx"},
		"upstart:x":             {"class upstart", "lsb, ocf, service, systemd"},
	} {
		n, _ := ParseName(name)
		_, _, err := r.Lookup(n)
		var missing *NotFoundError
		if !errors.As(err, &missing) {
			t.Errorf("%s: %v is not a NotFoundError", name, err)
			continue
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", name, err, w)
			}
		}
	}
	_, _, err := r.Lookup(Name{"ocf", "heartbeat", "broken"})
	if u := (*UnusableError)(nil); !errors.As(err, &u) {
		t.Errorf("broken: %v", err)
	}
}

func TestLists(t *testing.T) {
	r := testRegistry(Preferences{})
	for _, c := range []struct{ got, want []string }{
		{r.Classes(), []string{"lsb", "ocf", "service", "systemd"}},
		{r.List("ocf", "heartbeat"), []string{"Dummy", "IPaddr2", "apache", "broken"}},
		{r.List("ocf", ""), []string{"Dummy", "IPaddr2", "apache", "broken"}},
		{r.List("service", ""), []string{"cron", "ssh"}},
		{r.Providers("Dummy"), []string{"heartbeat", "pacemaker"}},
		{r.Providers(""), []string{"heartbeat", "pacemaker"}},
		{r.Providers("nothing"), nil},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestPreferenceErrors(t *testing.T) {
	for _, s := range []string{"maybe", "ocf:heartbeat:Dummy=perhaps", "x=native"} {
		if _, err := ParsePreferences(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

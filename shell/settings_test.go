package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What options save wrote, another session loads, except what its command line
// says; force is never saved.
func TestSettingsAreSavedAndLoaded(t *testing.T) {
	dir := t.TempDir()
	session := func() *Session {
		s, _ := emptySession(t)
		s.cfg.Environ = func(name string) string {
			if name == "XDG_CONFIG_HOME" {
				return dir
			}
			return ""
		}
		return s
	}
	s := session()
	if !s.RunScript(t.Context(), "t", "options set wait yes\noptions set output json\noptions set wait-timeout 90s\noptions set force yes\noptions save\n") {
		t.Fatal("options save fails")
	}
	path := filepath.Join(dir, "gcrm", "settings")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st, err)
	}
	s = session()
	if err := s.LoadSettings(map[string]bool{"output": true}); err != nil {
		t.Fatal(err)
	}
	if !s.cfg.Wait || s.cfg.Format != "text" || s.cfg.WaitTimeout.Seconds() != 90 || s.cfg.Force {
		t.Errorf("loaded %+v", s.cfg)
	}
	if err := os.WriteFile(path, []byte("# x\noutput = yaml\nnonsense\nforce = yes\nwait=no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.LoadSettings(nil)
	if err == nil || s.cfg.Wait || s.cfg.Force {
		t.Fatalf("%v, %+v", err, s.cfg)
	}
	for _, want := range []string{"settings:2: output:", "settings:3:", `settings:4: "force"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell %q", err, want)
		}
	}
	if err := session().LoadSettings(nil); err == nil {
		t.Error("the mistakes are told only once")
	}
}

// commit -m keeps the message with the version.
func TestCommitMessageIsRecorded(t *testing.T) {
	m := newMemoryCluster(t)
	s, _, errs := liveSession(t, m)
	for _, l := range []string{"configure", "primitive a Dummy params ip=1", `commit -m "the reason why"`} {
		s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
	}
	if len(m.log) == 0 || m.log[len(m.log)-1].Origin.Message != "the reason why" {
		t.Errorf("%s%+v", errs, m.log)
	}
	if s.run(t.Context(), &sourceLine{line: readTestLine("commit -m"), text: "commit -m"}) {
		t.Error("-m without a text is accepted")
	}
}

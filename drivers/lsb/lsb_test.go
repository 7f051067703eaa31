package lsb

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/meta"
)

const script = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          web
# Short-Description: The web server
# Description:       It serves pages
#   to everybody.
# Default-Start:     2 3 4 5
### END INIT INFO
STATE=@DIR@/state
case "$1" in
start) touch $STATE ;;
stop) rm -f $STATE ;;
status) [ -e @DIR@/slow ] && sleep 30; [ -e $STATE ] || exit 3 ;;
restart) echo "cannot restart today" >&2; exit 9 ;;
reload) [ "$_SYSTEMCTL_SKIP_REDIRECT" = 1 ] && exit 0; exit 1 ;;
*) exit 2 ;;
esac
`

func setUp(t *testing.T) (agenttest.Subject, string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web"), []byte(strings.ReplaceAll(script, "@DIR@", dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	name := drivers.Name{Class: "lsb", Type: "web"}
	agent, src, err := NewFinder(dir).Find(name)
	if err != nil || src.Path != filepath.Join(dir, "web") {
		t.Fatal(err, src)
	}
	return agenttest.Subject{Agent: agent, Name: name, Node: agenttest.NewNode(t, "node1")}, dir
}

func TestContract(t *testing.T) {
	s, dir := setUp(t)
	s.Break = func(*testing.T) { os.Remove(filepath.Join(dir, "state")) }
	agenttest.Contract(t, s)
}

func TestTimeLimit(t *testing.T) {
	s, dir := setUp(t)
	if err := os.WriteFile(filepath.Join(dir, "slow"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Timeout = 200 * time.Millisecond
	began := time.Now()
	if res := s.Do(t.Context(), drivers.Monitor); res.Status != drivers.TimedOut || time.Since(began) > 3*time.Second {
		t.Errorf("%+v", res)
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[int]drivers.RC{0: 0, 1: 7, 2: 7, 3: 7, 4: 1, 150: 5, 151: 4, 200: 1} {
		if got := statusCode(code); got != want {
			t.Errorf("status %d: %v", code, got)
		}
	}
	for code, want := range map[int]drivers.RC{0: 0, 1: 1, 5: 5, 7: 7, 8: 1, 150: 1} {
		if got := actionCode(code); got != want {
			t.Errorf("action %d: %v", code, got)
		}
	}
	s, _ := setUp(t)
	if res := s.Want(t, "restart", drivers.GenericError); !strings.Contains(res.Reason, "exit code 9: cannot restart today") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Reload, drivers.OK)
	s.Want(t, drivers.Promote, drivers.Unimplemented)
}

func TestHeader(t *testing.T) {
	s, _ := setUp(t)
	text, err := s.Agent.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := meta.Parse(text)
	if err != nil || m.Short != "The web server" || m.Long != "It serves pages to everybody." {
		t.Errorf("%+v %v", m, err)
	}
}

func TestFinder(t *testing.T) {
	_, dir := setUp(t)
	f := NewFinder(dir)
	if got := f.Types(""); !slices.Equal(got, []string{"web"}) {
		t.Errorf("%q", got)
	}
	if _, _, err := f.Find(drivers.Name{Class: "lsb", Type: "README"}); !errors.As(err, new(*drivers.UnusableError)) {
		t.Error(err)
	}
	for _, typ := range []string{"nginx", "../web", ""} {
		if _, _, err := f.Find(drivers.Name{Class: "lsb", Type: typ}); !errors.As(err, new(*drivers.NotFoundError)) {
			t.Errorf("%q: %v", typ, err)
		}
	}
}

package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/node"
)

// What would go wrong after joining is told before, and the token is still good.
func TestJoinIsProbed(t *testing.T) {
	t.Parallel() // it waits more than it works
	hosts := cluster(t, 1, nil)
	contact := hostAddress(t, hosts[0])
	token := hosts[0].token()
	try := func(name, address, token string) error {
		_, err := Join(t.Context(), JoinOptions{StateDir: t.TempDir(), Node: name, Address: address, Contact: contact, Token: token})
		return err
	}
	for _, tt := range []struct{ what, name, address, token, want string }{
		{"a name that is taken", "n1", freeAddress(t), token, "already"},
		{"the same name in capitals", "N1", freeAddress(t), token, "already"},
		{"no token", "n2", freeAddress(t), "gcrm1.x", "not a join token"},
		{"a used token", "n2", freeAddress(t), node.Token{Secret: "used", Fingerprint: fingerprintOf(t, token)}.String(), "not known or was used"},
		{"another cluster's token", "n2", freeAddress(t), node.Token{Secret: "s", Fingerprint: strings.Repeat("0", 64)}.String(), "does not belong to the cluster"},
		{"an address that is in use", "n2", contact, token, "in use"},
	} {
		if err := try(tt.name, tt.address, tt.token); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
	}
}

// A node that the new one could not reach is told before.
func TestJoinNeedsTheWayToEveryNode(t *testing.T) {
	t.Parallel() // it waits more than it works
	// Its port is closed at once; the others notice the crash much later.
	hosts := cluster(t, 3, func(h *host) { h.detection = 10 * time.Second })
	token, c := hosts[0].token(), hosts[0].client()
	hosts[2].crash()
	_, err := Join(t.Context(), JoinOptions{StateDir: t.TempDir(), Node: "n4", Address: freeAddress(t), Contact: hostAddress(t, hosts[0]), Token: token})
	if i, ierr := c.Info(t.Context()); ierr != nil || !slices.ContainsFunc(i.Members, func(m client.Member) bool { return m.Name == "n3" && m.Online }) {
		t.Skipf("this machine is too busy: the crash was noticed before (%+v, %v); told: %v", i, ierr, err)
	}
	if err == nil || !strings.Contains(err.Error(), "n3 cannot be reached") || !strings.Contains(err.Error(), "firewall-cmd") {
		t.Errorf("%v", err)
	}
}

func fingerprintOf(t *testing.T, token string) string {
	parsed, err := node.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Fingerprint
}

func TestCheckCommand(t *testing.T) {
	h := newHost(t)
	var out strings.Builder
	status := ClusterCommand(t.Context(), []string{"check", "gfs2", "--state-dir", h.dir, "--socket", h.socket(), "--address", freeAddress(t), "--node", "n1"}, Streams{Out: &out, Err: &out})
	for _, want := range []string{"ports", "clock", "watchdog", "kernel modules for gfs2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing (status %d) in\n%s", want, status, out.String())
		}
	}
	if _, err := os.Stat(filepath.Join(h.dir, settingsFile)); err == nil {
		t.Error("checking made a node")
	}
}

package embedded

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/drivers/ocf"
	"gcrm/drivers/secret"
)

// scripted is a registry with one more agent, an OCF script.
func scripted(t *testing.T, provider, name, script string) *drivers.Registry {
	t.Helper()
	root := t.TempDir()
	path := filepath.Join(root, "resource.d", provider, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return drivers.NewRegistry(maps.Clone(all.Natives()), map[string]drivers.Finder{"ocf": ocf.NewFinder(root)}, drivers.Preferences{Default: drivers.PreferNative})
}

// loginAgent writes the password it was given to a file of its node when it is
// started, and says it in its error when it is told to fail.
const loginAgent = `#!/bin/sh
f="$OCF_RESKEY_folder/$OCF_RESOURCE_INSTANCE.$OCF_RESKEY_CRM_meta_on_node"
case $1 in
start) [ "$OCF_RESKEY_password" != wrong-secret ] || { echo "ocf-exit-reason:cannot log in with $OCF_RESKEY_password" >&2; exit 1; }
       echo "$OCF_RESKEY_password" > "$f";;
stop) rm -f "$f";;
monitor) [ -f "$f" ] || exit 7;;
meta-data) cat <<X
<resource-agent name="login"><version>1</version><parameters>
<parameter name="password"><content type="string"/></parameter><parameter name="folder"><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions></resource-agent>
X
;;
*) exit 3;;
esac
`

func secretStates(a *client.SecretAnswer) string {
	var out []string
	for _, n := range a.Nodes {
		out = append(out, n.Node+"="+n.State)
	}
	return strings.Join(out, " ")
}

func TestSecretsReachAllNodesAndNothingElse(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	c := start(t, Config{Nodes: 3, StateDir: dir, Agents: scripted(t, "test", "login", loginAgent)})
	h := connect(t, c, 1)
	set(t, h, "stonith-enabled", "false")
	change := func(value *string) {
		t.Helper()
		eventually(t, patience, "there is a quorum to change it", func() bool {
			a, err := h.SetSecret(t.Context(), client.SecretRequest{Resource: "db", Parameter: "password", Value: value})
			if errors.Is(err, client.ErrNoLeader) { // while one is elected
				return false
			}
			if err != nil || strings.Contains(secretStates(a), client.SecretFailed) {
				t.Fatalf("%+v %v", a, err)
			}
			return true
		})
	}
	put := func(value string) { t.Helper(); change(&value) }
	states := func(h *client.HTTP) string {
		t.Helper()
		a, err := h.Secret(t.Context(), "db", "password")
		if err != nil {
			t.Fatal(err)
		}
		return secretStates(a)
	}
	put("first-secret")
	if got := states(h); got != "node1=held node2=held node3=held" {
		t.Errorf("after set: %s", got)
	}
	alter(t, h, func(conf *cib.Element) {
		db := primitive("db", "login", "password", "lrm://", "folder", folder)
		db.Set("provider", "test")
		clone := cib.NewElement("clone", "id", "db-clone")
		clone.Add(db)
		conf.Child("resources").Add(clone)
	})
	told := func(node string) string {
		b, _ := os.ReadFile(filepath.Join(folder, "db."+node))
		return strings.TrimSpace(string(b))
	}
	eventually(t, patience, "all instances start with the value", func() bool {
		return told("node1") == "first-secret" && told("node2") == "first-secret" && told("node3") == "first-secret"
	})

	// A node that is away when the value changes gets it when it is back.
	if err := c.Kill(3); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the node is seen to be away", func() bool { return strings.Contains(states(h), "node3=away") })
	put("second-secret")
	if got := states(h); got != "node1=held node2=held node3=away" {
		t.Errorf("with a node away: %s", got)
	}
	if err := c.Restart(3); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the node that came back has the new value", func() bool { return states(h) == "node1=held node2=held node3=held" })
	third := connect(t, c, 3)
	if a, err := third.Secret(t.Context(), "db", "password"); err != nil || a.Value == nil || *a.Value != "second-secret" {
		t.Errorf("asked of that node: %+v %v", a, err)
	}

	// Damage on one node is told.
	if err := os.WriteFile(filepath.Join(dir, "node2", "secrets", "db", "password"), []byte("third\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := states(h); got != "node1=held node2=damaged node3=held" {
		t.Errorf("with a damaged value: %s", got)
	}
	put("wrong-secret") // mends it, too
	if got := states(h); got != "node1=held node2=held node3=held" {
		t.Errorf("set again: %s", got)
	}

	// What the agent says of it does not get into the history.
	alter(t, h, func(conf *cib.Element) {
		db := conf.Child("resources").ChildByID("db-clone").ChildByID("db")
		db.Child("instance_attributes").Add(cib.NewElement("nvpair", "id", "db-x", "name", "x", "value", "1"))
	})
	eventually(t, patience, "the failed start is recorded", func() bool {
		return strings.Contains(document(t, h).Root.String(), "cannot log in with ******")
	})

	// Removed everywhere, also on a node that was away.
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the node is seen to be away", func() bool { return strings.Contains(states(h), "node2=away") })
	change(nil)
	if err := c.Restart(2); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the node that came back forgets it", func() bool { return states(h) == "node1=missing node2=missing node3=missing" })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	// Nothing that the cluster wrote holds a value: neither the log of the
	// CIB, nor audit logs, nor the program's log.
	read := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		read += len(b)
		for _, value := range []string{"first-secret", "second-secret", "wrong-secret"} {
			if strings.Contains(string(b), value) {
				t.Errorf("%s holds %s", path, value)
			}
		}
		return err
	})
	if err != nil || read < 10000 {
		t.Errorf("%d bytes read: %v", read, err)
	}
}

func TestSecretsOfOddNames(t *testing.T) {
	if secret.Marker != cib.SecretMarker {
		t.Error("the rooms do not agree on the marker")
	}
	h := connect(t, start(t, Config{Nodes: 1}), 1)
	value := "x"
	for _, r := range []client.SecretRequest{{Resource: "../../etc", Parameter: "p", Value: &value}, {Resource: "r", Parameter: "a/b", Value: &value}, {Resource: "r", Parameter: "", Value: &value}} {
		if _, err := h.SetSecret(t.Context(), r); err == nil {
			t.Errorf("%q %q is accepted", r.Resource, r.Parameter)
		}
	}
}

func TestActionsByHand(t *testing.T) {
	folder := t.TempDir()
	c := start(t, Config{Nodes: 2, Agents: scripted(t, "test", "login", loginAgent)})
	h := connect(t, c, 1)
	set(t, h, "stonith-enabled", "false")
	act := func(node, resource, action string) (*client.ActAnswer, error) {
		return h.Act(t.Context(), client.ActRequest{Node: node, Resource: resource, Class: "ocf", Provider: "test", Type: "login", Action: action,
			Timeout: 20 * time.Second, Params: map[string]string{"folder": folder, "password": "plain"}})
	}
	run := func(node, action string, rc int) {
		t.Helper()
		if a, err := act(node, "db", action); err != nil || a.RC != rc {
			t.Errorf("%s on %s: %+v %v, want %d", action, node, a, err, rc)
		}
	}
	for _, node := range []string{"node1", "node2"} { // here and elsewhere
		run(node, "monitor", 7)
		run(node, "start", 0)
		run(node, "monitor", 0)
		run(node, "stop", 0)
		run(node, "nonsense", 3)
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*"))
	if len(files) != 0 {
		t.Errorf("left behind: %q", files)
	}
	// What the cluster manages is left to it.
	alter(t, h, func(conf *cib.Element) {
		db := primitive("db", "login", "password", "x", "folder", folder)
		db.Set("provider", "test")
		conf.Child("resources").Add(db)
	})
	eventually(t, patience, "the resource runs", func() bool {
		files, _ := filepath.Glob(filepath.Join(folder, "db.*"))
		return len(files) == 1
	})
	for _, action := range []string{"start", "stop", "promote"} {
		// While the cluster is at work on it, it says so.
		eventually(t, patience, action+" of what runs is refused with a remedy", func() bool {
			a, err := act("node2", "db", action)
			if err == nil {
				t.Fatalf("%s of what runs: %+v", action, a)
			}
			return strings.Contains(err.Error(), "resource stop db")
		})
	}
	if _, err := act("node2", "db", "monitor"); err != nil {
		t.Errorf("looking is allowed: %v", err)
	}
	meta := func(name, value string) {
		alter(t, h, func(conf *cib.Element) {
			db := conf.Child("resources").ChildByID("db")
			db.Children = slices.DeleteFunc(db.Children, func(e *cib.Element) bool { return e.Name == "meta_attributes" })
			m := cib.NewElement("meta_attributes", "id", "db-m")
			m.Add(cib.NewElement("nvpair", "id", "db-m-1", "name", name, "value", value))
			db.Add(m)
		})
	}
	meta("is-managed", "false")
	eventually(t, patience, "an unmanaged one is free", func() bool { _, err := act("node2", "db", "stop"); return err == nil })
	meta("target-role", "Stopped")
	eventually(t, patience, "a stopped one is free", func() bool { _, err := act("node2", "db", "stop"); return err == nil })
	for _, bad := range []client.ActRequest{{Node: "node9", Resource: "r", Class: "ocf", Type: "x", Action: "start", Timeout: time.Second},
		{Node: "node1", Resource: "r", Class: "ocf", Type: "x", Action: "start"}, {Node: "node1", Timeout: time.Second}} {
		if a, err := h.Act(t.Context(), bad); err == nil {
			t.Errorf("%+v: %+v", bad, a)
		}
	}
	if a, err := h.Act(t.Context(), client.ActRequest{Node: "node2", Resource: "r", Class: "ocf", Provider: "x", Type: "none", Action: "start", Timeout: time.Second}); err != nil || a.RC != 5 {
		t.Errorf("no such agent: %+v %v", a, err)
	}
}

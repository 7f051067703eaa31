package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

func TestInitJoinLeaveReturn(t *testing.T) {
	t.Parallel() // it waits more than it works
	one, two, three := newHost(t), newHost(t), newHost(t)
	s, err := Init(InitOptions{StateDir: one.dir, Cluster: "c", Node: "node1", Address: freeAddress(t), Detection: one.detection})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{StateDir: one.dir, Cluster: "c"}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("second init: %v", err)
	}
	one.run()
	c1 := one.client()
	members(t, c1, "node1*")

	token := one.token()
	join := JoinOptions{StateDir: two.dir, Node: "node2", Address: freeAddress(t), Contact: s.Addresses[0], Token: token}
	for name, change := range map[string]func(*JoinOptions){
		"not a join token": func(o *JoinOptions) { o.Token = "nonsense" },
		"already; choose":  func(o *JoinOptions) { o.Node = "NODE1" },
		"no name":          func(o *JoinOptions) { o.Node = "a b" },
		"does not belong": func(o *JoinOptions) {
			o.Token = strings.Replace(token, token[len(token)-8:], "AAAAAA"+token[len(token)-2:], 1)
		},
	} {
		bad := join
		change(&bad)
		if _, err := Join(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) && name != "does not belong" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Join(t.Context(), join); err != nil {
		t.Fatal(err)
	}
	again := join
	again.StateDir, again.Node, again.Address = three.dir, "node3", freeAddress(t)
	if _, err := Join(t.Context(), again); err == nil || !strings.Contains(err.Error(), "used already") {
		t.Errorf("a token was good for two nodes: %v", err)
	}
	two.run()
	members(t, c1, "node1* node2*")
	c2 := two.client()
	again.Token = two.token()
	if _, err := Join(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	three.run()
	members(t, c2, "node1* node2* node3*")
	wait(t, "the third node has the document", func() error {
		doc, err := three.client().CIB(t.Context(), true)
		if err == nil && (len(doc.Nodes()) != 3 || doc.NodeState("3").Get("crmd") != "online") {
			err = fmt.Errorf("it is %s", doc)
		}
		return err
	})

	// Nodes leave one after the other, the leader first; the last one goes on.
	one.stop()
	members(t, c2, "(node1) node2* node3*")
	three.stop()
	members(t, c2, "(node1) node2* (node3)")
	wait(t, "the last node commits", func() error {
		_, err := c2.Apply(t.Context(), cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "2", Name: "x", Value: "1"}}}}})
		return err
	})
	one.run()
	members(t, c2, "node1* node2* (node3)")

	// One that is gone for good is forgotten, and its id is not used again.
	if err := c2.RemoveNode(t.Context(), "node1"); err == nil {
		t.Error("a node that is online was removed")
	}
	wait(t, "node3 is removed", func() error { return c2.RemoveNode(t.Context(), "node3") })
	members(t, c2, "node1* node2*")
	token = two.token()
	four := newHost(t)
	f, err := Join(t.Context(), JoinOptions{StateDir: four.dir, Node: "node3", Address: freeAddress(t), Contact: s.Addresses[0], Token: token})
	if err != nil || f.ID != "4" {
		t.Errorf("joined as id %s: %v", f.ID, err)
	}
}

// With both nodes down and one of them back, an administrator can make it go
// on alone.
func TestForceAlone(t *testing.T) {
	t.Parallel() // it waits more than it works
	hosts := cluster(t, 2, nil)
	c := hosts[0].client()
	if err := c.ForceAlone(t.Context(), "n2", "verified"); err == nil {
		t.Error("a cluster with quorum was forced")
	}
	hosts[1].crash()
	if err := c.ForceAlone(t.Context(), "n2", "it looks down"); err == nil {
		t.Error("forced without the administrator's word")
	}
	wait(t, "n1 goes on alone", func() error { return c.ForceAlone(t.Context(), "n2", "i verified it is down") })
	members(t, c, "n1* (n2)")
	hosts[1].run()
	members(t, c, "n1* n2*")
}

// fenceAgent is a power switch with a file for every node that is off.
const fenceAgent = `#!/bin/sh
while read -r line; do
	case "$line" in
	action=*) action=${line#action=} ;;
	plug=*|port=*) plug=${line#*=} ;;
	esac
done
case "$action" in
metadata)
	cat <<XML
<?xml version="1.0" ?>
<resource-agent name="fence_files" shortdesc="test"><longdesc>test</longdesc>
<parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="off"/><shortdesc lang="en">action</shortdesc></parameter>
<parameter name="plug" unique="0" required="1"><content type="string"/><shortdesc lang="en">plug</shortdesc></parameter>
</parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="monitor"/><action name="metadata"/></actions>
</resource-agent>
XML
	;;
off) touch "DIR/off-$plug" "DIR/fenced-$plug" ;;
on) rm -f "DIR/off-$plug" ;;
status) [ ! -e "DIR/off-$plug" ] || exit 2 ;;
monitor) ;;
*) exit 1 ;;
esac
`

// switchFolder is a folder with the fence agent, in which nodes are switched.
func switchFolder(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fence_files"), []byte(strings.ReplaceAll(fenceAgent, "DIR", dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// addSwitch enters the fence device of n1 and n2.
func addSwitch(conf *cib.Element) {
	conf.Ensure("resources").Add(cib.NewElement("primitive", "id", "switch", "class", "stonith", "type", "fence_files").Add(
		cib.NewElement("instance_attributes", "id", "ia").Add(cib.NewElement("nvpair", "id", "hl", "name", "pcmk_host_list", "value", "n1 n2"))))
	setProperty(conf, "stonith-action", "off")
}

// The survivor of two hosts fences the other with the device of the
// configuration, has its power read back, and goes on alone.
func TestSurvivorFencesWithDevice(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := switchFolder(t)
	hosts := cluster(t, 2, func(h *host) { h.agents = dir })
	one, two := hosts[0], hosts[1]
	c := one.client()
	edit(t, c, addSwitch)
	begin := time.Now()
	two.crash()
	members(t, c, "n1* (n2)")
	t.Logf("alone after %v", time.Since(begin))
	if _, err := os.Stat(filepath.Join(dir, "off-n2")); err != nil {
		t.Error(err)
	}
	history, err := os.ReadFile(filepath.Join(one.dir, "fencing.jsonl"))
	if err != nil || !strings.Contains(string(history), `"Proof":"read-back"`) {
		t.Errorf("history: %v\n%s", err, history)
	}
	list, err := c.Fencings(t.Context())
	if err != nil || len(list) == 0 || list[0].Target != "n2" || list[0].State != "done" || list[0].Proof != "read-back" {
		t.Errorf("history through the API: %+v, %v", list, err)
	}
	if _, err := c.Fence(t.Context(), "n9", "off"); err == nil {
		t.Error("a node that does not exist was fenced")
	}
	if proof, err := c.Fence(t.Context(), "n2", "off"); err != nil || !strings.Contains(proof, "read-back") {
		t.Errorf("fencing by hand: %q, %v", proof, err)
	}
	if err := os.Remove(filepath.Join(dir, "off-n2")); err != nil {
		t.Fatal(err)
	}
	two.run()
	members(t, c, "n1* n2*")
}

package shell

import (
	"testing"

	"gcrm/cluster/client"
)

func TestRehearsalText(t *testing.T) {
	got := rehearsalText([]client.Rehearsed{
		{Node: "b", Resource: "ip", Action: "stop", Agent: "ocf:heartbeat:IPaddr2", Steps: []string{"ip addr del 192.0.2.1/24 dev eth0"}},
		{Node: "a", Resource: "ip", Action: "start", Agent: "ocf:heartbeat:IPaddr2", Steps: []string{"ip addr add 192.0.2.1/24 dev eth0", "arping"}},
		{Node: "a", Resource: "web", Action: "start", Agent: "ocf:heartbeat:mine", Unclear: "agent is not installed"},
		{Node: "b", Resource: "x", Action: "stop", Agent: "systemd:x"},
	})
	want := `On a:
  2. start ip (ocf:heartbeat:IPaddr2)
       ip addr add 192.0.2.1/24 dev eth0
       arping
  3. start web (ocf:heartbeat:mine)
       (agent is not installed)
On b:
  1. stop ip (ocf:heartbeat:IPaddr2)
       ip addr del 192.0.2.1/24 dev eth0
  4. stop x (systemd:x)
       (nothing: the host is as wanted)
The numbers are the order in which the actions could follow each other.
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := rehearsalText(nil); got != "nothing would be carried out on any node\n" {
		t.Error(got)
	}
}

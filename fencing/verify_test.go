package fencing

import (
	"strings"
	"testing"
)

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      []string // parts of the problems, in order
	}{
		{"all is well", "node a\nnode b\ndevice p fence_off pcmk_host_list=a,b", nil},
		{"one node is left out", "node a\nnode b\ndevice p fence_off pcmk_host_list=a", []string{"warning: b: no fence device"}},
		{"kdump alone", "node a\ndevice k fence_kdump", []string{"a: nothing that can fence the node (k) is proof"}},
		{"null alone", "node a\ndevice n fence_null pcmk_host_list=a", []string{"proof by itself"}},
		{"kdump first", "node a\ndevice k fence_kdump\ndevice p fence_off pcmk_host_list=a\nlevel a 1 k\nlevel a 2 p", nil},
		{"with the watchdog", "node a\ndevice k fence_kdump\nproperty stonith-watchdog-timeout=10", nil},
		{"a level that cannot be used", "node a\ndevice p fence_off pcmk_host_list=a\nlevel a 1 p,q", []string{"level 1 cannot be used", "no fence device can"}},
		{"a level for nobody", "node a\ndevice p fence_off pcmk_host_list=a\nlevel b 1 p", []string{"level is for b, which is not a node"}},
		{"a list of nobody", "node a\ndevice p fence_off pcmk_host_list=a,z", []string{"pcmk_host_list names z"}},
		{"agents that are not there", "node a\ndevice p fence_gone pcmk_host_list=a", nil},
		{"unknown parameters", "node a\ndevice p fence_off pcmk_host_list=a pcmk_host_lst=b action=off", []string{"pcmk_host_lst is not known", "action of a fence device is ignored"}},
		{"bad values", "node a\ndevice p fence_off pcmk_host_map=a pcmk_host_check=maybe pcmk_delay_max=soon", []string{"is not NODE:PLUG", "is \"maybe\"", "soon"}},
		{"nobody may execute it", "node a\nnode b\ndevice p fence_off pcmk_host_list=a,b\nban p a\nban p b", []string{"no node may execute the device"}},
		{"one may", "node a\nnode b\ndevice p fence_off pcmk_host_list=a,b\nban p a", nil},
		{"unfencing by accident", "node a\ndevice p fence_scsi pcmk_host_list=a", []string{"work before they are unfenced"}},
		{"unfencing on purpose", "node a\ndevice p fence_scsi pcmk_host_list=a meta:provides=unfencing", nil},
		{"stopped", "node a\ndevice p fence_off pcmk_host_list=a meta:target-role=Stopped", []string{"no fence device"}},
		{"switched off", "node a\nnode b\ndevice p fence_off pcmk_host_list=a\nproperty stonith-enabled=false", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Verify(document(t, c.doc), Sources{Agents: testAgents}) {
				got = append(got, p.String())
			}
			all := strings.Join(got, "\n")
			for _, w := range c.want {
				if !strings.Contains(all, w) {
					t.Errorf("%q is missing", w)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("problems:\n%s", all)
			}
		})
	}
}

func TestWatchdogTimeoutInSeconds(t *testing.T) {
	conf, _ := Unpack(document(t, "property stonith-watchdog-timeout=-1"), Sources{})
	if conf.WatchdogTimeout >= 0 {
		t.Errorf("%s", conf.WatchdogTimeout)
	}
}

package main

import "testing"

// Fence devices are completed as other resources are: the agent, its own
// parameters, those of every device (pcmk_*) and values, for methods that need
// no package of the distribution.
func TestConsoleCompletesFenceDevices(t *testing.T) {
	dir := t.TempDir()
	c := startConsole(t, dir, "--cib", "cib.xml", "configure")
	prompt := "gcrm(cib.xml)configure# "
	c.expect(prompt)
	for _, step := range []struct{ keys, line string }{
		{"nod\tn1", "node n1"},
		{"pri\tf1 ston\tfence_xv\tpa\tmulticast_a\t225.0.0.12 key_\t/etc/k ha\tsha5\tpcmk_host_m\tn1:vm1 pcmk_delay_b\t5s",
			"primitive f1 stonith:fence_xvm params multicast_address=225.0.0.12 key_file=/etc/k hash=sha512 pcmk_host_map=n1:vm1 pcmk_delay_base=5s"},
		{"pri\tf2 ston\tapcs\tpa\ttty\t/dev/ttyS0 host\tn1 meth\ton\tpcmk_reboot_a\toff",
			"primitive f2 stonith:apcsmart params ttydev=/dev/ttyS0 hostlist=n1 method=onoff pcmk_reboot_action=off"},
		{"fencing_t\tn1: f1 f2", "fencing_topology n1: f1 f2"},
		{"ve\t", "verify "},
		{"com\t", "commit "},
	} {
		c.typing(step.keys)
		c.expect(prompt + step.line)
		c.typing("\r")
		c.expect(prompt)
		c.from -= len(prompt)
	}
}

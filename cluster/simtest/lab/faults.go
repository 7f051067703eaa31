package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// PowerOff takes the power from a machine.
func (m *Machines) PowerOff(node string) { m.t.Helper(); m.Lab("kill", node) }

// PowerOn starts a machine.
func (m *Machines) PowerOn(node string) { m.t.Helper(); m.Lab("start", node) }

// CutNetwork takes the cluster's networks from a machine, at the switch: its carrier
// stays, and so does its way to the power switch.
func (m *Machines) CutNetwork(node string) { m.t.Helper(); m.Lab("cut", node, "all", "--silent") }

// HealNetwork ends a cut.
func (m *Machines) HealNetwork(node string) { m.t.Helper(); m.Lab("heal", node) }

// Hang stops a machine's processors until Continue is called, also after a reset. Its
// watchdogs stop as well.
func (m *Machines) Hang(node string) { m.t.Helper(); m.qmp(node, `{"execute":"stop"}`) }

// Continue ends [Machines.Hang].
func (m *Machines) Continue(node string) { m.t.Helper(); m.qmp(node, `{"execute":"cont"}`) }

// ResizeDisk gives the data disk of a machine another size.
func (m *Machines) ResizeDisk(node string, bytes int64) {
	m.t.Helper()
	m.qmp(node, fmt.Sprintf(`{"execute":"block_resize","arguments":{"device":"d1","size":%d}}`, bytes))
}

func (m *Machines) qmp(node, order string) {
	m.t.Helper()
	if out := m.Lab("qmp", node, order); !strings.Contains(out, `"return"`) {
		m.t.Fatalf("%s: %s: %s", node, order, out)
	}
}

// BootID tells one boot of a machine from another.
func (m *Machines) BootID(node string) string {
	m.t.Helper()
	return m.Run(node, "cat /proc/sys/kernel/random/boot_id")
}

// Rebooted waits until a machine runs, and not as it did with the given boot id.
func (m *Machines) Rebooted(node, boot string) time.Duration {
	m.t.Helper()
	return m.Until(node, "runs again", fmt.Sprintf("[ $(cat /proc/sys/kernel/random/boot_id) != %s ]", boot))
}

// Console is the end of what a machine said at its serial line.
func (m *Machines) Console(node string) string {
	out, _ := m.lab(time.Minute, "console", node, "20")
	return out
}

// Clock is the time in a machine.
func (m *Machines) Clock(node string) time.Time {
	m.t.Helper()
	return ParseClock(m.Run(node, "date +%s.%N"))
}

// ParseClock reads a time as "date +%s.%N" writes it.
func ParseClock(text string) time.Time {
	s, rest, _ := strings.Cut(strings.TrimSpace(text), ".")
	seconds, _ := strconv.ParseInt(s, 10, 64)
	nanos, _ := strconv.ParseInt((rest + "000000000")[:9], 10, 64)
	return time.Unix(seconds, nanos)
}

// Switching is what the laboratory's power switch did.
type Switching struct {
	Time   time.Time
	Action string // reboot, off or on
	Node   string
}

func (s Switching) String() string { return s.Action + " " + s.Node }

// Switched are all of this run, in order.
func (m *Machines) Switched() []Switching {
	b, _ := os.ReadFile(m.path("fence.log"))
	var out []Switching
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 4 && f[1] == "done" && (f[2] == "reboot" || f[2] == "off" || f[2] == "on") {
			out = append(out, Switching{ParseClock(f[0]), f[2], f[3]})
		}
	}
	return out
}

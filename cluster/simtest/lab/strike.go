package lab

import (
	"fmt"
	"time"
)

// Strike is a failure of a node where something runs, and what is needed to end it.
type Strike struct {
	m           *Machines
	stack       Stack
	Kind, Place string // of the failure, and where it was
	Other       string // the node that has to go on
	boot        string
	mark        int
}

// Kinds of failures.
const (
	Standby  = "standby"
	PowerCut = "power-off"
)

// Kinds are those that [Machines.Strike] knows.
func Kinds() []string { return []string{Standby, PowerCut} }

// Strike takes a node out of service, and does not wait for what comes of it.
func (m *Machines) Strike(s Stack, kind, place string) *Strike {
	m.t.Helper()
	k := &Strike{m: m, stack: s, Kind: kind, Place: place, Other: m.Other(place), boot: m.BootID(place), mark: len(m.Switched())}
	switch kind {
	case Standby:
		s.Standby(k.Other, place, true)
	case PowerCut:
		m.PowerOff(place)
	default:
		m.t.Fatalf("%q is no failure", kind)
	}
	return k
}

// Undo brings the node back, and waits until it is a member of the cluster again.
func (k *Strike) Undo() {
	m := k.m
	m.t.Helper()
	switched := m.Switched()[k.mark:]
	if k.Kind == Standby {
		if len(switched) > 0 {
			m.t.Errorf("%s: somebody was fenced at a standby: %v", k.stack.Name(), switched)
		}
		k.stack.Standby(k.Other, k.Place, false)
		return
	}
	m.Rebooted(k.Place, k.boot)
	k.stack.Members(k.Other, len(m.names))
}

// Fenced is how long after a moment of the host's clock the power switch was done.
func (k *Strike) Fenced(since time.Time) string {
	if done := k.m.Switched()[k.mark:]; len(done) > 0 {
		return fmt.Sprintf("the power switch was done after %.2f s", done[0].Time.Sub(since).Seconds())
	}
	return "nothing was switched"
}

// Writer is a client of the command service that runs in a machine and prints what was
// acknowledged.
type Writer struct {
	m     *Machines
	place string
	what  string
}

// Write starts one; what are its arguments. The machine has to have the program as
// /root/service.
func (m *Machines) Write(place, what string) *Writer {
	m.t.Helper()
	w := &Writer{m, place, what}
	m.Run(place, "rm -f /root/acks /root/errors; systemctl reset-failed writer 2>/dev/null; systemd-run -q --unit writer -p StandardOutput=append:/root/acks -p StandardError=append:/root/errors /root/service "+what)
	w.Goes()
	return w
}

// Goes waits until something is acknowledged, again.
func (w *Writer) Goes() {
	w.m.t.Helper()
	w.m.Until(w.place, "service "+w.what+" goes on", fmt.Sprintf("[ $(tail -n 100 /root/acks | awk '$1 > %d' | wc -l) -gt 20 ]", w.m.Clock(w.place).UnixNano()))
}

// Resumes waits until writes have been held up since a moment of the writer's clock, and go
// on; not for ever, the gap may have been short. Meanwhile nobody asks the nodes: on an
// emulated machine a question takes a quarter of a second from what it is about.
func (w *Writer) Resumes(since time.Time) {
	w.m.t.Helper()
	script := fmt.Sprintf("awk -v last=%d '$1 > last { if ($1-last > 3e9) held=1; if (held) n++; last=$1 } END { exit n < 20 }' /root/acks", since.UnixNano())
	for begun := time.Now(); time.Since(begun) < Patience(4*time.Minute); time.Sleep(2 * time.Second) {
		if _, err := w.m.Try(w.place, script); err == nil {
			return
		}
	}
}

// Acks are the acknowledged writes.
func (w *Writer) Acks() *Successes {
	w.m.t.Helper()
	return ParseSuccesses(w.m.Run(w.place, "cat /root/acks"))
}

// Errors are what the writer had to try again.
func (w *Writer) Errors() string { w.m.t.Helper(); return w.m.Run(w.place, "cat /root/errors") }

// End ends it.
func (w *Writer) End() { w.m.t.Helper(); w.m.Run(w.place, "systemctl stop writer") }

package fencing

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gcrm/cib"
)

// What is known of the proof that a node can be fenced is kept as permanent
// attributes of the node, which is a place that every version of the schema has.
const (
	// AttributeProved has the last real fencing that was a rehearsal.
	AttributeProved = "fencing-proved"
	// AttributeChecked has the last check of the devices, with which nothing
	// was switched.
	AttributeChecked = "fencing-checked"
	// RehearsalInterval is the property after which a proof is too old.
	RehearsalInterval = "fencing-rehearsal-interval"
)

// Proved says when and how it was last seen that a node can be fenced.
type Proved struct {
	At time.Time
	// Kind is reboot (a rehearsal), check, or fencing (in earnest).
	Kind          string
	Device, Agent string
	By            string // the node that executed
	Took          time.Duration
	Proof         Proof
	Evidence      string
}

// String is the form of the attribute: the time, the kind, and name=value up to
// the evidence, which comes last.
func (p Proved) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", p.At.UTC().Format(time.RFC3339), p.Kind)
	for _, kv := range [][2]string{{"device", p.Device}, {"agent", p.Agent}, {"by", p.By}, {"took", p.Took.Round(time.Millisecond).String()}, {"proof", string(p.Proof)}} {
		if kv[1] != "" {
			fmt.Fprintf(&b, " %s=%s", kv[0], kv[1])
		}
	}
	if e := strings.Join(strings.Fields(p.Evidence), " "); e != "" {
		if len(e) > 300 {
			e = strings.ToValidUTF8(e[:300], "")
		}
		b.WriteString(": " + e)
	}
	return b.String()
}

// ParseProved reads the form of the attribute.
func ParseProved(s string) (Proved, error) {
	var p Proved
	head, evidence, _ := strings.Cut(s, ": ")
	p.Evidence = evidence
	f := strings.Fields(head)
	if len(f) < 2 {
		return p, errors.New("it is no record of a rehearsal")
	}
	var err error
	if p.At, err = time.Parse(time.RFC3339, f[0]); err != nil {
		return p, err
	}
	p.Kind = f[1]
	for _, w := range f[2:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "device":
			p.Device = v
		case "agent":
			p.Agent = v
		case "by":
			p.By = v
		case "took":
			p.Took, err = time.ParseDuration(v)
		case "proof":
			p.Proof = Proof(v)
		}
	}
	return p, err
}

// LastProved returns the latest proof that a node can be fenced: a rehearsal, or
// a fencing in the history. Fencings that somebody only vouched for, or that
// waited for a watchdog, prove nothing of a device.
func LastProved(n cib.Node, history []Entry, agent func(device string) string) (Proved, bool) {
	last, ok := attribute(n, AttributeProved)
	for _, e := range history {
		if e.State != Succeeds || e.Action == On || !strings.EqualFold(e.Target, n.Uname) || e.Proof != ProofReadBack && e.Proof != ProofReported {
			continue
		}
		if ok && !e.Completed.Truncate(time.Second).After(last.At) {
			continue
		}
		last, ok = Proved{At: e.Completed, Kind: "fencing", Device: e.Device, Agent: agent(e.Device), By: e.Delegate,
			Took: e.Completed.Sub(e.Started), Proof: e.Proof, Evidence: e.Text}, true
	}
	return last, ok
}

// LastChecked returns the latest check of a node's devices.
func LastChecked(n cib.Node) (Proved, bool) { return attribute(n, AttributeChecked) }

func attribute(n cib.Node, name string) (Proved, bool) {
	for _, set := range cib.OrderedSets(n.Element, "instance_attributes") {
		if v, ok := cib.PairValue(set, name); ok {
			p, err := ParseProved(v)
			return p, err == nil
		}
	}
	return Proved{}, false
}

// Unproved says what is wrong with the proof that a node can be fenced, or
// nothing. Without an interval, one proof is enough.
func Unproved(p Proved, ok bool, interval time.Duration, now time.Time) string {
	switch {
	case !ok:
		return "its fencing was never proved"
	case interval > 0 && now.Sub(p.At) > interval:
		return fmt.Sprintf("its fencing was last proved on %s, more than %s ago", p.At.Local().Format(time.DateOnly), cib.FormatDuration(interval))
	}
	return ""
}

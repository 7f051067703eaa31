package fencing

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gcrm/cib"
)

// agents describes the agents of the tests, in the words of real ones.
type agents map[string]string

var testAgents = agents{
	// A power switch by name, as fence_lab: plug, list, reboot of its own.
	"fence_switch": `<parameter name="plug"/>` + actions("on off reboot status monitor list"),
	// An agent of the library, which does reboot as off and on.
	"fence_onoff": `<parameter name="plug"/><parameter name="method"><content type="select" default="onoff"/></parameter>` +
		actions("on off reboot status monitor list"),
	// One that always does so.
	"fence_halves": `<parameter name="plug"/><parameter name="power_timeout"/>` + actions("on off reboot status monitor"),
	// A management board: one node, no list.
	"fence_board": `<parameter name="ip"/>` + actions("on off reboot status monitor"),
	"fence_kdump": actions("off monitor"),
	"fence_null":  `<parameter name="plug"/>` + actions("on off reboot monitor"),
	"fence_off":   `<parameter name="port"/>` + actions("on off status monitor"),
	"fence_blind": `<parameter name="port"/>` + actions("on off reboot monitor"),
	"fence_scsi":  `<parameter name="plug"/>` + `</parameters><actions><action name="on" on_target="1" automatic="1"/><action name="off"/><action name="status"/><action name="monitor"/></actions>`,
	"fence_xvm":   `<parameter name="port"/>` + actions("on off reboot status monitor list"),
}

func actions(names string) string {
	s := "</parameters><actions>"
	for n := range strings.FieldsSeq(names) {
		s += `<action name="` + n + `"/>`
	}
	return s + "</actions>"
}

func (a agents) Agents() []cib.AgentName { return nil }

func (a agents) Metadata(n cib.AgentName) (*cib.AgentMeta, error) {
	text, ok := a[n.Type]
	if !ok {
		return nil, cib.ErrNoAgent
	}
	return cib.ParseAgentMeta(`<resource-agent name="` + n.Type + `"><parameters>` + text + `</resource-agent>`)
}

// document makes a CIB of short lines:
//
//	node NAME [ATTRIBUTE=VALUE]
//	device ID AGENT [PARAMETER=VALUE]...    started=NODE is its history, meta:NAME=VALUE a meta attribute
//	level TARGET|pattern=P|attribute=A:V INDEX DEVICES
//	property NAME=VALUE
//	ban DEVICE NODE
func document(t testing.TB, text string) *cib.CIB {
	t.Helper()
	doc := cib.New()
	n := 0
	id := func() string { n++; return "x" + strconv.Itoa(n) }
	set := func(parent *cib.Element, name string, pairs []string) {
		if len(pairs) == 0 {
			return
		}
		s := cib.NewElement(name, "id", id())
		for _, p := range pairs {
			k, v, _ := strings.Cut(p, "=")
			s.Add(cib.NewElement("nvpair", "id", id(), "name", k, "value", strings.ReplaceAll(v, "+", " ")))
		}
		parent.Add(s)
	}
	conf := doc.Configuration()
	var properties []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "node":
			e := cib.NewElement("node", "id", "id-"+f[1], "uname", f[1])
			set(e, "instance_attributes", f[2:])
			conf.Child("nodes").Add(e)
		case "device":
			e := cib.NewElement("primitive", "id", f[1], "class", "stonith", "type", f[2])
			var params, meta []string
			for _, p := range f[3:] {
				if v, ok := strings.CutPrefix(p, "started="); ok {
					st := cib.NewElement("node_state", "id", "id-"+v, "uname", v)
					st.Add(cib.NewElement("lrm", "id", "id-"+v).Add(cib.NewElement("lrm_resources").Add(
						cib.NewElement("lrm_resource", "id", f[1]).Add(
							cib.NewElement("lrm_rsc_op", "id", id(), "operation", "start", "call-id", "1", "rc-code", "0")))))
					doc.Status().Add(st)
				} else if v, ok := strings.CutPrefix(p, "meta:"); ok {
					meta = append(meta, v)
				} else {
					params = append(params, p)
				}
			}
			set(e, "instance_attributes", params)
			set(e, "meta_attributes", meta)
			conf.Child("resources").Add(e)
		case "level":
			e := cib.NewElement("fencing-level", "id", id(), "index", f[2], "devices", f[3])
			if p, ok := strings.CutPrefix(f[1], "pattern="); ok {
				e.Set("target-pattern", p)
			} else if a, ok := strings.CutPrefix(f[1], "attribute="); ok {
				k, v, _ := strings.Cut(a, ":")
				e.Set("target-attribute", k)
				e.Set("target-value", v)
			} else {
				e.Set("target", f[1])
			}
			conf.Ensure("fencing-topology").Add(e)
		case "property":
			properties = append(properties, f[1:]...)
		case "ban":
			conf.Child("constraints").Add(cib.NewElement("rsc_location", "id", id(), "rsc", f[1], "node", f[2], "score", "-INFINITY"))
		default:
			t.Fatalf("unknown line %q", line)
		}
	}
	set(conf.Child("crm_config"), "cluster_property_set", properties)
	return doc
}

// TestTranscripts drives a machine by hand. Commands:
//
//	cib                                  a new configuration, see document; a new machine if there was none
//	members a b [quorate=false] [watchdog=5s] [armed=(b:5s,c:5s)]    nodes that can execute; the machine is that of node a
//	random 7                             what draws return from now on
//	request ID TARGET [ACTION] [client=c] [timeout=..] [tolerance=..] [delay=..] [incarnation=7] [manual]
//	answer REF ok|failed|timeout|unreachable|on|off|read-off|hosts=a,b [text=..] [hint=..]
//	remember ORIGIN ACTION TARGET STATE [incarnation=7] [number=1] [past]    an entry of another node
//	witness ORIGIN ACTION TARGET exec power=off|on [claim=..] [text=..]    what this node did for another one, with an entry as in remember
//	announces                            requests are announced from now on; the first command
//	told ENTRY agreed|again [ORIGIN ACTION TARGET STATE ...]    the answer to an announcement, with an entry as in remember
//	abandon ID | withdraw TARGET | confirm TARGET by=NAME | retract TARGET | forget [TARGET]
//	tick 10s                             lets time pass to the next wake-ups within it
//	history
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		d := &script{t: t, start: time.Unix(1_000_000, 0).UTC()}
		d.now = d.start
		d.m = New(Config{Self: "a", Boot: "1", Draw: func(n int64) int64 { return min(d.random, n-1) }})
		datadriven.RunTest(t, path, d.command)
	})
}

type script struct {
	t          *testing.T
	m          *Machine
	now, start time.Time
	random     int64
	out        strings.Builder
}

func (s *script) command(t *testing.T, td *datadriven.TestData) string {
	s.out.Reset()
	words, opts := arguments(td)
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	duration := func(name string) time.Duration {
		if opts[name] == "" {
			return 0
		}
		d, err := time.ParseDuration(opts[name])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(opts[name], 10, 64)
		return n
	}
	entry := func(words []string) Entry {
		e := Entry{ID: words[0] + "/1/" + cmp.Or(opts["number"], "1"), Origin: words[0], Action: words[1], Target: words[2], State: State(words[3]), Client: "other",
			Started: s.now, Incarnation: number("incarnation")}
		if e.State.Over() {
			e.Completed, e.Proof, e.Text = s.now, ProofReadBack, "fenced by "+e.Origin
		}
		return e
	}
	switch td.Cmd {
	case "cib":
		conf, problems := Unpack(document(t, td.Input), Sources{Agents: testAgents})
		for _, p := range problems {
			fmt.Fprintln(&s.out, p)
		}
		s.step(Configure{conf})
	case "members":
		m := Members{Nodes: words, Quorate: opts["quorate"] != "false", Watchdog: duration("watchdog")}
		if v, ok := opts["armed"]; ok {
			m.Armed = map[string]time.Duration{}
			for p := range strings.SplitSeq(v, ",") {
				node, d, _ := strings.Cut(p, ":")
				m.Armed[node], _ = time.ParseDuration(d)
			}
		}
		s.step(m)
	case "random":
		s.random, _ = strconv.ParseInt(arg(0), 10, 64)
	case "request":
		id, _ := strconv.ParseUint(arg(0), 10, 64)
		_, manual := opts["manual"]
		s.step(Request{ID: id, Target: arg(1), Action: arg(2), Client: cmp.Or(opts["client"], "controller"), Timeout: duration("timeout"),
			Tolerance: duration("tolerance"), Delay: duration("delay"), Manual: manual, Reason: "test", Incarnation: number("incarnation")})
	case "answer":
		ref, _ := strconv.ParseUint(arg(0), 10, 64)
		o := Outcome{Text: opts["text"], Hint: opts["hint"]}
		switch arg(1) {
		case "ok":
		case "failed":
			o.Code = Failed
		case "timeout":
			o.Code = TimedOut
		case "unreachable":
			o.Code = Unreachable
		case "on":
			o.Power = PowerOn
		case "off", "read-off":
			o.Power = PowerOff
		case "":
			o.Hosts = ParseHosts(strings.ReplaceAll(opts["hosts"], ",", "\n"))
		default:
			t.Fatalf("unknown answer %q", arg(1))
		}
		s.step(Executed{ref, o})
	case "announces":
		s.m = New(Config{Self: "a", Boot: "1", Draw: func(n int64) int64 { return min(s.random, n-1) }, Announces: true})
	case "told":
		told := Told{ID: arg(0), Answer: map[string]Answer{"agreed": Agreed, "again": Again}[arg(1)]}
		if len(words) > 2 {
			told.Entries = []Entry{entry(words[2:])}
		}
		s.step(told)
	case "witness":
		e := entry(words)
		e.Text = opts["claim"]
		s.step(Witnessed{e, Outcome{Power: map[string]Power{"off": PowerOff, "on": PowerOn}[opts["power"]], Text: opts["text"]}})
	case "abandon":
		id, _ := strconv.ParseUint(arg(0), 10, 64)
		s.step(Abandon{id})
	case "withdraw":
		s.step(Withdraw{arg(0), "it is back"})
	case "confirm":
		s.step(Confirm{arg(0), opts["by"], number("incarnation")})
	case "remember":
		_, past := opts["past"]
		s.step(Remember{Entries: []Entry{entry(words)}, Live: !past})
	case "retract":
		s.step(Retract{arg(0)})
	case "forget":
		s.step(Forget{arg(0)})
	case "tick":
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		for end := s.now.Add(d); s.now.Before(end); {
			at, ok := s.m.Wake()
			if !ok || at.After(end) {
				at = end
			}
			s.now = at
			s.step(Tick{})
		}
	case "history":
		for _, e := range s.m.History() {
			fmt.Fprintf(&s.out, "%s %s %s: %s by %s delegate=%s proof=%s: %s\n", e.ID, e.Action, e.Target, e.State, e.Client, e.Delegate, e.Proof, e.Text)
		}
	default:
		t.Fatalf("unknown command %q", td.Cmd)
	}
	return s.out.String()
}

func arguments(td *datadriven.TestData) (words []string, opts map[string]string) {
	opts = map[string]string{}
	for _, a := range td.CmdArgs {
		if len(a.Vals) == 0 && a.Key != "manual" && a.Key != "past" {
			words = append(words, a.Key)
		} else {
			opts[a.Key] = strings.Join(a.Vals, ",")
		}
	}
	return words, opts
}

func (s *script) step(in Input) {
	for _, e := range stepped(s.t, s.m, s.now, in) {
		at := s.now.Sub(s.start)
		switch e := e.(type) {
		case Execute:
			ends := ""
			if e.Ends != nil {
				ends = " ends " + e.Ends.ID
			}
			fmt.Fprintf(&s.out, "%s execute #%d on %s: %s %s %s timeout=%s%s\n", at, e.Ref, e.Node, e.Device, e.Action, e.Target, e.Timeout, ends)
		case Done:
			if e.Result.Err != nil {
				var fe *Error
				if !errors.As(e.Result.Err, &fe) {
					s.t.Errorf("an error of another kind: %v", e.Result.Err)
				}
				fmt.Fprintf(&s.out, "%s done %d: error: %v\n", at, e.ID, e.Result.Err)
			} else {
				fmt.Fprintf(&s.out, "%s done %d: %s: %s\n", at, e.ID, e.Result.Proof, e.Result.Evidence)
			}
		case Record:
			how := "record"
			if e.Told {
				how = "keep"
			}
			fmt.Fprintf(&s.out, "%s %s %s %s\n", at, how, e.Entry.ID, e.Entry.State)
		case Announce:
			fmt.Fprintf(&s.out, "%s announce %s\n", at, e.Entry.ID)
		case Event:
			fmt.Fprintf(&s.out, "%s %s %s: %s\n", at, e.Level, e.Target, e.Text)
		}
	}
}

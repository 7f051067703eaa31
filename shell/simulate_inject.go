package shell

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// injections are changes that simulate makes to a copy of the CIB before it
// plans, in the order in which they were asked for.
type injections []injection

type injection struct{ kind, value string }

func (l *injections) add(kind, value string) { *l = append(*l, injection{kind, value}) }

// apply makes the changes and returns what crm_simulate says of them.
func (l injections) apply(doc *cib.CIB, now time.Time) (string, error) {
	var b strings.Builder
	b.WriteString("Performing Requested Modifications:\n")
	item := func(format string, a ...any) { fmt.Fprintf(&b, "  * "+format+"\n", a...) }
	if now.IsZero() {
		now = time.Unix(0, 0)
	}
	for _, in := range l {
		switch in.kind {
		case "quorum":
			v, ok := cib.ParseBool(in.value)
			if !ok {
				return "", fmt.Errorf("-q %s: not a boolean", in.value)
			}
			doc.Root.Set("have-quorum", map[bool]string{true: "1", false: "0"}[v])
			item("Setting quorum: %s", in.value)
		case "up", "down", "fail":
			if err := injectNode(doc, in.kind, in.value); err != nil {
				return "", err
			}
			switch in.kind {
			case "up":
				item("Bringing node %s online", in.value)
			case "down":
				item("Taking node %s offline", in.value)
			default:
				item("Failing node %s", in.value)
			}
		case "grant", "revoke", "standby", "activate":
			injectTicket(doc, in.kind, in.value, now)
			word := map[string]string{"grant": "Granting", "revoke": "Revoking", "standby": "Making", "activate": "Activating"}[in.kind]
			tail := map[string]string{"standby": " standby"}[in.kind]
			item("%s ticket %s%s", word, in.value, tail)
		case "op":
			if err := injectOperation(doc, in.value, now); err != nil {
				return "", err
			}
			item("Injecting %s into the configuration", in.value)
		}
	}
	b.WriteByte('\n')
	return b.String(), nil
}

func nodeStateOf(doc *cib.CIB, name string) *cib.Element {
	for s := range doc.Status().Named("node_state") {
		if s.Get("uname") == name {
			return s
		}
	}
	id := name
	if n, ok := doc.Node(name); ok {
		id = n.ID
	}
	if s := doc.NodeState(id); s != nil {
		return s
	}
	s := cib.NewElement("node_state", "id", id, "uname", name)
	doc.Status().Add(s)
	return s
}

func injectNode(doc *cib.CIB, kind, name string) error {
	n, ok := doc.Node(name)
	if !ok {
		return fmt.Errorf("there is no node %s", name)
	}
	s := nodeStateOf(doc, n.Uname)
	var attrs [][2]string
	switch kind {
	case "up":
		attrs = [][2]string{{"in_ccm", "true"}, {"crmd", "online"}, {"join", "member"}, {"expected", "member"}}
	case "down":
		attrs = [][2]string{{"in_ccm", "false"}, {"crmd", "offline"}, {"join", "down"}, {"expected", "down"}}
		s.Children = nil
	default:
		attrs = [][2]string{{"in_ccm", "false"}, {"crmd", "offline"}, {"join", "down"}, {"expected", "member"}}
	}
	for _, a := range attrs {
		s.Set(a[0], a[1])
	}
	return nil
}

func injectTicket(doc *cib.CIB, kind, id string, now time.Time) {
	t := doc.Status().Ensure("tickets").ChildByID(id)
	if t == nil {
		t = cib.NewElement("ticket_state", "id", id)
		doc.Status().Child("tickets").Add(t)
	}
	switch kind {
	case "grant":
		t.Set("granted", "true")
		t.Set("last-granted", strconv.FormatInt(now.Unix(), 10))
	case "revoke":
		t.Set("granted", "false")
	case "standby":
		t.Set("standby", "true")
	case "activate":
		t.Set("standby", "false")
	}
}

// injectOperation records RSC_TASK_INTERVAL@NODE=RC as if it had just happened.
func injectOperation(doc *cib.CIB, spec string, now time.Time) error {
	key, rest, ok1 := strings.Cut(spec, "@")
	node, rc, ok2 := strings.Cut(rest, "=")
	i := strings.LastIndexByte(key, '_')
	if !ok1 || !ok2 || i < 0 {
		return fmt.Errorf("-i %s: the form is RESOURCE_TASK_INTERVAL@NODE=RC", spec)
	}
	interval := key[i+1:]
	head := key[:i]
	task := ""
	for _, t := range []string{"migrate_to", "migrate_from"} {
		if strings.HasSuffix(head, "_"+t) {
			task = t
		}
	}
	if task == "" {
		task = head[strings.LastIndexByte(head, '_')+1:]
	}
	rsc := strings.TrimSuffix(head, "_"+task)
	if _, err := strconv.Atoi(interval); err != nil || rsc == head || rsc == "" {
		return fmt.Errorf("-i %s: the form is RESOURCE_TASK_INTERVAL@NODE=RC", spec)
	}
	if _, err := strconv.Atoi(rc); err != nil {
		return fmt.Errorf("-i %s: %q is no exit code", spec, rc)
	}
	t, ok := findResource(doc, historyName(rsc))
	if !ok {
		return fmt.Errorf("-i %s: there is no resource %s", spec, rsc)
	}
	if _, ok := doc.Node(node); !ok {
		return fmt.Errorf("-i %s: there is no node %s", spec, node)
	}
	agent := cib.NewIndex(doc).Agent(t.element)
	list := nodeStateOf(doc, node).Ensure("lrm").Ensure("lrm_resources")
	r := list.ChildByID(rsc)
	if r == nil {
		r = cib.NewElement("lrm_resource", "id", rsc, "class", agent.Class, "provider", agent.Provider, "type", agent.Type)
		list.Add(r)
	}
	call := 0
	for op := range r.Named("lrm_rsc_op") {
		call = max(call, atoi(op.Get("call-id")))
	}
	id := key
	expected := "0"
	if task == "monitor" && interval == "0" {
		expected = "7"
	}
	if rc != expected && !(task == "monitor" && interval == "0") {
		id = rsc + "_last_failure_0"
	} else if interval == "0" {
		id = rsc + "_last_0"
	}
	op := r.ChildByID(id)
	if op == nil {
		op = cib.NewElement("lrm_rsc_op", "id", id)
		r.Add(op)
	}
	transition := "0:0:" + expected + ":xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	for _, a := range [][2]string{{"operation_key", key}, {"operation", task}, {"crm-debug-origin", "simulate"}, {"crm_feature_set", cib.FeatureSet},
		{"transition-key", transition}, {"transition-magic", "0:" + rc + ";" + transition}, {"call-id", strconv.Itoa(call + 1)}, {"rc-code", rc},
		{"op-status", "0"}, {"interval", interval}, {"last-rc-change", strconv.FormatInt(now.Unix(), 10)}, {"exec-time", "0"}, {"queue-time", "0"}} {
		op.Set(a[0], a[1])
	}
	return nil
}

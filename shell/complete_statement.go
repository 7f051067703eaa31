package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// statementContext is what candidates of a statement depend on.
type statementContext struct {
	s        *Session
	ctx      context.Context
	doc      *cib.CIB
	expected grammar.Expected
	partial  string
	out      []Candidate
}

// completeStatement completes a statement of the crm language: grammar tells
// what kind of word can stand here, and this finds the words.
func (s *Session) completeStatement(ctx context.Context, v *Verb, done []string, partial string) []Candidate {
	verb := v.Name
	x := grammar.Expect(grammar.ReadArguments("", append([]string{verb}, done...)).Words)
	if x.Err != nil {
		return nil
	}
	doc, err := s.view(ctx)
	if err != nil {
		doc = cib.New()
	}
	k := &statementContext{s: s, ctx: ctx, doc: doc, expected: x, partial: partial}
	for _, o := range x.Options {
		if o.Word != "" {
			if o.Rare && (partial == "" || !strings.HasPrefix(o.Word, partial)) && !strings.HasPrefix(partial, o.Word) {
				continue
			}
			k.word(o)
			continue
		}
		k.option(o.What)
	}
	out := filter(k.out, partial)
	// A keyword that is written out is meant, although longer ones begin
	// with it: op, not operations.
	for _, o := range x.Options {
		if o.Word == partial && partial != "" {
			out = slices.DeleteFunc(out, func(c Candidate) bool { return c.Text != partial })
			break
		}
	}
	if x.MayEnd {
		for i := range out {
			out[i].Final = true
		}
	}
	return out
}

func (k *statementContext) add(text, description string) {
	k.out = append(k.out, Candidate{Text: text, Description: description})
}

func (k *statementContext) open(text, description string) {
	k.out = append(k.out, Candidate{Text: text, Description: description, Open: true})
}

// word offers a word that can be typed in one way only, and behind its equals
// sign the values.
func (k *statementContext) word(o grammar.Expectation) {
	if !strings.HasSuffix(o.Word, "=") {
		k.add(o.Word, sectionHelp(o.Word))
		return
	}
	if !strings.HasPrefix(k.partial, o.Word) {
		k.open(o.Word, "")
		return
	}
	switch o.What {
	case grammar.ARole:
		for _, r := range k.roles() {
			k.add(o.Word+r, "role")
		}
	case grammar.ASet, grammar.ARuleRef:
		k.doc.Configuration().Walk(func(e *cib.Element) bool {
			isRule := e.Name == "rule"
			isSet := e.Name == "instance_attributes" || e.Name == "meta_attributes" || e.Name == "utilization" || e.Name == "operations"
			if e.ID() != "" && (isRule && o.What == grammar.ARuleRef || isSet && o.What == grammar.ASet) {
				k.add(o.Word+e.ID(), e.Name)
			}
			return true
		})
	}
}

// sectionHelp says what a keyword of the language opens.
func sectionHelp(word string) string {
	switch word {
	case "params":
		return "parameters of the agent"
	case "meta":
		return "how the cluster treats it"
	case "utilization":
		return "what it needs or offers"
	case "op":
		return "an operation"
	case "operations":
		return "id of the operations"
	case "op_params":
		return "parameters of the operation"
	case "op_meta":
		return "meta attributes of the operation"
	case "rule":
		return "only where or when something holds"
	case "attributes":
		return "attributes"
	case "date":
		return "a time"
	case "and", "or":
		return "and another condition"
	case "defined", "not_defined":
		return "whether an attribute has a value"
	}
	return ""
}

// option offers candidates for a kind of word.
func (k *statementContext) option(what grammar.What) {
	x := &k.expected
	switch what {
	case grammar.ANode, grammar.ANewNode:
		k.nodes("")
	case grammar.AResource:
		k.resources(func(o grammar.Object) bool {
			return cib.IsResource(o.Element.Name) || o.Kind == "tag" || o.Kind == "rsc_template"
		}, "")
	case grammar.APrimitive:
		k.resources(func(o grammar.Object) bool { return o.Kind == "primitive" }, "")
	case grammar.AGroupMember:
		k.resources(func(o grammar.Object) bool { return o.Kind == "primitive" && o.Parent.Name == "resources" }, "")
	case grammar.ACloneChild:
		k.resources(func(o grammar.Object) bool {
			return (o.Kind == "primitive" || o.Kind == "group") && o.Parent.Name == "resources"
		}, "")
	case grammar.ARoleRef:
		k.withSuffix(k.roles())
	case grammar.AnActionRef:
		k.withSuffix([]string{"start", "stop", "promote", "demote"})
	case grammar.AMonitored:
		if id, _, ok := strings.Cut(k.partial, ":"); ok {
			for _, r := range k.roles() {
				k.add(id+":"+r, "role")
			}
			return
		}
		k.resources(func(o grammar.Object) bool { return o.Kind == "primitive" }, "")
	case grammar.AnAgent:
		k.out = append(k.out, k.s.agentCandidates(k.ctx, k.partial)...)
	case grammar.ATemplate:
		for _, o := range grammar.Objects(k.doc, true) {
			if o.Kind == "rsc_template" {
				k.add("@"+o.ID, "template of "+cib.AgentOf(o.Element).String())
			}
		}
	case grammar.AnObject:
		for _, o := range grammar.Objects(k.doc, true) {
			if o.Kind != "tag" && !slices.Contains(x.Members, o.ID) {
				k.add(o.ID, describe(o))
			}
		}
	case grammar.AParameter:
		k.parameters()
	case grammar.AMeta:
		k.options(cib.ResourceOptions())
	case grammar.AProperty:
		switch x.Verb {
		case "property":
			k.options(cib.ClusterOptions())
		case "rsc_defaults":
			k.options(cib.ResourceOptions())
		default:
			k.options(cib.OperationOptions())
		}
	case grammar.AnOpAttr:
		k.operationAttributes()
	case grammar.AnOperation:
		k.operations()
	case grammar.AUtilization:
		k.pairs("a capacity", "cpu=", "memory=")
	case grammar.ANodeAttr:
		k.pairs("node attribute", "standby=", "maintenance=")
		k.values("standby=", "on", "off")
		k.values("maintenance=", "true", "false")
	case grammar.ALocationAttr:
		k.pairs("", "role=", "resource-discovery=")
		k.values("role=", k.roles()...)
		k.values("resource-discovery=", "always", "never", "exclusive")
	case grammar.AScore:
		if len(k.partial) < 2 && len(x.Options) > 1 && !slices.Contains([]string{"location", "colocation"}, x.Verb) {
			return // the score of an attribute set is seldom wanted
		}
		for _, s := range [][2]string{{"inf:", "must"}, {"-inf:", "must not"}, {"100:", "prefers"}, {"-100:", "avoids"}, {"0:", "does not care"}} {
			k.add(s[0], s[1])
		}
	case grammar.AnOrder:
		for _, s := range [][2]string{{"Mandatory:", "always"}, {"Optional:", "only if both are started or stopped together"}, {"Serialize:", "never at the same time"}} {
			k.add(s[0], s[1])
		}
	case grammar.ATicket:
		for t := range k.doc.Status().Child("tickets").Named("ticket_state") {
			k.add(t.ID()+":", "ticket")
		}
	case grammar.ACompare:
		for _, s := range [][2]string{{"eq", "equal"}, {"ne", "not equal"}, {"lt", "less"}, {"gt", "greater"}, {"lte", "less or equal"}, {"gte", "greater or equal"}} {
			k.add(s[0], s[1])
		}
	case grammar.ADateOp:
		k.add("lt", "before")
		k.add("gt", "after")
	case grammar.ADateRange:
		k.pairs("", "start=", "end=", "hours=", "days=", "weeks=", "months=", "years=")
	case grammar.ADateSpec:
		k.pairs("", "hours=", "monthdays=", "weekdays=", "yearsdays=", "months=", "weeks=", "years=", "weekyears=")
	case grammar.ARuleAttr, grammar.ANodeAttrName:
		if what == grammar.ARuleAttr {
			k.add("#uname", "name of the node")
			k.add("#kind", "cluster, remote or container")
			k.add("#site-name", "site of the node")
		}
		for _, n := range k.doc.Nodes() {
			for name := range pairsOf(n.Element, "instance_attributes") {
				k.add(name, "node attribute")
			}
		}
	case grammar.ARuleValue:
		k.nodes("")
	case grammar.ALevel:
		if i := strings.LastIndexByte(k.partial, ','); i >= 0 {
			k.fenceDevices(k.partial[:i+1])
			return
		}
		k.nodes(":")
		k.fenceDevices("")
	case grammar.AnACLSpec:
		for _, s := range []string{"xpath:", "ref:", "type:", "tag:", "attr:", "meta:", "params:", "utilization:", "location:", "nodeattr:", "nodeutil:"} {
			k.open(s, "")
		}
		for _, s := range []string{"property", "node", "nodeattr", "nodeutil", "status", "cib"} {
			k.add(s, "shortcut")
		}
	case grammar.AnACLRole:
		for _, o := range grammar.Objects(k.doc, true) {
			if o.Kind == "role" {
				k.add(o.ID, "role")
			}
		}
	case grammar.APath:
		k.out = append(k.out, fileCandidates(k.partial)...)
	case grammar.AContainer:
		k.pairs("", "image=", "replicas=", "replicas-per-host=", "promoted-max=", "run-command=", "options=", "network=")
	case grammar.ANetwork:
		k.pairs("", "add-host=", "ip-range-start=", "host-netmask=", "host-interface=", "control-port=")
	case grammar.AMapping:
		k.pairs("", "id=", "port=", "internal-port=", "range=", "source-dir=", "source-dir-root=", "target-dir=", "options=")
	case grammar.AnAlertMeta:
		k.pairs("", "timeout=", "timestamp-format=", "enabled=")
	case grammar.AnInterval:
		k.add("60s:30s", "interval:timeout")
	}
}

func (k *statementContext) roles() []string {
	if modernRoles(k.doc.Schema()) {
		return []string{"Started", "Promoted", "Unpromoted", "Stopped"}
	}
	return []string{"Started", "Master", "Slave", "Stopped"}
}

func (k *statementContext) nodes(suffix string) {
	for _, n := range k.doc.Nodes() {
		k.add(n.Uname+suffix, "node")
	}
}

func (k *statementContext) resources(fits func(grammar.Object) bool, suffix string) {
	for _, o := range grammar.Objects(k.doc, true) {
		if fits(o) && !slices.Contains(k.expected.Members, o.ID) && o.ID != k.expected.ID {
			k.add(o.ID+suffix, describe(o))
		}
	}
}

// withSuffix offers resources, and behind a colon what can follow it.
func (k *statementContext) withSuffix(suffixes []string) {
	if id, _, ok := strings.Cut(k.partial, ":"); ok {
		for _, s := range suffixes {
			k.add(id+":"+s, "")
		}
		return
	}
	k.resources(func(o grammar.Object) bool { return cib.IsResource(o.Element.Name) }, "")
}

func (k *statementContext) fenceDevices(prefix string) {
	for _, o := range grammar.Objects(k.doc, true) {
		if o.Kind == "primitive" && cib.AgentOf(o.Element).Class == "stonith" {
			k.add(prefix+o.ID, "fence device")
		}
	}
}

// pairs offers names of pairs that are not given yet.
func (k *statementContext) pairs(description string, names ...string) {
	for _, n := range names {
		if !slices.Contains(k.expected.Given, strings.TrimSuffix(n, "=")) {
			k.open(n, description)
		}
	}
}

// values offers values behind name= when that is typed.
func (k *statementContext) values(name string, values ...string) {
	if strings.HasPrefix(k.partial, name) {
		for _, v := range values {
			k.add(name+v, "")
		}
	}
}

// agent returns the agent of the statement.
func (k *statementContext) agent() cib.AgentName {
	if t := k.expected.Template; t != "" {
		if o, ok := findObject(k.doc, t); ok {
			return cib.AgentOf(o.Element)
		}
		return cib.AgentName{}
	}
	name, _ := k.s.agentOf(k.ctx, k.expected.Agent)
	return name
}

func (k *statementContext) parameters() {
	if k.expected.Operation != "" {
		k.pairs("depth of the check", "OCF_CHECK_LEVEL=")
		return
	}
	if k.expected.Agent == "" && k.expected.Template == "" {
		return
	}
	name, _, typed := strings.Cut(k.partial, "=")
	m, err := k.s.agents(k.ctx).Metadata(k.agent())
	if err != nil || m == nil {
		return
	}
	if typed {
		p := m.Param(name)
		if p == nil && k.agent().Class == "stonith" {
			p = cib.FencingParam(name)
		}
		if p != nil {
			k.values(name+"=", paramValues(p)...)
		}
		return
	}
	for _, c := range k.s.paramCandidates(k.agent()) {
		if !slices.Contains(k.expected.Given, strings.TrimSuffix(c.Text, "=")) {
			k.out = append(k.out, c)
		}
	}
}

// paramValues are values a parameter can have, as far as they can be listed.
func paramValues(p *cib.ParamMeta) []string {
	var out []string
	for _, v := range p.Values {
		out = append(out, v.Value)
	}
	switch {
	case len(out) > 0:
	case p.Type == "boolean":
		out = []string{"true", "false"}
	case p.HasDefault && p.Default != "" && !strings.ContainsAny(p.Default, " \t\""):
		out = []string{p.Default}
	}
	return out
}

// options offers names of known options and behind the equals sign values.
func (k *statementContext) options(options []cib.Option) {
	name, _, typed := strings.Cut(k.partial, "=")
	if typed {
		if o := cib.FindOption(options, name); o != nil {
			k.values(name+"=", optionValues(o)...)
		}
		return
	}
	for _, o := range options {
		for _, n := range append([]string{o.Name}, o.Aliases...) {
			if !slices.Contains(k.expected.Given, n) {
				k.open(n+"=", optionText(o))
			}
		}
	}
}

func optionValues(o *cib.Option) []string {
	switch {
	case len(o.Values) > 0:
		return o.Values
	case o.Type == "boolean":
		return []string{"true", "false"}
	case o.Default != "":
		return []string{o.Default}
	}
	return nil
}

func (k *statementContext) operations() {
	m, err := k.s.agents(k.ctx).Metadata(k.agent())
	if err != nil || m == nil {
		for _, op := range []string{"monitor", "start", "stop"} {
			k.add(op, "")
		}
		return
	}
	for _, a := range m.Actions {
		switch a.Name {
		case "meta-data", "validate-all", "usage", "methods", "status":
			continue
		}
		var advice []string
		if a.Interval > 0 {
			advice = append(advice, "interval "+seconds(a.Interval))
		}
		if a.Timeout > 0 {
			advice = append(advice, "timeout "+seconds(a.Timeout))
		}
		k.add(a.Name, strings.Join(advice, ", "))
	}
}

// operationAttributes offers interval=, timeout= and the like; behind the
// equals sign, what the agent advises.
func (k *statementContext) operationAttributes() {
	name, _, typed := strings.Cut(k.partial, "=")
	m, _ := k.s.agents(k.ctx).Metadata(k.agent())
	a := m.Action(k.expected.Operation, "")
	if typed && a != nil {
		switch {
		case name == "interval" && a.Interval > 0:
			k.values("interval=", seconds(a.Interval))
			return
		case name == "timeout" && a.Timeout > 0:
			k.values("timeout=", seconds(a.Timeout))
			return
		}
	}
	if typed {
		if o := cib.FindOption(cib.OperationOptions(), name); o != nil {
			k.values(name+"=", optionValues(o)...)
		}
		return
	}
	for _, o := range cib.OperationOptions() {
		if slices.Contains(k.expected.Given, o.Name) {
			continue
		}
		text := optionText(o)
		switch {
		case o.Name == "interval" && a != nil && a.Interval > 0:
			text = fmt.Sprintf("%s (advised %s)", o.Short, seconds(a.Interval))
		case o.Name == "timeout" && a != nil && a.Timeout > 0:
			text = fmt.Sprintf("%s (advised %s)", o.Short, seconds(a.Timeout))
		}
		k.open(o.Name+"=", text)
	}
}

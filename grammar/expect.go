package grammar

import (
	"slices"
	"strings"
)

// What a word at a place would stand for. The shell turns these into
// candidates; those it does not know it leaves to the user.
type What string

const (
	// AKeyword is the word itself: see [Expectation.Word].
	AKeyword What = "keyword"

	ANewID       What = "new-id"        // the id of a new object
	ANodeID      What = "node-id"       // the id of a node: NUMBER:
	ANewNode     What = "new-node"      // a node name
	ANode        What = "node"          // a known node
	AResource    What = "resource"      // any resource, tag or template
	APrimitive   What = "primitive"     // a primitive
	AGroupMember What = "group-member"  // a primitive in no container
	ACloneChild  What = "clone-child"   // a primitive or group in no container
	ARoleRef     What = "resource-role" // ID or ID:Role
	AnActionRef  What = "resource-action"
	AMonitored   What = "primitive-role"
	AnAgent      What = "agent"    // see [Expected.Partial]
	ATemplate    What = "template" // @ID
	AnObject     What = "object"   // anything with an id
	ASet         What = "set"      // $id-ref=SET
	ARuleRef     What = "rule"     // $id-ref=RULE
	ASetID       What = "set-id"   // ID:

	AParameter    What = "parameter"           // name=value of Agent; of the operation if Operation is set
	AMeta         What = "meta"                // meta attribute name=value
	AUtilization  What = "utilization"         // name=value
	ANodeAttr     What = "node-attribute"      // name=value
	ANodeAttrName What = "node-attribute-name" // a name
	AProperty     What = "property"            // name=value of the verb's kind
	AnOperation   What = "operation"           // operation name
	AnOpAttr      What = "operation-attribute" // name=value
	ALocationAttr What = "location-attribute"  // role=, resource-discovery=
	AnAlertAttr   What = "alert-attribute"
	AnAlertMeta   What = "alert-meta"
	AContainer    What = "bundle-container"
	ANetwork      What = "bundle-network"
	AMapping      What = "bundle-mapping"
	ADescription  What = "description"

	AScore     What = "score"      // SCORE:
	AnOrder    What = "order-kind" // KIND:
	ATicket    What = "ticket"     // TICKET:
	ARole      What = "role"       // $role=ROLE of a rule
	ARuleAttr  What = "rule-attribute"
	ARuleValue What = "rule-value"
	ACompare   What = "comparison"
	ADateOp    What = "date-comparison"
	ADate      What = "date"
	ADateRange What = "date-range"
	ADateSpec  What = "date-spec"
	ALevel     What = "fencing-level" // NODE:, pattern:..., attr:..., DEVICE[,DEVICE]
	AnACLSpec  What = "acl-spec"
	AnACLRole  What = "acl-role"
	APath      What = "path"
	ARecipient What = "recipient"
	AnInterval What = "interval-timeout"
	AnXML      What = "xml"
)

// Expectation is one thing that could stand at a place.
type Expectation struct {
	What What
	// Word is what to type, if there is only one way: a keyword, or the
	// beginning of a pair ("symmetrical=").
	Word string
	// Rare marks what is seldom wanted ($id=, brackets): offer it only when
	// its first letter was typed.
	Rare bool
}

// Expected tells what could follow the words of a statement.
type Expected struct {
	Verb    string
	Options []Expectation
	// MayEnd tells that the statement is complete as it is.
	MayEnd bool
	// Err is the mistake in the words so far, if they cannot be continued.
	Err *Error

	// ID is the id of the object, Agent its agent as typed, Template the id
	// of the template it is made from; as far as they were typed.
	ID, Agent, Template string
	// Operation is the name of the operation that the cursor is in.
	Operation string
	// Members are the resources named so far by a group or constraint.
	Members []string
	// Given are the names of the pairs already in the current set.
	Given []string
}

// Expect tells what could follow after the given words of a statement, the
// first of which is the verb. A word that is being typed is not among them.
func Expect(words []Word) Expected {
	if len(words) == 0 {
		x := Expected{}
		for _, v := range verbs {
			x.Options = append(x.Options, Expectation{What: AKeyword, Word: v.name})
		}
		return x
	}
	v := findVerb(words[0].Text)
	if v == nil {
		return Expected{Err: unknownVerb(&Line{Words: words}, Command)}
	}
	x := Expected{Verb: v.name}
	line := &Line{Words: words}
	tokens := classify(v, words[1:], line.end())
	tokens = tokens[:len(tokens)-1]
	r := v.states().run()
	for i := range tokens {
		if !r.step(&tokens[i]) {
			x.Err = explain(v, line, classify(v, words[1:], line.end()), errNotAccepted)
			return x
		}
	}
	x.MayEnd = r.done()
	x.context(v, tokens)
	section := sectionPairs(v, tokens)
	seen := map[Expectation]bool{}
	add := func(e Expectation) {
		if !seen[e] {
			seen[e] = true
			x.Options = append(x.Options, e)
		}
	}
	for _, e := range r.next() {
		for _, o := range options(v, e) {
			if o.What == aSection {
				o.What = section
			}
			add(o)
		}
	}
	for _, o := range x.trailing(v, tokens) {
		add(o)
	}
	return x
}

var errNotAccepted = &Error{Msg: "unexpected word"}

// aSection is a pair of the set that the last section word opened.
const aSection What = "section"

// sectionPairs tells what the pairs behind the last section word are.
func sectionPairs(v *verb, tokens []Token) What {
	for i := len(tokens) - 1; i >= 0; i-- {
		if tokens[i].Type != tKey {
			continue
		}
		switch k := tokens[i].Value; {
		case k == "params" || k == "op_params":
			return AParameter
		case k == "meta" && v.name == "alert":
			return AnAlertMeta
		case k == "meta" || k == "op_meta":
			return AMeta
		case k == "utilization":
			return AUtilization
		case k == "attributes" && v.name == "alert":
			return AnAlertAttr
		case k == "attributes":
			return ANodeAttr
		}
	}
	return AParameter
}

// options translates a terminal of the grammar.
func options(v *verb, e edge) []Expectation {
	switch {
	case e.literal != "":
		return []Expectation{{What: AKeyword, Word: e.literal, Rare: len(e.literal) == 1}}
	case e.typ == tKey:
		return nil
	case e.typ == tID:
		return []Expectation{{What: ANewID, Word: "$id=", Rare: true}}
	case e.typ == tIDRef:
		return []Expectation{{What: What(e.label), Word: "$id-ref=", Rare: true}}
	case e.typ == tRole:
		return []Expectation{{What: ARole, Word: "$role="}}
	case e.typ == tDesc:
		return []Expectation{{What: ADescription, Word: "description="}}
	case e.typ == tAt && e.label != "template":
		return nil
	case e.typ == tBracket:
		if v.brackets == noBrackets {
			return nil
		}
		return []Expectation{{What: AKeyword, Word: "(", Rare: true}, {What: AKeyword, Word: "[", Rare: true}}
	case e.typ == tPair && (e.label == "resource-role" || e.label == "resource-action" || e.label == "resource" ||
		e.label == "fencing-level" || e.label == "path"):
		return nil
	case e.typ == tLabel && (e.label == "fencing-level" || e.label == ""):
		return nil
	case strings.HasPrefix(e.label, "new-") && e.label != "new-node":
		return []Expectation{{What: ANewID}}
	case e.label == "":
		return nil
	}
	return []Expectation{{What: What(e.label)}}
}

// context collects what the tokens tell about the object.
func (x *Expected) context(v *verb, tokens []Token) {
	if len(tokens) == 0 {
		return
	}
	if !v.headless {
		x.ID = tokens[0].Value
	}
	switch v.name {
	case "primitive", "rsc_template":
		if len(tokens) > 1 {
			if tokens[1].Type == tAt {
				x.Template = tokens[1].Value[1:]
			} else {
				x.Agent = tokens[1].Value
			}
		}
	case "group", "clone", "ms", "tag":
		for _, t := range tokens[1:] {
			if t.Type != tWord {
				break
			}
			x.Members = append(x.Members, t.Value)
		}
	case "colocation", "order", "rsc_ticket":
		for _, t := range tokens[1:] {
			if t.Type == tWord {
				id, _, _ := strings.Cut(t.Value, ":")
				x.Members = append(x.Members, id)
			}
		}
	}
	start := 0
	for i, t := range tokens {
		if t.Type != tKey || !slices.Contains(v.keys, t.Value) {
			continue
		}
		start = i + 1
		switch t.Value {
		case "op":
			x.Operation = ""
			if i+1 < len(tokens) {
				x.Operation = tokens[i+1].Value
			}
		case "op_params", "op_meta", "rule":
		default:
			x.Operation = ""
		}
	}
	for _, t := range tokens[start:] {
		if t.Type == tPair {
			name, _, _ := strings.Cut(t.Value, "=")
			x.Given = append(x.Given, name)
		}
	}
}

// trailing returns the options at the end of constraints, which the grammar
// takes for members of the list.
func (x *Expected) trailing(v *verb, tokens []Token) []Expectation {
	open := false
	for _, t := range tokens {
		if t.Type == tBracket {
			open = t.Value == "(" || t.Value == "["
		}
	}
	pair := func(words ...string) (out []Expectation) {
		for _, w := range words {
			out = append(out, Expectation{What: AKeyword, Word: w})
		}
		return out
	}
	switch {
	case open:
		closing := ")"
		for _, t := range tokens {
			switch t.Value {
			case "[":
				closing = "]"
			case "(":
				closing = ")"
			}
		}
		return append(pair(closing), Expectation{AKeyword, "sequential=true", true}, Expectation{AKeyword, "require-all=false", true})
	case v.name == "colocation" && len(x.Members) == 2:
		return pair("node-attribute=")
	case v.name == "order" && len(x.Members) > 1:
		return pair("symmetrical=true", "symmetrical=false")
	case v.name == "rsc_ticket" && len(x.Members) > 0:
		return pair("loss-policy=stop", "loss-policy=demote", "loss-policy=fence", "loss-policy=freeze")
	}
	return nil
}

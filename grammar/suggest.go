package grammar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"gcrm/suggest"
)

// descriptions say for people what the words of a label are.
var descriptions = map[string]string{
	"score":               "a score (100:, inf:)",
	"order-kind":          "a kind (Mandatory:, Optional:, Serialize:)",
	"ticket":              "a ticket (NAME:)",
	"agent":               "an agent ([class:[provider:]]type)",
	"template":            "a template (@NAME)",
	"new-resource":        "an id",
	"new-constraint":      "an id",
	"new-acl":             "an id",
	"new-tag":             "an id",
	"new-alert":           "an id",
	"new-node":            "a node name",
	"node":                "a node",
	"resource":            "a resource",
	"primitive":           "a primitive",
	"group-member":        "a primitive",
	"clone-child":         "a primitive or group",
	"resource-role":       "a resource (ID or ID:Role)",
	"resource-action":     "a resource (ID or ID:action)",
	"primitive-role":      "a primitive (ID or ID:Role)",
	"interval-timeout":    "an interval (60s or 60s:30s)",
	"operation":           "an operation name",
	"parameter":           "name=value",
	"meta":                "name=value",
	"utilization":         "name=value",
	"node-attribute":      "name=value",
	"property":            "name=value",
	"alert-attribute":     "name=value",
	"alert-meta":          "name=value",
	"operation-attribute": "name=value",
	"location-attribute":  "name=value",
	"bundle-container":    "name=value",
	"bundle-network":      "name=value",
	"bundle-mapping":      "name=value",
	"rule-attribute":      "a node attribute",
	"rule-value":          "a value",
	"comparison":          "a comparison (eq, ne, lt, gt, lte, gte)",
	"date-comparison":     "lt or gt",
	"date":                "a date",
	"date-range":          "start=... end=...",
	"date-spec":           "hours=..., weekdays=... and the like",
	"fencing-level":       "a target (NODE:) or devices",
	"acl-spec":            "what it is about (xpath:..., ref:..., type:..., or a shortcut)",
	"acl-role":            "a role",
	"object":              "an object",
	"path":                "the path of a program",
	"recipient":           "a recipient",
	"xml":                 "an XML element",
	"node-attribute-name": "a node attribute",
}

// describe lists what could stand at a place, for an error message.
func describe(next []edge) []string {
	var words, kinds []string
	for _, e := range next {
		switch {
		case e.literal != "":
			if e.typ == tKey || len(e.literal) > 1 {
				words = append(words, e.literal)
			} else {
				words = append(words, fmt.Sprintf("%q", e.literal))
			}
		case e.typ == tIDRef || e.typ == tID || e.typ == tKey || e.typ == tRole:
			// rarely what somebody meant
		case e.typ == tBracket:
			words = append(words, `"("`, `"["`)
		case e.typ == tAt && e.label != "template", e.typ == tLabel && e.label != "score" && e.label != "order-kind" && e.label != "ticket":
		case descriptions[e.label] != "":
			kinds = append(kinds, descriptions[e.label])
		case e.typ == tDesc:
			kinds = append(kinds, "description=...")
		}
	}
	all := append(kinds, words...)
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(s string) bool {
		defer func() { seen[s] = true }()
		return seen[s]
	})
}

// hintFor returns a pointed suggestion for a word that does not fit.
func hintFor(v *verb, word string, next []edge) string {
	var literals []string
	score, pair, op := false, false, false
	for _, e := range next {
		if e.literal != "" {
			literals = append(literals, e.literal)
		}
		score = score || e.label == "score" && e.typ == tLabel
		pair = pair || e.typ == tPair
		op = op || e.typ == tOp
	}
	if s := slip(word); s != "" {
		return s
	}
	switch {
	case op && operatorFor(word) != "":
		return fmt.Sprintf("did you mean %q?", operatorFor(word))
	case v.name == "bundle" && word == "rkt":
		return "rkt is no longer supported: use docker or podman"
	}
	if s := nearest(word, literals); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	if score {
		if i := strings.IndexByte(word, ':'); i > 0 && IsScore(word[:i]) {
			return fmt.Sprintf("write a blank behind the colon: %s %s", word[:i+1], word[i+1:])
		}
		if IsScore(word) {
			return fmt.Sprintf("did you mean %q?", word+":")
		}
	}
	return ""
}

// operatorFor returns the comparison that a symbol stands for elsewhere.
func operatorFor(word string) string {
	switch word {
	case "==", "=":
		return "eq"
	case "!=", "<>":
		return "ne"
	case "<":
		return "lt"
	case ">":
		return "gt"
	case "<=", "le":
		return "lte"
	case ">=", "ge":
		return "gte"
	}
	return ""
}

// nearest returns the candidate that word was probably meant to be, or "".
func nearest(word string, candidates []string) string {
	limit := 2
	if len(word) < 4 {
		limit = 1
	}
	if best := suggest.Nearest(word, slices.Values(candidates), limit); best != "" {
		return best
	}
	w := strings.ToLower(word)
	for _, c := range candidates {
		if len(w) > 2 && strings.HasPrefix(c, w) {
			return c
		}
	}
	return ""
}

// Nearest returns the candidate that a mistyped word was probably meant to be,
// or "" if none is near.
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }

var onFail = []string{"ignore", "block", "stop", "restart", "restart-container", "standby", "fence", "demote"}

// operationAttributes are the XML attributes of an operation; every other
// name is an instance attribute of it.
var operationAttributes = []string{"name", "interval", "timeout", "start-delay", "interval-origin", "on-fail", "enabled",
	"record-pending", "role", "description", "id"}

// IsOperationAttribute reports whether a name is one of these.
func IsOperationAttribute(name string) bool { return slices.Contains(operationAttributes, name) }

// slip recognizes mistakes that are copied from tutorial to tutorial.
func slip(word string) string {
	for _, a := range operationAttributes {
		rest, ok := strings.CutPrefix(word, a+"-")
		if !ok {
			continue
		}
		if a == "on-fail" && slices.Contains(onFail, rest) || (a == "interval" || a == "timeout") && bareTime(rest) {
			return fmt.Sprintf("did you mean %s=%s?", a, rest)
		}
	}
	switch {
	case strings.HasPrefix(word, "–") || strings.HasPrefix(word, "—"):
		return "this is a typographic dash; type - instead"
	case strings.ContainsAny(word, "“”„‟«»"):
		return `these are typographic quotes; type " instead`
	case strings.ContainsAny(word, "‘’‚"):
		return "these are typographic quotes; type ' instead"
	case strings.ContainsRune(word, '\u00a0'):
		return "there is a no-break space in this word; type an ordinary one"
	}
	return ""
}

// noComment is said of a word that looks like a comment behind a statement.
const noComment = "a comment stands on a line of its own, # being its first character"

func bareTime(s string) bool {
	return s != "" && s[0] >= '0' && s[0] <= '9'
}

// typography remarks on characters that come from word processors and web
// pages rather than from a keyboard.
func (st *Statement) typography(args []Word) {
	for _, w := range args {
		if w.Quoted || isASCII(w.Text) {
			continue
		}
		if s := slip(w.Text); s != "" {
			st.remark(w, fmt.Sprintf("%q is taken as it stands", w.Text), s)
		}
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

var _ lexer.Definition = words{}

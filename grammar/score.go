package grammar

import "strings"

// parseScore reads a score as the language writes them and returns it as a
// CIB stores it. Words that are no score (a node attribute) give ok=false.
func parseScore(s string) (stored string, ok bool) {
	sign, rest := "", s
	if s != "" && (s[0] == '+' || s[0] == '-') {
		sign, rest = s[:1], s[1:]
	}
	switch {
	case strings.EqualFold(rest, "inf") || strings.EqualFold(rest, "infinity"):
		return sign + "INFINITY", true
	case strings.EqualFold(s, "mandatory"):
		return "INFINITY", true
	case strings.EqualFold(s, "advisory"):
		return "0", true
	}
	return s, allDigits(rest)
}

// printScore writes a stored score as the language does.
func printScore(s string) string {
	return strings.Replace(s, "INFINITY", "inf", 1)
}

// IsScore reports whether s is a score as the language writes them: an
// integer, inf or infinity with an optional sign, mandatory or advisory.
func IsScore(s string) bool {
	_, ok := parseScore(s)
	return ok
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Roles and actions as they are stored; input matches in any case.
var (
	roles   = []string{"Started", "Stopped", "Promoted", "Unpromoted", "Master", "Slave"}
	actions = []string{"start", "stop", "promote", "demote"}
	kinds   = []string{"Mandatory", "Optional", "Serialize"}
)

// legacyRoles reports whether a schema knows only the role names Master and
// Slave: it is older than pacemaker-3.7.
func legacyRoles(schema string) bool {
	major, minor, ok := schemaVersion(schema)
	return ok && (major < 3 || major == 3 && minor < 7)
}

// schemaVersion reads "pacemaker-MAJOR.MINOR".
func schemaVersion(schema string) (major, minor int, ok bool) {
	v, found := strings.CutPrefix(schema, "pacemaker-")
	a, b, dot := strings.Cut(v, ".")
	if !found || !dot || !allDigits(a) || !allDigits(b) || len(a) > 4 || len(b) > 4 {
		return 0, 0, false
	}
	return atoi(a), atoi(b), true
}

func atoi(digits string) int {
	n := 0
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

// translateRole returns a role name in the vocabulary of the schema.
func translateRole(role, schema string) string {
	old := legacyRoles(schema)
	switch {
	case role == "Master" && !old:
		return "Promoted"
	case role == "Slave" && !old:
		return "Unpromoted"
	case role == "Promoted" && old:
		return "Master"
	case role == "Unpromoted" && old:
		return "Slave"
	}
	return role
}

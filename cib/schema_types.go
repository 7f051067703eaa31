package cib

import (
	"strconv"
	"strings"
	"unicode"
)

// valueChecks tell whether a text is a value of a type, and are the types that
// the schema table knows besides text, id, idref and enumerations.
var valueChecks = map[string]func(string) bool{
	"bool":     isSchemaBool,
	"int":      isInteger,
	"nonneg":   func(s string) bool { return isInteger(s) && (s[0] != '-' || strings.Trim(s, "-0") == "") },
	"positive": func(s string) bool { return isInteger(s) && s[0] != '-' && strings.Trim(s, "+0") != "" },
	"score":    isSchemaScore,
	"range":    func(s string) bool { return s != "" && strings.Trim(s, "0123456789-") == "" },
	"devices":  isDeviceList,
}

// valueWords say in words what a type accepts.
var valueWords = map[string]string{
	"bool":     "true or false",
	"int":      "an integer",
	"nonneg":   "an integer that is not negative",
	"positive": "a positive integer",
	"score":    "an integer, INFINITY, +INFINITY or -INFINITY",
	"range":    "a range of ports as 8080-8089",
	"devices":  "a list of device names separated by commas, without blanks",
}

// isSchemaBool accepts booleans of XML Schema, which are fewer than those of
// options ([ParseBool]).
func isSchemaBool(s string) bool {
	return s == "true" || s == "false" || s == "1" || s == "0"
}

func isInteger(s string) bool {
	digits := s
	if s != "" && (s[0] == '-' || s[0] == '+') {
		digits = s[1:]
	}
	if digits == "" {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil || len(digits) > 18 // of any size
}

func isSchemaScore(s string) bool {
	switch s {
	case "INFINITY", "+INFINITY", "-INFINITY":
		return true
	}
	return isInteger(s)
}

func isDeviceList(s string) bool {
	for d := range strings.SplitSeq(s, ",") {
		if d == "" || strings.IndexFunc(d, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
		}) >= 0 {
			return false
		}
	}
	return true
}

// ValidID reports whether s can be the id of an object: an XML name without a
// colon, so a letter or "_" followed by letters, digits, "_", "-" and ".".
func ValidID(s string) bool {
	for i, r := range s {
		switch {
		case r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
		case i > 0 && (r == '-' || r == '.' || r >= '0' && r <= '9'):
		case r >= 0x80 && (unicode.IsLetter(r) || i > 0 && (unicode.IsDigit(r) || unicode.IsMark(r) || r == '\u00b7')):
		default:
			return false
		}
	}
	return s != ""
}

package meta

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is the kind of a Problem.
type Fault int

const (
	Unknown  Fault = iota // the agent has no such parameter
	Missing               // required and absent or empty
	Mistyped              // the value does not fit the type
)

// Problem is something wrong with one parameter.
type Problem struct {
	Fault Fault
	Param string
	Text  string // for administrators, one line, names the parameter
}

// Join makes one line of several problems.
func Join(ps []Problem) string {
	var s []string
	for _, p := range ps {
		s = append(s, p.Text)
	}
	return strings.Join(s, "; ")
}

// Values are the parameters of one request, with defaults in place.
//
// The readers take only names that the agent's table has, with the type it
// has there; another name is a mistake of the program and panics.
type Values struct {
	agent *Agent
	given map[string]string
}

// Read checks parameters against the table and returns them for reading
// together with everything that is wrong, in the table's order, unknown ones
// last. A mistyped value reads as its default.
//
// Names that the cluster itself adds (CRM_meta_*, crm_feature_set,
// OCF_CHECK_LEVEL) are not parameters and are passed over.
func (a *Agent) Read(params map[string]string) (Values, []Problem) {
	v := Values{agent: a, given: map[string]string{}}
	var problems []Problem
	for _, p := range a.Params {
		s, set := params[p.Name]
		if p.Required && strings.TrimSpace(s) == "" {
			problems = append(problems, Problem{Missing, p.Name,
				fmt.Sprintf("required parameter %s is not set", p.Name)})
			continue
		}
		if !set {
			continue
		}
		if why := p.check(s); why != "" {
			problems = append(problems, Problem{Mistyped, p.Name,
				fmt.Sprintf("parameter %s: %q is not %s", p.Name, s, why)})
			continue
		}
		v.given[p.Name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if _, ok := a.Param(name); ok || strings.HasPrefix(name, "CRM_meta_") ||
			name == "crm_feature_set" || name == "OCF_CHECK_LEVEL" {
			continue
		}
		problems = append(problems, Problem{Unknown, name,
			fmt.Sprintf("%s has no parameter %s", a.Name, name)})
	}
	return v, problems
}

// check returns what the value should have been, or nothing if it fits.
func (p Param) check(s string) string {
	switch p.Type {
	case Integer:
		if _, err := strconv.Atoi(strings.TrimSpace(s)); err != nil {
			return "a whole number"
		}
	case Boolean:
		if _, ok := ParseBool(s); !ok {
			return "true or false"
		}
	case Time, Second:
		if _, err := ParseTime(s); err != nil {
			return "a time such as 20s"
		}
	case Percentage:
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(s), "%"))
		if err != nil || n < 0 || n > 100 {
			return "a percentage"
		}
	case Select:
		if !slices.Contains(p.Options, s) {
			return "one of " + strings.Join(p.Options, ", ")
		}
	}
	return ""
}

// Set tells whether the parameter was given (and fits its type); an empty
// value counts as given.
func (v Values) Set(name string) bool {
	v.param(name)
	_, ok := v.given[name]
	return ok
}

// String returns the value as it is, or the default.
func (v Values) String(name string) string {
	p := v.param(name)
	if s, ok := v.given[name]; ok {
		return s
	}
	return p.Default
}

// Int returns a whole number; an absent one without default is 0.
func (v Values) Int(name string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v.String(name)), "%"))
	return n
}

// Bool returns a truth value; an absent one without default is false.
func (v Values) Bool(name string) bool {
	b, _ := ParseBool(v.String(name))
	return b
}

// Duration returns a time; an absent one without default is 0.
func (v Values) Duration(name string) time.Duration {
	d, _ := ParseTime(v.String(name))
	return d
}

// Words returns a list separated by blanks.
func (v Values) Words(name string) []string { return strings.Fields(v.String(name)) }

func (v Values) param(name string) Param {
	p, ok := v.agent.Param(name)
	if !ok {
		panic(fmt.Sprintf("agent %s reads parameter %s, which its table does not have", v.agent.Name, name))
	}
	return p
}

// ParseBool reads the truth values of agents; ok is false for anything else.
func ParseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "yes", "true", "on", "y", "ja":
		return true, true
	case "0", "no", "false", "off", "n", "nein":
		return false, true
	}
	return false, false
}

// ParseTime reads a time: a number of seconds, or a number with a unit
// (us, ms, s, sec, m, min, h, hr, d).
func ParseTime(s string) (time.Duration, error) {
	t := strings.TrimSpace(s)
	end := strings.IndexFunc(t, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	number, unit := t, ""
	if end >= 0 {
		number, unit = t[:end], strings.TrimSpace(t[end:])
	}
	scale, ok := map[string]time.Duration{"": time.Second, "us": time.Microsecond, "usec": time.Microsecond,
		"ms": time.Millisecond, "msec": time.Millisecond, "s": time.Second, "sec": time.Second,
		"m": time.Minute, "min": time.Minute, "h": time.Hour, "hr": time.Hour, "d": 24 * time.Hour}[unit]
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || f*float64(scale) > float64(1<<62) {
		return 0, fmt.Errorf("%q is not a time (use a number with ms, s, m or h)", s)
	}
	return time.Duration(f * float64(scale)), nil
}

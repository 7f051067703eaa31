// Package meta describes resource agents: the table of an agent's parameters
// and actions, from which its ra-api meta-data XML is written and against
// which the parameters of a request are checked and read.
package meta

import "time"

// Type is the content type of a parameter.
type Type string

const (
	String     Type = "string"
	Integer    Type = "integer"
	Boolean    Type = "boolean"
	Select     Type = "select"     // one of Param.Options
	Time       Type = "time"       // seconds, or a number with ms, s, m/min, h, d
	Second     Type = "second"     // as Time
	Percentage Type = "percentage" // 0 to 100, with or without %
)

// Agent is everything an agent tells about itself.
type Agent struct {
	Name    string
	Version string // of the agent
	// API is the version of the OCF agent API, "1.0" or "1.1"; empty is 1.0.
	API         string
	Short, Long string
	Params      []Param
	Actions     []Action
}

// Param is one parameter.
type Param struct {
	Name string
	Type Type
	// Default is the value in force when the parameter is absent. Agents
	// with a default that depends on the instance show its general form
	// here and ask Values.Set.
	Default     string
	Required    bool
	Unique      bool
	UniqueGroup string
	Reloadable  bool
	Short, Long string
	Options     []string // allowed values of a Select
	ReplacedBy  string   // set for a deprecated parameter
	// Hidden parameters are accepted and not told of: old names that
	// configurations still have.
	Hidden bool
}

// Action is one action with the values advised for it.
type Action struct {
	Name     string
	Role     string // "Promoted", "Unpromoted" or empty
	Timeout  time.Duration
	Interval time.Duration // zero for none
	// Depth is the OCF_CHECK_LEVEL of a monitor.
	Depth int
}

// Param returns the parameter of that name.
func (a *Agent) Param(name string) (Param, bool) {
	for _, p := range a.Params {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

// HasAction tells whether the agent has an action.
func (a *Agent) HasAction(name string) bool {
	for _, x := range a.Actions {
		if x.Name == name {
			return true
		}
	}
	return false
}

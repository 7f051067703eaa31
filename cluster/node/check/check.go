// Package check looks whether a host is ready to be a node: the checks are a
// table, each with the exact remedy, which can be carried out (--fix).
//
// A check asks about the host through [Host] only, so that tests can put
// together any host they like. Checks of a feature (shared storage, virtual
// machines) are in the same table and run when the feature is asked for.
package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Status is what a check found.
type Status int

// What checks find, from good to bad.
const (
	OK Status = iota
	Skipped
	Warning
	Failure
)

func (s Status) String() string {
	return [...]string{"ok", "skipped", "warning", "FAILURE"}[s]
}

// MarshalText writes the status as a word.
func (s Status) MarshalText() ([]byte, error) { return []byte(strings.ToLower(s.String())), nil }

// Finding is the result of one check on one thing.
type Finding struct {
	Check  string
	Status Status
	Text   string
	// Remedy are the commands that set it right, each with its arguments.
	Remedy [][]string `json:",omitempty"`
	// Hint is what to do where no command can.
	Hint string `json:",omitempty"`
}

// Host is what checks ask.
type Host interface {
	// ReadFile, Exists and Glob look at the file system.
	ReadFile(path string) ([]byte, error)
	Exists(path string) bool
	Glob(pattern string) []string
	// Run runs a command and returns what it prints; an error if it cannot be
	// run or fails.
	Run(ctx context.Context, command ...string) (string, error)
	// Listen reports why a port cannot be used on an address, TCP and UDP.
	Listen(address string) error
	// Resolve returns the addresses of a name.
	Resolve(ctx context.Context, name string) ([]string, error)
	// ClockSynchronized reports whether the kernel's clock is kept right.
	ClockSynchronized() (bool, error)
	// Free returns the free bytes of the file system of a path.
	Free(path string) (uint64, error)
}

// Plan says what is to be checked.
type Plan struct {
	// Node is the name of the node, Addresses where it is to listen (with
	// ports); empty if they are not known yet.
	Node      string
	Addresses []string
	StateDir  string
	// Running is set if the daemon of the node runs: its ports are in use.
	Running bool
	// Managed are system services that the cluster starts and stops.
	Managed []string
	// Groups are volume groups that the cluster activates.
	Groups []string
}

// check is one row of the table.
type check struct {
	name string
	// feature is empty for what every node needs.
	feature string
	run     func(ctx context.Context, h Host, p Plan) []Finding
}

// Features lists what can be asked for besides the general checks.
func Features() []string {
	var out []string
	for _, c := range table() {
		if c.feature != "" && !slices.Contains(out, c.feature) {
			out = append(out, c.feature)
		}
	}
	slices.Sort(out)
	return out
}

// Run runs the general checks, and those of features.
func Run(ctx context.Context, h Host, p Plan, features ...string) ([]Finding, error) {
	for _, f := range features {
		if !slices.Contains(Features(), f) {
			return nil, fmt.Errorf("%q is no feature that can be checked: there are %s", f, strings.Join(Features(), ", "))
		}
	}
	var out []Finding
	for _, c := range table() {
		if c.feature != "" && !slices.Contains(features, c.feature) {
			continue
		}
		found := c.run(ctx, h, p)
		if len(found) == 0 {
			found = []Finding{{Status: OK}}
		}
		for _, f := range found {
			f.Check = c.name
			out = append(out, f)
		}
	}
	return out, nil
}

// Worst is the worst status of findings.
func Worst(list []Finding) Status {
	worst := OK
	for _, f := range list {
		worst = max(worst, f.Status)
	}
	return worst
}

// Fix carries out the remedies of what is not in order; tell is called before
// each command. It goes on after a command that fails.
func Fix(ctx context.Context, h Host, list []Finding, tell func(command string)) error {
	var failed []string
	done := map[string]bool{}
	for _, f := range list {
		if f.Status < Warning {
			continue
		}
		for _, command := range f.Remedy {
			text := strings.Join(command, " ")
			if done[text] {
				continue
			}
			done[text] = true
			tell(text)
			if out, err := h.Run(ctx, command...); err != nil {
				failed = append(failed, fmt.Sprintf("%s: %v %s", text, err, strings.TrimSpace(out)))
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not everything could be set right: %s", strings.Join(failed, "; "))
	}
	return nil
}

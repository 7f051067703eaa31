package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// A command that answers and ends should not look for garbage: what it read
// stays in use until the end, so that collecting costs half of its processor
// time and frees nothing. So collection is off until the memory in use has
// reached a budget, and from then on works as usual.

// Budget of memory for one command, in bytes: a constant part, and so many
// times the size of the document it reads. (Reading and scheduling take about
// four times that size; Pacemaker's tools take 25 times.)
const (
	commandBudget  = 64 << 20
	documentBudget = 6
)

// putOffCollection puts off garbage collection until the budget is used up. A
// choice in the environment goes before.
func putOffCollection(document int64) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent := debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(commandBudget + documentBudget*document)
	// The first collection finds this out of use, as it is from now on. (It has
	// a pointer so that it is not put into one piece of memory with others.)
	runtime.AddCleanup(&struct{ _ *int }{}, func(int) {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}, 0)
}

// putOffFor puts off garbage collection if the options ask for one command and
// no more.
func (o *options) putOffFor(script bool) {
	if o.embedded > 0 || o.interactive || len(o.args) == 0 && !script {
		return
	}
	putOffCollection(fileSize(o.documentFile()))
}

// documentFile is the file that a command reads its CIB from, "" if none.
func (o *options) documentFile() string {
	if len(o.args) == 0 || o.args[0] != "simulate" {
		return o.cibFile()
	}
	for i, a := range o.args {
		if name, ok := strings.CutPrefix(a, "--xml-file="); ok {
			return name
		}
		if name, ok := strings.CutPrefix(a, "-x"); ok && name != "" {
			return name
		}
		if (a == "-x" || a == "--xml-file") && i+1 < len(o.args) {
			return o.args[i+1]
		}
	}
	return ""
}

// fileSize is the size of a file in bytes, 0 if it cannot be known.
func fileSize(name string) int64 {
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() {
		return 0
	}
	return st.Size()
}

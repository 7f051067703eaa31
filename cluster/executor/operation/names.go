package operation

import (
	"strconv"
	"strings"
)

// Clients by which the origin of a status change tells who made it. An
// executor's message is the key of the job whose result it is.
const (
	ControllerClient = "controller"
	ExecutorClient   = "executor"
)

// ResultName is an agent's result in words.
func ResultName(rc int) string {
	names := map[int]string{0: "ok", 1: "error", 2: "invalid parameter", 3: "unimplemented", 4: "insufficient privileges",
		5: "not installed", 6: "not configured", 7: "not running", 8: "promoted", 9: "promoted (failed)",
		190: "degraded", 191: "promoted (degraded)", 193: "pending"}
	if n, ok := names[rc]; ok {
		return n
	}
	return "result " + strconv.Itoa(rc)
}

// CountsFailures reports whether a node attribute counts or dates failures of
// a resource, of whatever operation and instance.
func CountsFailures(attribute, resource string) bool {
	rest, ok := strings.CutPrefix(attribute, "fail-count-")
	if !ok {
		if rest, ok = strings.CutPrefix(attribute, "last-failure-"); !ok {
			return false
		}
	}
	of, _, _ := strings.Cut(rest, "#")
	if of == resource {
		return true
	}
	instance, ok := strings.CutPrefix(of, resource+":")
	_, err := strconv.Atoi(instance)
	return ok && err == nil
}

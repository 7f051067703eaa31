package drivers

import (
	"errors"
	"fmt"
)

// LookupFailure is the result of an action whose agent could not be had:
// what the cluster records instead of running it.
func LookupFailure(err error) Result {
	var unusable *UnusableError
	if errors.As(err, &unusable) {
		return Result{RC: Permission, Status: Error, Reason: err.Error()}
	}
	return Result{RC: NotInstalled, Status: NoSuchAgent, Reason: err.Error()}
}

// String names the code as the OCF API does, in words.
func (rc RC) String() string {
	switch rc {
	case OK:
		return "ok"
	case GenericError:
		return "error"
	case BadArgs:
		return "invalid parameter"
	case Unimplemented:
		return "unimplemented feature"
	case Permission:
		return "insufficient privileges"
	case NotInstalled:
		return "not installed"
	case NotConfigured:
		return "not configured"
	case NotRunning:
		return "not running"
	case RunningPromoted:
		return "promoted"
	case FailedPromoted:
		return "promoted (failed)"
	case Degraded:
		return "degraded"
	case DegradedPromoted:
		return "promoted (degraded)"
	}
	return fmt.Sprintf("code %d", int(rc))
}

// Known tells whether the OCF API defines the code; every other one counts
// as GenericError.
func (rc RC) Known() bool {
	return rc >= OK && rc <= FailedPromoted || rc == Degraded || rc == DegradedPromoted
}

package heartbeat

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// urgency is the nice value of the threads that send and receive heartbeats: a
// host whose processors are all busy must not look dead to the others.
const urgency = -20

// hasten gives the calling goroutine a thread of its own, which goes before
// everything else on the host; agents do not inherit that, since they are
// started by other threads. It returns an error where that is not allowed; the
// goroutine then works like any other.
//
// The thread ends with the goroutine.
func hasten() error {
	runtime.LockOSThread()
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), urgency)
}

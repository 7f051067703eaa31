package daemon

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// startUrgency is the nice value of the daemon's threads until its heartbeats are sent:
// on a host whose processors are all busy, the start after a crash would otherwise take
// longer than the others wait before they have the host fenced.
const startUrgency = -15

// hurry lets all threads of the process go before the rest of the host; calm ends that,
// before agents are started, which would inherit it. Where this is not allowed, the
// start just takes longer.
func hurry() (calm func()) {
	usual, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return func() {}
	}
	usual = 20 - usual // the kernel's way to tell it
	if usual <= startUrgency {
		return func() {}
	}
	renice(usual, startUrgency)
	return func() { renice(startUrgency, usual) }
}

// renice changes all threads that have a nice value, and those that they start meanwhile.
func renice(from, to int) {
	for again := true; again; {
		again = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, e := range threads {
			id, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			if now, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && 20-now == from {
				again = unix.Setpriority(unix.PRIO_PROCESS, id, to) == nil || again
			}
		}
	}
}

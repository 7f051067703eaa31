package lab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var ahead = flag.Int("ahead", 0, "put the machines before the host's other work, by as much as this nice value (-20 to 0) does")

// stayAhead puts the machines before other work of a busy host, until ctx ends. Where
// the kernel shares processors among sessions first (autogroup in sched(7)), that is a
// value of the session, and each start of a machine is one of its own; elsewhere it is
// one of each thread.
func (m *Machines) stayAhead(ctx context.Context, nice int) {
	for {
		for _, n := range m.names {
			pid, err := os.ReadFile(m.path(n + ".pid"))
			if err != nil {
				continue // it is off
			}
			proc := "/proc/" + strings.TrimSpace(string(pid))
			if comm, err := os.ReadFile(proc + "/comm"); err == nil && strings.HasPrefix(string(comm), "qemu") {
				_ = os.WriteFile(proc+"/autogroup", fmt.Append(nil, nice), 0)
				threads, _ := os.ReadDir(proc + "/task")
				for _, thread := range threads {
					if id, err := strconv.Atoi(thread.Name()); err == nil {
						_ = unix.Setpriority(unix.PRIO_PROCESS, id, nice)
					}
				}
			}
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return
		}
	}
}

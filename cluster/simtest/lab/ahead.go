package lab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

var ahead = flag.Int("ahead", 0, "put the machines before the host's other work, by as much as this nice value (-20 to 0) does")

// stayAhead puts the machines before other work of a busy host, until ctx ends. Nice
// values of processes do not do that where the kernel shares processors among sessions
// first (autogroup in sched(7)), and each start of a machine is a session of its own.
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
			}
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return
		}
	}
}

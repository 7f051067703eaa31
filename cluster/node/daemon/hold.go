package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gcrm/durable"
)

// holdFile says until when the daemon is to stay down after a drill. It lies
// where a reboot removes it: a host that was fenced starts at once.
const holdFile = "hold"

// fail kills this process, as a crash would, and keeps the next one from
// working for a time.
func (o *Options) fail(limit time.Duration) {
	until := time.Now().Add(limit)
	if err := durable.Write(filepath.Join(o.RunDir, holdFile), []byte(strconv.FormatInt(until.Unix(), 10)+"\n"), 0o600); err != nil {
		o.Log.Error("the drill is off: the node would start again at once", "err", err)
		return
	}
	if o.die != nil {
		o.die(limit)
		return
	}
	// There is nothing left to do if it fails.
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// hold waits until the end of a drill.
func (o *Options) hold(ctx context.Context, notify *notifier) error {
	path := filepath.Join(o.RunDir, holdFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	// A clock that was set meanwhile must not keep the node down for long.
	wait := min(time.Until(time.Unix(seconds, 0)), time.Hour)
	if err == nil && wait > 0 {
		o.Log.Warn("a drill keeps this node down", "for", wait.Round(time.Second), "file", path)
		notify.send("STATUS=down for a drill\nEXTEND_TIMEOUT_USEC=" + strconv.FormatInt((wait+time.Minute).Microseconds(), 10))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return os.Remove(path)
}

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"gcrm/fencing"
)

// unit is the systemd unit of the daemon; %s is the path of the program.
const unit = `[Unit]
Description=gcrm high-availability cluster node
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s daemon
# Resources outlive a crash of the daemon, which finds them again.
KillMode=process
Restart=on-failure
RestartSec=1s
WatchdogSec=30s
TimeoutStopSec=25min
RuntimeDirectory=gcrm
RuntimeDirectoryPreserve=yes
StateDirectory=gcrm
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

// Command is "gcrm daemon ARGS"; it returns the exit status. methods are those
// of fence devices; nil stands for the agents installed on the host.
func Command(ctx context.Context, args []string, methods *fencing.Registry, s Streams) int {
	f := flags(s, "daemon")
	o := Options{Fencing: methods}
	dir := stateDirFlag(f)
	f.StringVar(&o.RunDir, "run-dir", DefaultRunDir, "folder for what lives as long as the boot")
	f.StringVar(&o.Socket, "socket", "", "socket of the API (default RUN-DIR/api.sock)")
	f.BoolVar(&o.LeaveRunning, "leave-running", false, "leave resources alone when the daemon ends")
	level := f.String("log-level", "info", "debug, info, warn or error")
	format := f.String("log-format", "text", "text or json")
	printUnit := f.Bool("unit", false, "print the systemd unit and do nothing else")
	if _, err := parse(s, f, args); err != nil {
		return s.status(err)
	}
	if *printUnit {
		program, err := os.Executable()
		if err == nil {
			fmt.Fprintf(s.Out, unit, program)
		}
		return s.status(err)
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(*level)); err != nil {
		return s.status(fmt.Errorf("--log-level %s is none of debug, info, warn, error", *level))
	}
	o.StateDir = *dir
	options := &slog.HandlerOptions{Level: l}
	switch *format {
	case "text":
		o.Log = slog.New(slog.NewTextHandler(s.Err, options))
	case "json":
		o.Log = slog.New(slog.NewJSONHandler(s.Err, options))
	default:
		return s.status(fmt.Errorf("--log-format %s is neither text nor json", *format))
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.status(Run(ctx, o))
}

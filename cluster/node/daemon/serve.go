package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/fencing"
	"gcrm/fencing/keeper"
)

// unit is the systemd unit of the daemon; %s is the path of the program.
const unit = `[Unit]
Description=gcrm high-availability cluster node
After=network-online.target time-sync.target
Wants=network-online.target
# It is tried for as long as it takes: a node without its daemon is fenced.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s daemon
# Resources outlive a crash of the daemon, which finds them again.
KillMode=process
Restart=on-failure
# One that crashed has to be heard again before the others miss it.
RestartSec=100ms
# A node that was removed from the cluster.
RestartPreventExitStatus=77
WatchdogSec=30s
TimeoutStopSec=25min
RuntimeDirectory=gcrm
RuntimeDirectoryPreserve=yes
StateDirectory=gcrm
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

// keeperSettings puts the options about watchdog and disks together; nil if there
// are none.
func keeperSettings(file, dog string, timeout time.Duration, disks string) (*keeper.Settings, error) {
	if file == "" && dog == "" && disks == "" {
		if timeout != 0 {
			return nil, errors.New("--watchdog-timeout needs --watchdog")
		}
		return nil, nil
	}
	k, err := keeper.ParseSettings("SBD_WATCHDOG_DEV=")
	if file != "" {
		var text []byte
		if text, err = os.ReadFile(file); err == nil {
			if k, err = keeper.ParseSettings(string(text)); err != nil {
				err = fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if dog != "" {
		k.Watchdog = dog
	}
	if timeout != 0 {
		k.Timeout = timeout
	}
	if disks != "" {
		k.Devices = keeper.Disks(disks)
	}
	return &k, err
}

// Command is "gcrm daemon ARGS"; it returns the exit status. methods are those
// of fence devices; nil stands for the agents installed on the host.
func Command(ctx context.Context, args []string, methods *fencing.Registry, s Streams) int {
	f := flags(s, "daemon")
	o := Options{Fencing: methods, Build: s.Build, Level: s.Level}
	dir := stateDirFlag(f)
	f.StringVar(&o.RunDir, "run-dir", DefaultRunDir, "folder for what lives as long as the boot")
	f.StringVar(&o.Socket, "socket", "", "socket of the API (default RUN-DIR/api.sock)")
	f.BoolVar(&o.LeaveRunning, "leave-running", false, "leave resources alone when the daemon ends")
	level := f.String("log-level", "info", "debug, info, warn or error")
	format := f.String("log-format", "text", "text or json")
	dog := f.String("watchdog", "", "device of the watchdog that resets this host when the node must not go on (/dev/watchdog)")
	dogTime := f.Duration("watchdog-timeout", 0, "after what time it does so (default 5s)")
	disks := f.String("sbd-devices", "", "shared disks in sbd's format with the node's mailbox, separated by ;")
	agents := f.String("agents", "", "which agents serve where the host has a script and gcrm its own: script (the default) or native, and NAME=script or NAME=native for single ones, separated by commas")
	sbdConfig := f.String("sbd-config", "", "file that has watchdog and disks in the form of sbd's own (/etc/default/sbd, /etc/sysconfig/sbd)")
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
	var err error
	if o.Keeper, err = keeperSettings(*sbdConfig, *dog, *dogTime, *disks); err != nil {
		return s.status(err)
	}
	if *agents != "" {
		if o.Agents, err = agentsOf(*agents); err != nil {
			return s.status(err)
		}
	}
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
	err = Run(ctx, o)
	if err != nil && ctx.Err() == nil && os.Getenv("NOTIFY_SOCKET") != "" {
		// The service manager starts it again at once, as after a crash; what
		// cannot run now hardly can a moment later.
		time.Sleep(failurePause)
	}
	return s.status(err)
}

// agentsOf is the registry of agents with the preferences of a list.
func agentsOf(list string) (*drivers.Registry, error) {
	p, err := drivers.ParsePreferences(list)
	if err != nil {
		return nil, fmt.Errorf("--agents: %w", err)
	}
	return all.Registry(all.Options{Preferences: p}), nil
}

// failurePause is how long a service that failed by itself waits before it ends.
const failurePause = time.Second

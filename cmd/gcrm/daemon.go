package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"gcrm/cluster/node/daemon"
	"gcrm/shell"
)

// daemonVerbs runs "gcrm daemon" and "gcrm cluster ...", which work where no
// daemon answers yet; ok is false for anything else.
func daemonVerbs(args []string) (status int, ok bool) {
	if len(args) == 0 || args[0] != "daemon" && args[0] != "cluster" {
		return 0, false
	}
	if args[0] == "cluster" && len(args) > 1 && shell.AsksCluster(args[1]) {
		return 0, false
	}
	s := hostStreams()
	if args[0] == "daemon" {
		return daemon.Command(context.Background(), args[1:], fenceMethods(), s), true
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return daemon.ClusterCommand(ctx, args[1:], s), true
}

// hostStreams is where commands about this host's daemon read and write.
func hostStreams() daemon.Streams {
	return daemon.Streams{Out: os.Stdout, Err: os.Stderr, Build: versionText(), Level: heldLevel()}
}

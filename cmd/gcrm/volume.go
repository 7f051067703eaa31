package main

import (
	"context"
	"os"
	"os/signal"

	"gcrm/replication/admin"
)

// volumeVerb runs "gcrm volume ...", which needs no cluster.
func volumeVerb(args []string) int {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	p := &admin.Program{Out: os.Stdout, Err: os.Stderr, Terminal: isTerminal(os.Stdout), Self: []string{self}, Fence: volumeFence}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return p.Main(ctx, args)
}

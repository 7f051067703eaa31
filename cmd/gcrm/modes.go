package main

import (
	"context"
	"errors"

	"gcrm/shell"
)

// helper runs the program under one of the names that agents call.
func helper(name string, args []string) (status int, ok bool) {
	return 0, false
}

// openLive connects to the daemon of this host.
func (o *options) openLive(cfg *shell.Config) error {
	return errors.New("no daemon answers; start one, or use --embedded N or --cib FILE")
}

func (o *options) runEmbedded(ctx context.Context, cfg shell.Config, script *string, name string) int {
	return exitDisconnected
}

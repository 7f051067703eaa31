package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/shell"
)

func isConflict(err error) bool { return errors.Is(err, cib.ErrConflict) }

// openLive connects to the daemon of this host.
func (o *options) openLive(cfg *shell.Config) error {
	path := socketPath(o.socket)
	c, err := client.Dial(path, "gcrm shell")
	if err != nil {
		return fmt.Errorf("no daemon answers at %s (%w); start one, or use --embedded N or --cib FILE", path, err)
	}
	cfg.Cluster, cfg.Source = c, "live"
	return nil
}

// simulate is gcrm simulate: it needs a cluster only to read its CIB.
func (o *options) simulate(ctx context.Context, cfg shell.Config) int {
	args := o.args[1:]
	if o.format == "json" {
		args = append(args, "--output-as=json")
	}
	return shell.Simulate(ctx, args, os.Stdin, os.Stdout, os.Stderr, func(ctx context.Context) (*cib.CIB, error) {
		if err := o.open(&cfg); err != nil {
			return nil, err
		}
		defer cfg.Cluster.Close()
		return cfg.Cluster.CIB(ctx, true)
	})
}

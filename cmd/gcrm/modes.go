package main

import (
	"errors"
	"fmt"

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

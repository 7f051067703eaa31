package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/node/daemon"
	"gcrm/cmd/gcrm/agenthelp"
	"gcrm/drivers"
	"gcrm/shell"
)

// answerLimit is how long the daemon of this host may take to say who it is.
const answerLimit = 5 * time.Second

// socketPath is where the daemon of this host listens, unless an option or the
// environment says otherwise.
func socketPath(option string) string {
	return cmp.Or(option, os.Getenv(drivers.EnvSocket), agenthelp.DefaultSocket)
}

// openLive connects to the daemon of this host.
func (o *options) openLive(cfg *shell.Config) error {
	path := socketPath(o.socket)
	c, err := client.Dial(path, "gcrm shell")
	if err != nil {
		return fmt.Errorf("%w; to try things out, use --embedded N", err)
	}
	cfg.Cluster, cfg.Source = c, "live"
	cfg.Host = func(ctx context.Context, args []string) int {
		return daemon.ClusterCommand(ctx, args, hostStreams())
	}
	// A daemon that does not answer is found out now, not at the first command.
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	info, err := c.Info(ctx)
	if err != nil {
		c.Close()
		return fmt.Errorf("no daemon answers at %s (%w); start one, or use --embedded N or --cib FILE", path, err)
	}
	cfg.Source = "live/" + info.Node
	return nil
}

// openHost connects to a node elsewhere.
func (o *options) openHost(cfg *shell.Config) error {
	identity := cmp.Or(o.identity, os.Getenv("GCRM_IDENTITY"))
	if identity == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return err
		}
		identity = filepath.Join(dir, "gcrm", "identity.pem")
	}
	address := o.host
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(daemon.DefaultPort))
	}
	c, err := client.DialTLS(address, identity, "gcrm shell")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	info, err := c.Info(ctx)
	if err != nil {
		c.Close()
		return fmt.Errorf("no node answers at %s: %w", address, err)
	}
	cfg.Cluster, cfg.Source = c, info.ClusterName+"/"+info.Node
	return nil
}

// simulate is gcrm simulate: it needs a cluster only to read its CIB.
func (o *options) simulate(ctx context.Context, cfg shell.Config) int {
	args := o.args[1:]
	if o.format == "json" {
		args = append(args, "--output-as=json")
	}
	return shell.Simulate(ctx, args, os.Stdin, os.Stdout, os.Stderr, cfg.Display, func(ctx context.Context) (*cib.CIB, []client.FenceEntry, error) {
		if err := o.open(&cfg); err != nil {
			return nil, nil, err
		}
		defer cfg.Cluster.Close()
		doc, err := cfg.Cluster.CIB(ctx, true)
		if err != nil {
			return nil, nil, err
		}
		var fenced []client.FenceEntry
		if w, ok := cfg.Cluster.(client.Warden); ok {
			fenced, _ = w.Fencings(ctx) // without it, times are assumed
		}
		return doc, fenced, nil
	})
}

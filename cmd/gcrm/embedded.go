package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"gcrm/cluster/embedded"
	"gcrm/shell"
)

// stopLimit bounds how long an embedded cluster may take to stop its resources
// at the end.
const stopLimit = 30 * time.Second

// runEmbedded runs a cluster inside this process for as long as the shell
// lasts. After a script it waits until the cluster has settled and tells what
// became of it.
func (o *options) runEmbedded(ctx context.Context, cfg shell.Config, script *string, name string) (status int) {
	stay := o.interactive || script == nil && len(o.args) == 0
	if !stay || !isTerminal(os.Stdin) {
		// Nobody is at a prompt: Ctrl-C ends the program, in good order.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	note := func(format string, a ...any) {
		if o.format == "text" {
			fmt.Fprintf(os.Stderr, format+"\n", a...)
		}
	}
	started := time.Now()
	c, err := embedded.Start(ctx, embedded.Config{Nodes: o.embedded, StateDir: o.stateDir})
	if err != nil {
		if ctx.Err() != nil {
			return exitInterrupted
		}
		fmt.Fprintf(os.Stderr, "gcrm: the embedded cluster did not start: %v\n", err)
		return exitFailed
	}
	nodes := "1 node"
	if c.Nodes() != 1 {
		nodes = fmt.Sprintf("%d nodes", c.Nodes())
	}
	note("%s started in %.1fs; state is kept in %s", nodes, time.Since(started).Seconds(), c.StateDir())
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		note("stopping the cluster")
		if err := c.Stop(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "gcrm: stopping the cluster: %v\n", err)
			if status == exitOK {
				status = exitFailed
			}
		}
	}()
	client, err := c.Client(1)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gcrm: %v\n", err)
		return exitFailed
	}
	defer client.Close()
	cfg.Cluster, cfg.Source = client, "live/node1"
	s := shell.NewSession(cfg)
	if script != nil {
		status = o.scriptOnCluster(ctx, s, *script, name)
		if ctx.Err() != nil {
			return exitInterrupted
		}
		if !o.interactive {
			return status
		}
		return o.stay(ctx, s, status)
	}
	return o.converse(ctx, s, nil, "")
}

// scriptOnCluster runs a script and waits for the cluster to do what follows
// from it.
func (o *options) scriptOnCluster(ctx context.Context, s *shell.Session, script, name string) int {
	if !s.RunScript(ctx, name, script) {
		return exitFailed
	}
	p := shell.NewProgress(os.Stderr)
	began := time.Now()
	err := s.Settle(ctx, p.Update)
	p.Done()
	if err == nil && o.format == "text" {
		fmt.Fprintf(os.Stderr, "the cluster has settled %.2fs after the commit\n", time.Since(began).Seconds())
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if serr := s.ShowStatus(ctx); serr != nil {
		err = errors.Join(err, serr)
	}
	reasons, rerr := s.NotRunning(ctx)
	err = errors.Join(err, rerr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gcrm: %v\n", err)
	}
	for _, r := range reasons {
		fmt.Fprintf(os.Stderr, "gcrm: %s\n", r)
	}
	if err != nil || len(reasons) > 0 {
		return exitFailed
	}
	return exitOK
}

// stay goes on after a script: at the prompt, or with what standard input
// says if that is no terminal.
func (o *options) stay(ctx context.Context, s *shell.Session, status int) int {
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		return o.converse(ctx, s, nil, "")
	}
	b, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gcrm: standard input: %v\n", err)
		return exitFailed
	}
	if !s.RunScript(ctx, "stdin", string(b)) {
		return exitFailed
	}
	return status
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (in *invocation) serveOptions(r *Resource) ServeOptions {
	return ServeOptions{Config: in.config, Node: in.node, Folder: in.folder, Resource: r.Res.Name, Idle: in.idle,
		Listen: in.listen, CertFile: in.cert, KeyFile: in.key, CAFile: in.ca, Device: in.device, Fence: in.p.Fence}
}

// serve is the keeper, or with --worker the process itself.
func (in *invocation) serve(ctx context.Context, list []*Resource) error {
	if len(list) != 1 {
		return &commandError{"serve one resource", exitUsage}
	}
	o := in.serveOptions(list[0])
	if in.worker {
		var channels []*os.File
		if in.device == "loop" {
			channels = InheritedChannels(len(list[0].Volumes))
		}
		return Serve(ctx, o, channels)
	}
	if in.volume != nil {
		return &commandError{"serve is about the resource with all its volumes", exitUsage}
	}
	var names []string
	for _, v := range list[0].Volumes {
		names = append(names, v.Name())
	}
	k := &Keeper{Options: o, Volumes: names, CPUs: list[0].Conf.ResourceOptions(list[0].Res, list[0].Local).CPUMask, Worker: in.commandLine(list[0], "--worker"),
		Log: func(text string) { fmt.Fprintf(in.p.Err, "%s %s\n", time.Now().Format("15:04:05.000"), text) }}
	return k.Run(ctx)
}

// commandLine is that of serve, with the options of this call.
func (in *invocation) commandLine(r *Resource, more ...string) []string {
	argv := slices.Concat(in.p.Self, []string{"volume", "serve", "--run-dir", string(in.folder), "--device", in.device}, more)
	for _, o := range []struct{ name, value string }{{"--config", in.config}, {"--node", in.node}, {"--listen", in.listen},
		{"--tls-cert", in.cert}, {"--tls-key", in.key}, {"--tls-ca", in.ca}} {
		if o.value != "" {
			argv = append(argv, o.name, o.value)
		}
	}
	if in.idle {
		argv = append(argv, "--idle")
	}
	return append(argv, r.Res.Name)
}

// up starts the process in the background and tells it to attach and connect.
func (in *invocation) up(ctx context.Context, r *Resource) error {
	name := r.Res.Name
	for _, text := range r.Ignored {
		fmt.Fprintf(in.p.Err, "%s: warning: option without effect: %s\n", name, text)
	}
	if _, err := in.folder.Call(ctx, name, Call{Command: "status"}); err != nil {
		if !errors.Is(err, ErrNotRunning) {
			return err
		}
		if err := in.launch(ctx, r); err != nil {
			return err
		}
	}
	if err := in.tell(ctx, r, Call{Command: "attach"}); err != nil {
		// What cannot be attached is not left running half.
		_ = in.tell(ctx, r, Call{Command: "down"})
		return err
	}
	if in.alone {
		return nil
	}
	return in.tell(ctx, r, Call{Command: "connect", Discard: in.discard})
}

// launch starts the keeper and waits until its process answers.
func (in *invocation) launch(ctx context.Context, r *Resource) error {
	name := r.Res.Name
	if err := os.MkdirAll(string(in.folder), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(in.folder.Log(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	in.idle = true
	argv := in.commandLine(r)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for {
		if _, err := in.folder.Call(ctx, name, Call{Command: "status"}); err == nil {
			return nil
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(in.folder.Log(name))
			return &commandError{fmt.Sprintf("%s: its process ended at once:\n%s", name, strings.TrimSpace(string(text))), exitFailed}
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// down ends the process; that there is none is fine.
func (in *invocation) down(ctx context.Context, r *Resource) error {
	err := in.tell(ctx, r, Call{Command: "down"})
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	for range 500 {
		c, err := in.folder.Dial(r.Res.Name)
		if err == nil {
			c.Close()
		} else if !slices.ContainsFunc(r.Volumes, func(v *Volume) bool {
			_, err := os.Stat(in.folder.Mount(v.Name()))
			return !errors.Is(err, os.ErrNotExist)
		}) {
			return nil // the keeper has cleaned up, too
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the process of %s does not end", r.Res.Name)
}

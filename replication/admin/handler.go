package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// handler runs the command that the configuration has for an event, with the
// environment that drbdadm gives it. Without one it does nothing and gives 0.
func (s *server) handler(ctx context.Context, name string, volumes []*Volume) int {
	command := s.r.Conf.Handler(s.r.Res, name)
	if command == "" {
		return 0
	}
	if s.o.Fence != nil {
		words := strings.Fields(command)
		switch script := filepath.Base(words[0]); {
		case script == "crm-fence-peer.sh" || script == "crm-fence-peer.9.sh":
			return s.o.Fence(ctx, s.o.Resource, false)
		case script == "crm-unfence-peer.sh" || script == "crm-unfence-peer.9.sh":
			return s.unfence(ctx)
		}
	}
	s.log(fmt.Sprintf("handler %s: %s", name, command))
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Env = slices.Concat(os.Environ(), s.environment(volumes))
	out, err := cmd.CombinedOutput()
	if text := strings.TrimSpace(string(out)); text != "" {
		s.log("handler " + name + ": " + text)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	}
	s.log(fmt.Sprintf("handler %s: %v", name, err))
	return 127
}

// unfence lets the peer be promoted again, as long as it has everything: it may be lost, and fenced, while the cluster is
// being told. Without a volume it is the wish of an administrator.
func (s *server) unfence(ctx context.Context) int {
	if s.v == nil {
		return s.o.Fence(ctx, s.o.Resource, true)
	}
	alike := func() bool {
		return !slices.ContainsFunc(s.volumes, func(v *served) bool { return !v.State().SameData() })
	}
	ctx, cancel := asLongAs(ctx, alike, s.v.Changed)
	defer cancel()
	if ctx.Err() != nil {
		s.log("unfence-peer: not now: the nodes do not have the same data")
		return 1
	}
	return s.o.Fence(ctx, s.o.Resource, true)
}

// asLongAs ends a context when something does not hold any more. changed gives what is closed at the next change.
func asLongAs(ctx context.Context, holds func() bool, changed func() <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	next := changed()
	if !holds() {
		cancel()
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-next:
			}
			if next = changed(); !holds() {
				cancel()
			}
		}
	}()
	return ctx, cancel
}

// environment has, of handlers about the whole resource, lists of what each volume has.
func (s *server) environment(volumes []*Volume) []string {
	list := func(of func(*Volume) string) string {
		var out []string
		for _, v := range volumes {
			out = append(out, of(v))
		}
		return strings.Join(out, " ")
	}
	peer := s.r.Peer
	family := peer.Address.Family
	env := []string{
		"DRBD_RESOURCE=" + s.o.Resource, "DRBD_CONF=" + s.r.Conf.Path, "DRBD_MINOR=" + list(func(v *Volume) string { return fmt.Sprint(v.Minor()) }),
		"DRBD_VOLUME=" + list(func(v *Volume) string { return fmt.Sprint(v.Number()) }),
		"DRBD_LL_DISK=" + list(func(v *Volume) string { return v.Conf.Disk }),
		"DRBD_PEER_AF=" + family, "DRBD_PEER_ADDRESS=" + peer.Address.IP.String(),
	}
	if len(peer.Names) > 0 {
		env = append(env, "DRBD_PEER="+peer.Names[0], "DRBD_PEERS="+strings.Join(peer.Names, " "))
	}
	return env
}

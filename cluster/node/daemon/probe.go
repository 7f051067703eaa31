package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"gcrm/cluster/consensus"
	"gcrm/cluster/node"
	"gcrm/cluster/transport"
)

const (
	// probePadding is longer than any packet, so that a way on which long
	// packets are lost is found out.
	probePadding = 24 << 10
	probeLimit   = 5 * time.Second
	// toldSkew is the difference of clocks that is told; more than an hour is
	// refused by the cluster.
	toldSkew = time.Second
)

// probe looks, before anything is changed anywhere, whether joining will work:
// the token, the name and the addresses, versions, clocks, the way for long
// messages, and the way to every node.
func (o *JoinOptions) probe(ctx context.Context, contact, fingerprint string, req node.JoinRequest) error {
	req.Probe, req.Padding = true, make([]byte, probePadding)
	answer, offset, err := askBefore(ctx, contact, fingerprint, req)
	var refused *transport.RemoteError
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		small := req
		small.Padding = nil
		if _, _, serr := askBefore(ctx, contact, fingerprint, small); serr == nil {
			return fmt.Errorf("short messages arrive, long ones do not (%w): packets of full size are lost on the way; "+
				"make the MTU the same on all hosts and switches, for example with 'ip link set dev INTERFACE mtu 1400'", err)
		}
	}
	if err != nil {
		return err
	}
	tell := func(format string, args ...any) {
		if o.Tell != nil {
			o.Tell(fmt.Sprintf(format, args...))
		}
	}
	if offset > toldSkew || offset < -toldSkew {
		tell("the clock of this host is off by %v; keep it right with an NTP client (for example: systemctl enable --now chrony; chronyc makestep)", offset.Round(time.Millisecond))
	}
	if answer.Build != "" && o.Build != "" && answer.Build != o.Build {
		tell("this host has gcrm %s, the cluster %s: that works, but update the older one soon", o.Build, answer.Build)
	}
	for _, m := range answer.Members {
		if len(m.Addresses) != len(req.Addresses) {
			tell("node %s has %d networks, this host %d: only the first ones count", m.Name, len(m.Addresses), len(req.Addresses))
		}
		if m.State != consensus.Online {
			continue
		}
		if err := reachable(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// askBefore returns the answer, and how far this host's clock is ahead.
func askBefore(ctx context.Context, contact, fingerprint string, req node.JoinRequest) (*node.JoinProbe, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	begin := time.Now()
	raw, err := transport.Join(ctx, contact, fingerprint, req.Name, req)
	if err != nil {
		return nil, 0, err
	}
	took := time.Since(begin)
	p := &node.JoinProbe{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, 0, fmt.Errorf("unreadable answer: %w", err)
	}
	return p, begin.Add(took / 2).Sub(p.Time), nil
}

// reachable tries the way to a node.
func reachable(ctx context.Context, m consensus.Member) error {
	var errs []string
	for _, a := range m.Addresses {
		ctx, cancel := context.WithTimeout(ctx, probeLimit)
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", a)
		cancel()
		if err == nil {
			return c.Close()
		}
		errs = append(errs, err.Error())
	}
	port := ""
	if len(m.Addresses) > 0 {
		_, port, _ = net.SplitHostPort(m.Addresses[0])
	}
	return fmt.Errorf("node %s cannot be reached from here (%s); every node has to reach every other one: let TCP and UDP port %s in there, for example with 'firewall-cmd --permanent --add-port=%s/tcp --add-port=%s/udp; firewall-cmd --reload'",
		m.Name, strings.Join(errs, "; "), port, port, port)
}

package iscsi

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// nothing is how iscsiadm ends when there are no records or sessions.
const nothing = 21

// session is one line of "iscsiadm -m session".
type session struct{ id, portal, target string }

// parseSessions reads lines such as
// "tcp: [3] 192.0.2.1:3260,1 iqn.2011-01.org.example:disk (non-flash)".
func parseSessions(text string) []session {
	var out []session
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 4 || !strings.HasPrefix(w[1], "[") {
			continue
		}
		address, _, _ := strings.Cut(w[2], ",")
		out = append(out, session{strings.Trim(w[1], "[]"), address, w[3]})
	}
	return out
}

// parseDiscovery reads what a discovery has found and returns the portals of
// a target.
func parseDiscovery(text, target string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) >= 2 && w[len(w)-1] == target {
			address, _, _ := strings.Cut(w[len(w)-2], ",")
			out = append(out, address)
		}
	}
	return out
}

// connectionState reads the state of a session's connection from
// "iscsiadm -m session -r ID -P 1"; "" if it names none.
func connectionState(text string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.HasSuffix(key, "Connection State") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// samePortal tells whether an address is the one asked for, whose port may be
// left out.
func samePortal(address, asked string) bool {
	if address == asked {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	return err == nil && host == strings.Trim(asked, "[]")
}

func (h host) ask(ctx context.Context, c *native.Call, words ...string) (out string, none bool, err error) {
	out, err = c.Ask(ctx, append([]string{c.Params.String("iscsiadm")}, words...)...)
	var exit *native.ExitError
	if errors.As(err, &exit) && exit.Outcome.Code == nothing {
		return out, true, nil
	}
	return out, false, err
}

// find returns the session with the target through the portal.
func (h host) find(ctx context.Context, c *native.Call) (session, bool, error) {
	out, none, err := h.ask(ctx, c, "-m", "session")
	if err != nil || none {
		return session{}, false, err
	}
	for _, s := range parseSessions(out) {
		if s.target == c.Params.String("target") && samePortal(s.portal, c.Params.String("portal")) {
			return s, true, nil
		}
	}
	return session{}, false, nil
}

// usable tells whether sessions can be there at all: the daemon runs, or the
// first login starts it.
func (h host) usable(c *native.Call) error {
	if _, err := c.Tool(c.Params.String("iscsiadm")); err != nil {
		return err
	}
	if h.iscsid() {
		return nil
	}
	raw, err := os.ReadFile(h.conf)
	if err == nil {
		for line := range strings.Lines(string(raw)) {
			if strings.HasPrefix(line, "iscsid.startup") {
				return nil
			}
		}
	}
	return errors.New("iscsid does not run: start it (systemctl enable --now iscsid), or set iscsid.startup in " + h.conf)
}

func (h host) checkInitiator(c *native.Call) drivers.Result {
	if err := h.usable(c); err != nil {
		return native.Fail(drivers.NotInstalled, "%v", err)
	}
	if v := strings.ToLower(c.Params.String("udev")); v != "yes" && v != "no" {
		return native.Fail(drivers.NotConfigured, "parameter udev: %q is neither yes nor no", c.Params.String("udev"))
	}
	return native.OK()
}

func (h host) monitorSession(ctx context.Context, c *native.Call) drivers.Result {
	if h.usable(c) != nil {
		return native.NotRunning()
	}
	return h.session(ctx, c, !c.Probe() && c.Params.Bool("try_recovery"))
}

// session looks at the session; with patience it waits for a broken one to
// recover, as long as the action may take.
func (h host) session(ctx context.Context, c *native.Call, patient bool) drivers.Result {
	for {
		s, ok, err := h.find(ctx, c)
		if err != nil {
			return native.Fail(drivers.GenericError, "%v", err)
		}
		if !ok {
			return native.NotRunning()
		}
		out, none, err := h.ask(ctx, c, "-m", "session", "-r", s.id, "-P", "1")
		if err != nil {
			return native.Fail(drivers.GenericError, "%v", err)
		}
		if none {
			continue // logged out between the two questions
		}
		state := connectionState(out)
		if state == "LOGGED IN" || state == "" || strings.EqualFold(state, "unknown") { // some transports tell no state
			return native.OK()
		}
		c.Waiting("session %s with %s to recover, its connection is %s", s.id, s.target, state)
		if !patient || native.Sleep(ctx, h.pause) != nil {
			return native.Fail(drivers.GenericError, "the session with %s at %s is broken, its connection is %s: check the network to the portal and the target there", s.target, s.portal, state)
		}
	}
}

func (h host) login(ctx context.Context, c *native.Call) drivers.Result {
	target, at := c.Params.String("target"), c.Params.String("portal")
	if res := h.session(ctx, c, true); res.RC != drivers.NotRunning {
		return res
	}
	tool := c.Params.String("iscsiadm")
	_, none, err := h.ask(ctx, c, "-m", "node", "-p", at, "-T", target)
	if err != nil {
		return native.Failed(err)
	}
	if none { // no record of the target yet
		found, res := h.discover(ctx, c)
		if res.RC != drivers.OK {
			return res
		}
		at = found
	}
	if err := c.Change(ctx, tool, "-m", "node", "-p", at, "-T", target, "-l"); err != nil {
		return native.Fail(drivers.GenericError, "login to %s at %s: %v", target, at, err)
	}
	if c.Dry() {
		return native.OK()
	}
	if strings.EqualFold(c.Params.String("udev"), "yes") {
		s, ok, err := h.find(ctx, c)
		if err != nil || !ok {
			return native.Fail(drivers.GenericError, "no session with %s after the login (%v)", target, err)
		}
		links := filepath.Join(globQuote(h.byPath), "ip-"+globQuote(s.portal)+"-iscsi-"+globQuote(target)+"*")
		c.Waiting("udev to show the disks of %s as %s", target, links)
		if err := c.Poll(ctx, min(h.pause, second/5), func() bool { l, _ := filepath.Glob(links); return len(l) > 0 }); err != nil {
			return native.Fail(drivers.GenericError, "udev has not shown the disks of %s as %s: has the target any unit?", target, links)
		}
	}
	if res := h.session(ctx, c, true); res.RC != drivers.NotRunning {
		return res
	}
	return native.Fail(drivers.GenericError, "no session with %s after the login", target)
}

// discover asks the portal for its targets, which makes records of them.
func (h host) discover(ctx context.Context, c *native.Call) (string, drivers.Result) {
	target, at := c.Params.String("target"), c.Params.String("portal")
	argv := []string{c.Params.String("iscsiadm"), "-m", "discoverydb", "-p", at, "-t", c.Params.String("discovery_type")}
	if c.Params.String("discovery_type") == "sendtargets" {
		argv = append(argv, "-D")
	}
	var out string
	if err := c.Do(native.Quote(argv), func() (err error) { out, err = c.Ask(ctx, argv...); return err }); err != nil {
		return "", native.Fail(drivers.GenericError, "discovery at portal %s: %v", at, err)
	}
	if c.Dry() {
		return at, native.OK()
	}
	portals := parseDiscovery(out, target)
	for _, p := range portals {
		if samePortal(p, at) {
			return p, native.OK()
		}
	}
	switch len(portals) {
	case 0:
		return "", native.Fail(drivers.GenericError, "portal %s has no target %s, or does not show it to this initiator (/etc/iscsi/initiatorname.iscsi)", at, target)
	case 1:
		return portals[0], native.OK()
	}
	return "", native.Fail(drivers.GenericError, "target %s has the portals %s: set the parameter portal to one of them", target, strings.Join(portals, ", "))
}

func (h host) logout(ctx context.Context, c *native.Call) drivers.Result {
	if c.Params.String("target") == "" || h.usable(c) != nil {
		return native.OK()
	}
	s, ok, err := h.find(ctx, c)
	switch {
	case err != nil:
		return native.Fail(drivers.GenericError, "%v", err)
	case !ok:
		return native.OK()
	}
	if err := c.Change(ctx, c.Params.String("iscsiadm"), "-m", "session", "-r", s.id, "-u"); err != nil {
		return native.Fail(drivers.GenericError, "logout from %s: %v", s.target, err)
	}
	if _, ok, err := h.find(ctx, c); !c.Dry() && (err != nil || ok) {
		return native.Fail(drivers.GenericError, "the session with %s is still there after its logout (%v)", s.target, err)
	}
	return native.OK()
}

func methods(context.Context, *native.Call) drivers.Result {
	return drivers.Result{Output: "start\nstop\nstatus\nmonitor\nvalidate-all\nmethods\nmeta-data\n"}
}

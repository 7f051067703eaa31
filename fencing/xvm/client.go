package xvm

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/fencing"
)

const defaultKey = "/etc/cluster/fence_xvm.key"

// Method is fence_xvm (Virt false) or fence_virt, which differ only in where
// they ask if nothing is configured.
type Method struct {
	fencing.Description
	virt bool
}

// New returns the method of a name.
func New(name string) *Method {
	long := "Asks the host of a virtual machine, where fence_virtd or gcrm's own server listens, to switch it. " +
		"With ipaddr over TCP, with vsock over AF_VSOCK, else by multicast; then the host connects back to ipport, which the firewall has to let in."
	return &Method{virt: name == "fence_virt", Description: fencing.Description{Name: name, Short: "virtual machines by their host", Long: long,
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List, "list-status"},
		Params: fencing.WithPower(
			fencing.Param{Name: "port", Obsoletes: "domain", Short: "name or UUID of the virtual machine"},
			fencing.Param{Name: "ipaddr", Short: "address of the host, for TCP"},
			fencing.Param{Name: "vsock", Type: "integer", Short: "context id of the host, for AF_VSOCK (2)"},
			fencing.Param{Name: "multicast_address", Default: "225.0.0.12", Short: "multicast group"},
			fencing.Param{Name: "ip_family", Default: "auto", Type: "select", Values: []string{"auto", "ipv4", "ipv6"}, Short: "kind of addresses"},
			fencing.Param{Name: "ipport", Type: "integer", Default: "1229", Short: "port of the host, and for its connection back"},
			fencing.Param{Name: "interface", Short: "network interface for multicast"},
			fencing.Param{Name: "retrans", Type: "integer", Default: "20", Short: "tenths of a second until a request is repeated"},
			fencing.Param{Name: "hash", Type: "select", Default: "sha256", Values: []string{"none", "sha1", "sha256", "sha512"}, Short: "digest of requests"},
			fencing.Param{Name: "auth", Type: "select", Default: "sha256", Values: []string{"none", "sha1", "sha256", "sha512"}, Short: "digest of the challenges"},
			fencing.Param{Name: "key_file", Default: defaultKey, Short: "file with the shared key"},
			fencing.Param{Name: "use_uuid", Type: "boolean", Default: "0", Short: "port is a UUID"},
			fencing.Param{Name: "timeout", Type: "second", Default: "30", Short: "how long an answer may take"},
		)}}
}

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	cl, err := m.client(c)
	if err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	switch c.Action {
	case fencing.Monitor:
		_, err := cl.list(ctx)
		return fencing.OutcomeOf(ctx, err)
	case fencing.List, "list-status":
		list, err := cl.list(ctx)
		o := fencing.OutcomeOf(ctx, err)
		for _, d := range list {
			o.Hosts = append(o.Hosts, strings.ToLower(d.Name), strings.ToLower(d.UUID))
		}
		return o
	}
	cl.domain = c.Param("port", "plug", "domain", c.Plug)
	if cl.domain == "" || len(cl.domain) > 63 {
		return fencing.Fail("set pcmk_host_map to the names of the virtual machines", "no virtual machine is given, or its name is too long")
	}
	return fencing.Operate(ctx, c, cl)
}

// client is one call.
type client struct {
	network, host, iface string
	family               string
	port                 uint16
	retrans              time.Duration
	hash, auth           Hash
	key                  []byte
	uuid                 bool
	domain               string
	cid                  uint32
	timeout              time.Duration // for one answer
}

func (m *Method) client(c fencing.Call) (*client, error) {
	cl := &client{network: "multicast", host: c.Param("multicast_address", ""), iface: c.Param("interface", ""), family: c.Param("ip_family", "auto"),
		uuid: c.Param("use_uuid", "0") != "0", timeout: c.Duration(30*time.Second, "timeout")}
	fail := func(what string, err error) (*client, error) {
		return nil, &fencing.Error{Op: "configure", On: c.Device, Err: fmt.Errorf("%s: %w", what, err), Hint: "correct " + what + "; see gcrm ra info stonith:" + c.Agent}
	}
	port, err := strconv.ParseUint(c.Param("ipport", "1229"), 10, 16)
	if err != nil {
		return fail("ipport", err)
	}
	cl.port = uint16(port)
	n, err := strconv.Atoi(c.Param("retrans", "20"))
	if err != nil || n < 1 {
		return fail("retrans", errors.New("not a number of tenths of seconds"))
	}
	cl.retrans = time.Duration(n) * 100 * time.Millisecond
	if cl.hash, err = ParseHash(c.Param("hash", "sha256")); err != nil {
		return fail("hash", err)
	}
	if cl.auth, err = ParseHash(c.Param("auth", "sha256")); err != nil {
		return fail("auth", err)
	}
	switch {
	case c.Param("vsock", "") != "":
		cid, err := strconv.ParseUint(c.Param("vsock", ""), 10, 32)
		if err != nil {
			return fail("vsock", err)
		}
		cl.network, cl.cid = "vsock", uint32(cid)
	case c.Param("ipaddr", "ip", "") != "":
		cl.network, cl.host = "tcp", c.Param("ipaddr", "ip", "")
	case m.virt && cl.host == "":
		return nil, &fencing.Error{Op: "configure", On: c.Device, Err: errors.New("fence_virt does not know where the host is"),
			Hint: "set ipaddr or vsock, or use fence_xvm for multicast"}
	case cl.host == "":
		cl.host = "225.0.0.12"
		if cl.family == "ipv6" {
			cl.host = "ff05::3:1"
		}
	}
	path := c.Param("key_file", defaultKey)
	if cl.key, err = readKey(path, cl.hash, cl.auth); err != nil {
		return nil, &fencing.Error{Op: "read", On: path, Err: err,
			Hint: "put the key of the host there, or set hash=none and auth=none to go without authentication"}
	}
	return cl, nil
}

// ask does one request and returns the answer, and what is behind it.
func (c *client) ask(ctx context.Context, op Op) (byte, []Domain, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.connect(ctx, op)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if c.network != "multicast" { // where who called back has logged in
		if err := c.login(conn); err != nil {
			return 0, nil, c.loginFailed(ctx, err)
		}
	}
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, nil, &fencing.Error{Op: "ask", On: c.where(), Err: fmt.Errorf("the host broke off: %w", err), Hint: "see the log of fence_virtd, and whether its hypervisor answers"}
	}
	if b[0] != answerList {
		return b[0], nil, nil
	}
	list, err := readDomains(conn)
	if err != nil {
		err = &fencing.Error{Op: "list the virtual machines of", On: c.where(), Err: err, Hint: "see the log of fence_virtd"}
	}
	return b[0], list, err
}

// login makes sure that both have the key.
func (c *client) login(conn net.Conn) error {
	if err := challenge(conn, c.auth, c.key); err != nil {
		return err
	}
	return respond(conn, c.auth, c.key)
}

func (c *client) loginFailed(ctx context.Context, err error) error {
	hint := "compare key_file, hash and auth with those of the host"
	if ctx.Err() != nil {
		hint = "see whether fence_virtd hangs; compare auth with that of the host"
	}
	return &fencing.Error{Op: "log in to", On: c.where(), Err: err, Hint: hint}
}

func (c *client) where() string {
	switch c.network {
	case "vsock":
		return fmt.Sprintf("vsock %d:%d", c.cid, c.port)
	}
	return net.JoinHostPort(c.host, strconv.Itoa(int(c.port)))
}

func (c *client) request(op Op) request {
	r := request{Op: op, Hash: c.hash, UUID: c.uuid, Domain: c.domain}
	var b [4]byte
	rand.Read(b[:])
	rand.Read(r.Random[:])
	r.Seq = binary.LittleEndian.Uint32(b[:])
	return r
}

// connect sends the request and returns the connection for the answer.
func (c *client) connect(ctx context.Context, op Op) (net.Conn, error) {
	r := c.request(op)
	switch c.network {
	case "multicast":
		return c.callBack(ctx, r)
	case "vsock":
		conn, err := dialVsock(ctx, c.cid, uint32(c.port))
		return c.send(conn, err, r)
	}
	var d net.Dialer
	network := map[string]string{"ipv4": "tcp4", "ipv6": "tcp6"}[c.family]
	if network == "" {
		network = "tcp"
	}
	conn, err := d.DialContext(ctx, network, c.where())
	return c.send(conn, err, r)
}

func (c *client) send(conn net.Conn, err error, r request) (net.Conn, error) {
	if err != nil {
		return nil, &fencing.Error{Op: "connect to", On: c.where(), Err: err, Hint: "check that fence_virtd runs there, with a listener of this kind"}
	}
	if _, err := conn.Write(r.encode(c.key)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// callBack asks by multicast, from every address of this node, until the host
// connects back.
func (c *client) callBack(ctx context.Context, r request) (net.Conn, error) {
	group, err := netip.ParseAddr(c.host)
	if err != nil || !group.IsMulticast() {
		return nil, &fencing.Error{Op: "configure", On: c.host, Err: errors.New("it is no multicast address"), Hint: "correct multicast_address, or set ipaddr for TCP"}
	}
	var lc net.ListenConfig
	network := "tcp4"
	if group.Is6() {
		network = "tcp6"
	}
	l, err := lc.Listen(ctx, network, ":"+strconv.Itoa(int(c.port)))
	if err != nil {
		return nil, &fencing.Error{Op: "wait for", On: c.where(), Err: fmt.Errorf("no port for the host to connect back to: %w", err), Hint: "another program has ipport, or another action is under way: set another port on both sides"}
	}
	r.Port = c.port
	sources, err := c.sources(group)
	if err != nil {
		l.Close()
		return nil, err
	}
	callers := c.receive(l)
	defer callers.end()
	var lastErr error
	for {
		sent := 0
		for _, s := range sources {
			r.Addr = s.addr
			rand.Read(r.Random[:])
			if err := sendMulticast(s, group, c.port, r.encode(c.key)); err != nil {
				lastErr = err
				continue
			}
			sent++
		}
		if sent == 0 {
			return nil, &fencing.Error{Op: "send to", On: c.where(), Err: lastErr, Hint: "check interface, and that it has a route for multicast"}
		}
		timer := time.NewTimer(c.retrans)
		select {
		case conn := <-callers.host:
			timer.Stop()
			return conn, nil
		case <-ctx.Done():
			timer.Stop()
			if err := callers.refused(); err != nil {
				return nil, c.loginFailed(ctx, err)
			}
			return nil, &fencing.Error{Op: "ask", On: c.where(), Err: errors.New("no host answers"),
				Hint: "check fence_virtd, its key, and that the firewall of this node lets port " + strconv.Itoa(int(c.port)) + " in"}
		case <-timer.C:
		}
	}
}

// list returns the virtual machines of the host.
func (c *client) list(ctx context.Context) ([]Domain, error) {
	code, list, err := c.ask(ctx, OpHostList)
	switch {
	case err != nil:
		return nil, err
	case code != answerList:
		return nil, c.refused(code)
	}
	return list, nil
}

func (c *client) refused(code byte) error {
	if code == answerDenied {
		return &fencing.Error{Op: "ask", On: c.where(), Err: errors.New("permission denied"), Hint: "see the groups in fence_virt.conf of the host"}
	}
	return &fencing.Error{Op: "ask", On: c.where(), Err: fmt.Errorf("the host could not do it (answer %d)", code),
		Hint: "see the log of fence_virtd: whether it knows the virtual machine, and may switch it"}
}

// Power implements [fencing.Outlet]. Hosts say "off" of machines that they do
// not have; so one that is off must be on the list.
func (c *client) Power(ctx context.Context) (fencing.Power, error) {
	code, _, err := c.ask(ctx, OpStatus)
	switch {
	case err != nil:
		return fencing.PowerUnknown, err
	case code == answerOK:
		return fencing.PowerOn, nil
	case code != answerOff:
		return fencing.PowerUnknown, c.refused(code)
	}
	list, err := c.list(ctx)
	if err != nil {
		return fencing.PowerUnknown, err
	}
	if !slices.ContainsFunc(list, func(d Domain) bool {
		return d.Name == c.domain || strings.EqualFold(d.UUID, c.domain)
	}) {
		return fencing.PowerUnknown, &fencing.Error{Op: "read the power of", On: c.domain, Err: errors.New("the host has no such virtual machine"),
			Hint: "set pcmk_host_map to the names that gcrm fence list shows"}
	}
	return fencing.PowerOff, nil
}

// Switch implements [fencing.Outlet].
func (c *client) Switch(ctx context.Context, on bool) error {
	op := OpOff
	if on {
		op = OpOn
	}
	code, _, err := c.ask(ctx, op)
	if err == nil && code != answerOK {
		err = c.refused(code)
	}
	return err
}

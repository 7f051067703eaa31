// Package virsh is fence_virsh: it switches virtual machines by their host's
// libvirt daemon, over ssh or any other way that a libvirt URI names. It speaks
// the daemon's own protocol, so that no virsh is needed on either side.
package virsh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"gcrm/cib"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/fencing"
)

// Method is fence_virsh.
type Method struct {
	fencing.Description
	// Program finds the agent of the distribution, for what is not spoken
	// here (passwords of ssh, sudo); nil for none.
	Program func(name string) (fencing.Method, error)
}

// New returns the method.
func New(program func(name string) (fencing.Method, error)) *Method {
	return &Method{Program: program, Description: fencing.Description{Name: "fence_virsh", Short: "virtual machines of a libvirt host",
		Long: "Switches a virtual machine by the libvirt daemon of its host. The way there is ssh with a key (ip, username, identity_file), or what uri says. " +
			"With a password, sudo or ssh_options the program fence_virsh is used, if it is installed.",
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List, "list-status"},
		Params: fencing.WithPower(
			fencing.Param{Name: "ip", Obsoletes: "ipaddr", Short: "address or name of the host"},
			fencing.Param{Name: "ipport", Type: "integer", Default: "22", Short: "port of its ssh"},
			fencing.Param{Name: "username", Obsoletes: "login", Short: "user on the host"},
			fencing.Param{Name: "identity_file", Short: "key of ssh"},
			fencing.Param{Name: "uri", Short: "libvirt's URI instead of address and user, as qemu+tls://host/system"},
			fencing.Param{Name: "plug", Obsoletes: "port", Required: true, Short: "name or UUID of the virtual machine"},
			fencing.Param{Name: "missing_as_off", Type: "boolean", Default: "0", Short: "take a virtual machine that does not exist for one that is off"},
			fencing.Param{Name: "password", Obsoletes: "passwd", Short: "password of the user, for the program only"},
			fencing.Param{Name: "password_script", Obsoletes: "passwd_script", Short: "program that prints the password"},
			fencing.Param{Name: "use_sudo", Obsoletes: "sudo", Type: "boolean", Default: "0", Short: "become root on the host, for the program only"},
			fencing.Param{Name: "ssh_options", Short: "options of ssh, for the program only"},
			fencing.Param{Name: "login_timeout", Type: "second", Default: "5", Short: "how long the way to the daemon may take"},
			fencing.Param{Name: "shell_timeout", Type: "second", Default: "3", Short: "as login_timeout, for the program"},
		)}}
}

// foreign are the parameters that only the program understands, with the value
// that makes no difference.
func foreign(c fencing.Call) string {
	for _, name := range []string{"password", "passwd", "use_sudo", "sudo", "ssh_options"} {
		if v := c.Params[name]; v != "" && v != "0" && !strings.EqualFold(v, "false") && !strings.EqualFold(v, "no") {
			return name
		}
	}
	return ""
}

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	if name := foreign(c); name != "" && c.Params["uri"] == "" {
		if m.Program != nil {
			if p, err := m.Program("fence_virsh"); err == nil {
				return p.Do(ctx, c)
			}
		}
		return fencing.Fail("let the node log in with a key (identity_file), or install the package fence-agents", "%s needs the program fence_virsh, which is not installed on %s", name, c.Self)
	}
	uri, err := address(c)
	if err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	dialing, cancel := context.WithTimeout(ctx, c.Duration(5e9, "login_timeout"))
	defer cancel()
	conn, err := rpc.Dial(dialing, uri, rpc.Options{})
	if err != nil {
		if dialing.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("no connection within login_timeout: %w", err)
		}
		return fencing.OutcomeOf(ctx, failed(c, err))
	}
	defer conn.Close()
	switch c.Action {
	case fencing.Monitor, fencing.List, "list-status":
		list, err := conn.Domains(ctx)
		o := fencing.OutcomeOf(ctx, failed(c, err))
		for _, d := range list {
			o.Hosts = append(o.Hosts, strings.ToLower(d.Name), d.UUID.String())
		}
		return o
	}
	missing, _ := cib.ParseBool(c.Param("missing_as_off", "0"))
	v := &vm{call: c, conn: conn, name: c.Param("plug", "port", c.Plug), missing: missing}
	if v.name == "" {
		return fencing.Fail("set plug or pcmk_host_map", "no virtual machine is named")
	}
	return fencing.Operate(ctx, c, v)
}

// address is the URI of the daemon.
func address(c fencing.Call) (string, error) {
	if u := c.Params["uri"]; u != "" {
		return u, nil
	}
	host := c.Param("ip", "ipaddr", "")
	if host == "" {
		return "", &fencing.Error{Op: "configure", On: c.Device, Err: errors.New("the address of the host is missing"), Hint: "set the parameter ip, or uri"}
	}
	u := url.URL{Scheme: "qemu+ssh", Host: host, Path: "/system"}
	if port := c.Param("ipport", ""); port != "" {
		u.Host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		u.Host = "[" + host + "]"
	}
	if user := c.Param("username", "login", ""); user != "" {
		u.User = url.User(user)
	}
	if key := c.Params["identity_file"]; key != "" {
		u.RawQuery = url.Values{"keyfile": {key}}.Encode()
	}
	return u.String(), nil
}

// failed says what to do about an error of the daemon or of the way to it.
func failed(c fencing.Call, err error) error {
	if err == nil {
		return nil
	}
	where := cmp.Or(c.Params["uri"], c.Param("ip", "ipaddr", ""))
	hint := "check the address, that libvirt runs on the host, and that the node may log in there"
	switch text := err.Error(); {
	case strings.Contains(text, "Permission denied"):
		hint = "put the node's key into authorized_keys of the user on the host, and name it in identity_file"
	case strings.Contains(text, "Host key verification"):
		hint = "log in by hand once from every node, or put the host's key into known_hosts"
	case rpc.IsLost(err) && !strings.Contains(text, "ssh:"):
		hint = "see the log of libvirt on the host"
	}
	return &fencing.Error{Op: "ask", On: where, Err: err, Hint: hint}
}

// vm is one virtual machine.
type vm struct {
	call    fencing.Call
	conn    *rpc.Conn
	name    string
	missing bool
}

func (v *vm) find(ctx context.Context) (rpc.Domain, error) {
	if id, ok := parseUUID(v.name); ok {
		return v.conn.LookupByUUID(ctx, id)
	}
	return v.conn.LookupByName(ctx, v.name)
}

// Power implements [fencing.Outlet].
func (v *vm) Power(ctx context.Context) (fencing.Power, error) {
	d, err := v.find(ctx)
	if rpc.IsNoDomain(err) {
		if v.missing {
			return fencing.PowerOff, nil
		}
		return fencing.PowerUnknown, &fencing.Error{Op: "find", On: v.name, Err: errors.New("the host has no virtual machine of that name"),
			Hint: "correct pcmk_host_map; if the cluster defines it only while it runs, set missing_as_off"}
	}
	if err != nil {
		return fencing.PowerUnknown, failed(v.call, err)
	}
	state, _, err := v.conn.State(ctx, d)
	if err != nil {
		return fencing.PowerUnknown, failed(v.call, err)
	}
	if state == rpc.ShutOff || state == rpc.Crashed {
		return fencing.PowerOff, nil
	}
	return fencing.PowerOn, nil
}

// Switch implements [fencing.Outlet].
func (v *vm) Switch(ctx context.Context, on bool) error {
	d, err := v.find(ctx)
	if err != nil {
		return failed(v.call, err)
	}
	if on {
		_, err = v.conn.Create(ctx, d)
	} else {
		err = v.conn.Destroy(ctx, d)
	}
	if rpc.IsWrongState(err) {
		return nil // it was there first; reading the power back tells
	}
	return failed(v.call, err)
}

func parseUUID(s string) (id rpc.UUID, ok bool) {
	hex := strings.ReplaceAll(s, "-", "")
	if len(hex) != 32 || len(s) != 36 {
		return id, false
	}
	for i := range id {
		var b byte
		if _, err := fmt.Sscanf(hex[2*i:2*i+2], "%02x", &b); err != nil {
			return id, false
		}
		id[i] = b
	}
	return id, true
}

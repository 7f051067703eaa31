package rpc

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Address is a libvirt URI taken apart: the way to a daemon, and what to open
// there.
type Address struct {
	Driver    string // qemu, xen, lxc, test; empty lets the daemon choose
	Transport string // unix, ssh, tls, tcp
	User      string
	Host      string
	Port      string
	// Remote is the URI the daemon is asked to open; empty lets it choose.
	Remote string
	// Query has the keys that are for this side: socket, pkipath, keyfile,
	// no_verify, proxy, command.
	Query url.Values
}

// clientKeys are the query keys that are not passed on to the daemon.
func clientKeys() []string {
	return []string{"name", "command", "socket", "auth", "sshauth", "netcat", "keyfile", "pkipath", "known_hosts",
		"known_hosts_verify", "tls_priority", "mode", "proxy", "no_sanity", "no_verify", "no_tty"}
}

// ParseAddress reads a libvirt URI such as qemu:///system,
// qemu+ssh://root@host/system or test+unix:///default?socket=/path; empty is
// the daemon of this host with the hypervisor it chooses.
func ParseAddress(s string) (Address, error) {
	if s == "" {
		return Address{Transport: "unix", Query: url.Values{}}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return Address{}, fmt.Errorf("libvirt URI %q: %w", s, err)
	}
	if u.Scheme == "" {
		return Address{}, fmt.Errorf("libvirt URI %q names no hypervisor, such as qemu:///system", s)
	}
	a := Address{Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), Query: url.Values{}}
	a.Driver, a.Transport, _ = strings.Cut(u.Scheme, "+")
	switch a.Transport {
	case "":
		a.Transport = "unix"
		if a.Host != "" {
			a.Transport = "tls"
		}
	case "unix", "ssh", "tls", "tcp":
	default:
		return Address{}, fmt.Errorf("libvirt URI %q: transport %s is not supported: use unix, ssh, tls or tcp", s, a.Transport)
	}
	if a.Host == "" && a.Transport != "unix" {
		return Address{}, fmt.Errorf("libvirt URI %q: transport %s needs a host", s, a.Transport)
	}
	remote := url.Values{}
	query := u.Query()
	for _, k := range slices.Sorted(maps.Keys(query)) {
		if slices.Contains(clientKeys(), k) {
			a.Query[k] = query[k]
		} else {
			remote[k] = query[k]
		}
	}
	a.Remote = a.Query.Get("name")
	if a.Remote == "" {
		a.Remote = a.Driver + "://" + u.EscapedPath()
		if len(remote) > 0 {
			a.Remote += "?" + remote.Encode()
		}
	}
	return a, nil
}

// Sockets lists where the daemon of the address may listen on this host, the
// best first, below dir (usually /run/libvirt).
func (a Address) Sockets(dir string) []string {
	if s := a.Query.Get("socket"); s != "" {
		return []string{s}
	}
	modular := map[string]string{"qemu": "virtqemud", "xen": "virtxend", "lxc": "virtlxcd", "bhyve": "virtbhyved",
		"vbox": "virtvboxd", "vz": "virtvzd", "ch": "virtchd"}
	var out []string
	switch daemon := modular[a.Driver]; {
	case daemon != "" && a.Query.Get("mode") != "legacy":
		out = append(out, dir+"/"+daemon+"-sock")
	case a.Driver == "":
		for _, driver := range []string{"xen", "qemu", "lxc"} {
			out = append(out, dir+"/"+modular[driver]+"-sock")
		}
	}
	if a.Query.Get("mode") != "direct" {
		out = append(out, dir+"/libvirt-sock")
	}
	return out
}

// HostPort is the network address of a tls or tcp daemon.
func (a Address) HostPort() string {
	port := a.Port
	switch {
	case port != "":
	case a.Transport == "tls":
		port = "16514"
	default:
		port = "16509"
	}
	return net.JoinHostPort(a.Host, port)
}

// SSHCommand is the command whose input and output are the connection.
func (a Address) SSHCommand(dir string) []string {
	argv := []string{"ssh"}
	if a.Port != "" {
		argv = append(argv, "-p", a.Port)
	}
	if a.User != "" {
		argv = append(argv, "-l", a.User)
	}
	if k := a.Query.Get("keyfile"); k != "" {
		argv = append(argv, "-i", k)
	}
	if a.Query.Get("no_verify") == "1" {
		argv = append(argv, "-o", "StrictHostKeyChecking=no")
	}
	argv = append(argv, "-T", "-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", a.Host)
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	sockets := a.Sockets(dir)
	netcat := "nc -U " + quote(sockets[len(sockets)-1])
	helper := "virt-ssh-helper " + quote(a.Remote)
	switch {
	case a.Query.Get("socket") != "" || a.Query.Get("proxy") == "netcat":
		return append(argv, netcat)
	case a.Query.Get("proxy") == "native":
		return append(argv, helper)
	}
	return append(argv, "if command -v virt-ssh-helper >/dev/null; then exec "+helper+"; else exec "+netcat+"; fi")
}

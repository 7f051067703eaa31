// Package nfs has the agents of an NFS service: ocf:heartbeat:nfsserver,
// ocf:heartbeat:exportfs and ocf:heartbeat:nfsnotify.
package nfs

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"gcrm/drivers"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent { return agents(host(), nil) }

// paths are where the kernel and the NFS programs keep their state.
type paths struct {
	state string // /var/lib/nfs
	nfsd  string // /proc/fs/nfsd
	rpc   string // /proc/net/rpc
	// booted is the folder whose presence means that systemd runs.
	booted string
	net    network
}

func host() paths {
	return paths{"/var/lib/nfs", "/proc/fs/nfsd", "/proc/net/rpc", "/run/systemd/system", hostNetwork()}
}

func agents(p paths, path []string) map[drivers.Name]drivers.Agent {
	e, n, s := exportAgent(p), notifyAgent(p), serverAgent(p)
	e.Path, n.Path, s.Path = path, path, path
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "exportfs"}:  e,
		{Class: "ocf", Provider: "heartbeat", Type: "nfsnotify"}: n,
		{Class: "ocf", Provider: "heartbeat", Type: "nfsserver"}: s,
	}
}

// export is one line of the table of exports.
type export struct {
	directory string
	client    string
	options   []string
}

// fsid is the identity the export has for clients; "" if it has none of its
// own, "0" for the root of NFSv4 in either spelling.
func (e export) fsid() string {
	for _, o := range e.options {
		if v, ok := strings.CutPrefix(o, "fsid="); ok {
			if v == "root" {
				return "0"
			}
			return v
		}
	}
	return ""
}

// exports reads the table that exportfs keeps for the daemons.
func (p paths) exports() ([]export, error) {
	raw, err := os.ReadFile(p.state + "/etab")
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("table of exports: %w", err)
	}
	var out []export
	for line := range strings.Lines(string(raw)) {
		e, ok := parseExport(line)
		if !ok {
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

func parseExport(line string) (export, bool) {
	directory, rest, ok := strings.Cut(strings.TrimSpace(line), "\t")
	if !ok || directory == "" {
		return export{}, false
	}
	rest = strings.TrimSpace(rest)
	open := strings.IndexByte(rest, '(')
	if open <= 0 || !strings.HasSuffix(rest, ")") {
		return export{}, false
	}
	return export{directory: unescape(directory), client: unescape(rest[:open]),
		options: strings.Split(rest[open+1:len(rest)-1], ",")}, true
}

// unescape undoes the octal escapes of the tables.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

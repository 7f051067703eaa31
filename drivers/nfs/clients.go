package nfs

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gcrm/drivers/native"
	"gcrm/drivers/reconnect"
)

// port is that of the NFS server.
const port = 2049

const (
	// addressWait is how long after the server's start its addresses are waited for.
	addressWait = 2 * time.Minute
	// addressLook is how often they are looked for: a question to the kernel.
	addressLook = 100 * time.Millisecond
)

// provocations are the pauses before clients are provoked: they have to learn first where
// the address is now, and answer twice a second at most.
var provocations = [...]time.Duration{200 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond, 2400 * time.Millisecond}

// clientsFile is where the connections of clients are kept, on the shared storage; ""
// without any.
func clientsFile(c *native.Call) string {
	dir := c.Params.String("nfs_shared_infodir")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "connections")
}

// network is how the agents see and reach clients.
type network struct {
	tables    string // /proc/net
	addresses func() []netip.Addr
	provoke   func([]reconnect.Connection) error
}

func hostNetwork() network {
	return network{"/proc/net", hostAddresses, reconnect.Provoke}
}

// hostAddresses are those of this host.
func hostAddresses() []netip.Addr {
	list, _ := net.InterfaceAddrs() // none: asked again soon
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// keepConnections writes down who is connected, for the node that has the server next.
// The list is a help, no more: without it clients find the server later.
func (n nfsServer) keepConnections(c *native.Call) {
	file := clientsFile(c)
	if file == "" {
		return
	}
	list, err := reconnect.Established(n.net.tables, port)
	if err != nil || len(list) == 0 {
		return // the kernel ends connections together with their address, before a stop comes here
	}
	text := reconnect.Format(list)
	if old, err := os.ReadFile(file); err == nil && string(old) == text {
		return
	}
	_ = c.WriteState(file, text)
}

// callBack has the clients of the server's last node connect again when their address
// comes to this node, which it does in the background: as a rule addresses are started
// after the exports, which are started after the server. Nothing is sent for an address
// that is here already: clients would come before the exports.
func (n nfsServer) callBack(ctx context.Context, c *native.Call) error {
	file := clientsFile(c)
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // the first start
	}
	missing := map[netip.Addr][]reconnect.Connection{}
	here := n.net.addresses()
	for _, x := range reconnect.Parse(string(text)) {
		if a := x.Local.Addr(); !slices.Contains(here, a) {
			missing[a] = append(missing[a], x)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return c.Do("when their address is here, have the clients of "+file+" connect again", func() error {
		go func() {
			wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), addressWait)
			defer cancel()
			for len(missing) > 0 && native.Sleep(wait, addressLook) == nil {
				here := n.net.addresses()
				if threads, err := n.threads(); err != nil || threads == 0 {
					return // stopped again
				}
				for _, a := range here {
					if list := missing[a]; len(list) > 0 {
						delete(missing, a)
						go n.provoke(context.WithoutCancel(ctx), list)
					}
				}
			}
		}()
		return nil
	})
}

// provoke sends a few rounds; a client that has connected anew is not disturbed by more.
func (n nfsServer) provoke(ctx context.Context, list []reconnect.Connection) {
	for _, pause := range provocations {
		if native.Sleep(ctx, pause) != nil {
			return
		}
		_ = n.net.provoke(list) // a client that cannot be reached tries again by itself
	}
}

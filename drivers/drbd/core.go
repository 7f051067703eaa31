package drbd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/replication/admin"
)

// nativeCore tells whether the resource runs on gcrm's own replication instead of
// the kernel's module: by parameter, or because the host has no module.
func (h host) nativeCore(ctx context.Context, c *native.Call) bool {
	switch c.Params.String("core") {
	case "kernel":
		return false
	case "native":
		return h.gcrm != ""
	}
	if h.gcrm == "" {
		return false
	}
	if loaded, err := native.Exists(h.proc); err != nil || loaded {
		return false
	}
	// A process that serves the resource goes on serving it, whatever was installed
	// since.
	if _, err := h.folder(c).Call(ctx, c.Params.String("drbd_resource"), admin.Call{Command: "status"}); err == nil {
		return true
	}
	if _, err := c.Tool("drbdadm"); err != nil {
		return true
	}
	_, err := c.Ask(ctx, "modinfo", "-F", "version", "drbd")
	return err != nil
}

// folder is where the processes of this node's volumes have their sockets. Nodes that
// share a host, as in an embedded cluster, have one each.
func (h host) folder(c *native.Call) admin.Folder {
	if dir := os.Getenv("GCRM_VOLUME_DIR"); dir != "" {
		return admin.Folder(dir)
	}
	if name, err := os.Hostname(); err == nil && !strings.EqualFold(name, c.Node.Name) && c.Node.StateDir != "" {
		return admin.Folder(filepath.Join(c.Node.StateDir, "volume"))
	}
	return admin.DefaultFolder
}

// resource finds the resource in the configuration: by the name of the cluster node,
// or that of the host.
func (h host) resource(c *native.Call) (*admin.Resource, string, error) {
	conf, err := admin.LoadConfig(c.Params.String("drbdconf"))
	if err != nil {
		return nil, "", err
	}
	var first error
	for _, name := range []string{c.Node.Name, ""} {
		node, err := admin.ThisNode(name)
		if err != nil {
			return nil, "", err
		}
		r, err := admin.Find(conf, c.Params.String("drbd_resource"), node)
		if err == nil {
			return r, name, nil
		}
		first = errors.Join(first, err)
	}
	return nil, "", first
}

// volumeCommand is the argument list of a gcrm volume command about the resource.
func (h host) volumeCommand(c *native.Call, words ...string) []string {
	argv := append([]string{h.gcrm, "volume"}, words...)
	argv = append(argv, "--run-dir", string(h.folder(c)))
	if conf := c.Params.String("drbdconf"); conf != "" {
		argv = append(argv, "--config", conf)
	}
	if _, node, err := h.resource(c); err == nil && node != "" {
		argv = append(argv, "--node", node)
	}
	return append(argv, c.Params.String("drbd_resource"))
}

// successorLimit is how long a process that died may take to be replaced.
const successorLimit = 5 * time.Second

// nativeState asks the process of the resource.
func (h host) nativeState(ctx context.Context, c *native.Call) (state, error) {
	name, f := c.Params.String("drbd_resource"), h.folder(c)
	a, err := f.Call(ctx, name, admin.Call{Command: "status"})
	// A process that died has a successor in a moment, which goes on in its place.
	limit, cancel := context.WithTimeout(ctx, successorLimit)
	defer cancel()
	for err != nil && f.ShouldRun(name) && native.Sleep(limit, 50*time.Millisecond) == nil {
		a, err = f.Call(ctx, name, admin.Call{Command: "status"})
	}
	if errors.Is(err, admin.ErrNotRunning) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("state of DRBD resource %s: %w", c.Params.String("drbd_resource"), err)
	}
	return fromStatus(a.Status), nil
}

// fromStatus sees the state of the native core as that of a kernel's.
func fromStatus(st *admin.Status) state {
	s := state{exists: true, role: st.Role}
	disks := map[string]string{}
	for _, v := range st.Each() {
		s.volumes = append(s.volumes, volume{number: v.Volume, minor: v.Minor, disk: v.Disk, quorum: true})
		disks[strconv.Itoa(v.Volume)] = v.PeerDisk
	}
	if st.Takeover {
		// It is about to be again what it was: who asks now must not take it for
		// demoted.
		s.role = "Primary"
	}
	connection := st.Connection
	switch connection {
	case "StandAlone", "Disconnecting":
	case "Unconnected", "WFConnection", "Timeout", "BrokenPipe", "NetworkFailure", "ProtocolError", "TearDown", "WFReportParams":
		connection = "Connecting"
	default:
		connection = "Connected"
	}
	s.peers = []peer{{id: "0", name: "peer", connection: connection, role: st.PeerRole,
		disks: disks, clients: map[string]bool{}}}
	return s
}

// nativeStart starts the process and attaches, and connects unless that waits for the
// promotion.
func (h host) nativeStart(ctx context.Context, c *native.Call) drivers.Result {
	s, err := h.nativeState(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if s.primary() {
		if err := c.Change(ctx, h.volumeCommand(c, "secondary")...); err != nil {
			return native.Failed(err)
		}
	}
	words := []string{"up", "--device", h.device}
	if c.Params.Bool("connect_only_after_promote") {
		words = append(words, "--no-connect")
	}
	if err := c.Change(ctx, h.volumeCommand(c, words...)...); err != nil {
		return native.Fail(drivers.GenericError, "%v: check the backing device and its DRBD meta-data (gcrm volume show-gi %s)", err, c.Params.String("drbd_resource"))
	}
	return h.connect(ctx, c, version{8, 4, 11})
}

// nativeDevices lists the device nodes of the resource.
func (h host) nativeDevices(c *native.Call) ([]string, drivers.Result) {
	r, _, err := h.resource(c)
	if err != nil {
		return nil, native.Fail(drivers.NotInstalled, "%v", err)
	}
	var names []string
	for _, v := range r.Volumes {
		names = append(names, v.Device())
	}
	return names, native.OK()
}

// admin is the argument list of a command about the resource, for the core it runs
// on.
func (h host) admin(ctx context.Context, c *native.Call, words ...string) []string {
	if !h.nativeCore(ctx, c) {
		return admin8(c, words...)
	}
	switch words[0] {
	case "adjust":
		words = []string{"connect"}
	case "primary", "secondary", "down", "outdate", "dump":
		words = slices.Clone(words[:1])
	}
	return h.volumeCommand(c, words...)
}

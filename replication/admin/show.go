package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/metadata"
)

// show prints the state of a resource.
func (in *invocation) show(ctx context.Context, name string, r *Resource) error {
	a, err := in.folder.Call(ctx, r.Res.Name, Call{Command: "status"})
	if errors.Is(err, ErrNotRunning) {
		return in.showIdle(name, r, err)
	}
	if err != nil {
		return err
	}
	s, out := a.Status, in.p.Out
	if in.volume != nil {
		i := slices.IndexFunc(s.Each(), func(v *Status) bool { return v.Volume == *in.volume })
		if i < 0 {
			return fmt.Errorf("the process has no volume %d; it knows the configuration of its start", *in.volume)
		}
		s = s.Each()[i]
	}
	switch {
	case name == "role" || name == "dstate" || name == "cstate":
		for _, v := range s.Each() {
			switch name {
			case "role":
				fmt.Fprintf(out, "%s/%s\n", v.Role, v.PeerRole)
			case "dstate":
				fmt.Fprintf(out, "%s/%s\n", v.Disk, v.PeerDisk)
			default:
				fmt.Fprintln(out, v.Connection)
			}
		}
	case in.json:
		b, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", b)
	case in.proc:
		s.WriteProc(out)
	case in.overview:
		s.WriteOverview(out)
	default:
		s.WriteStatus(out)
		for _, text := range s.Ignored {
			fmt.Fprintf(in.p.Err, "%s: option without effect: %s\n", s.Resource, text)
		}
	}
	return nil
}

// showIdle answers for a resource that nobody serves: the disk state is in its
// metadata.
func (in *invocation) showIdle(name string, r *Resource, err error) error {
	switch name {
	case "dstate":
		return in.eachVolume(r, func(v *Volume) error {
			a, closeDev, err := in.area(v, true)
			if err != nil {
				return err
			}
			defer closeDev()
			fmt.Fprintln(in.p.Out, a.Super.DiskState())
			return nil
		})
	case "role", "cstate":
		for range in.volumes(r) {
			fmt.Fprintln(in.p.Out, "Unconfigured")
		}
		return nil
	}
	if len(in.args) == 1 && in.args[0] != "all" {
		return &commandError{fmt.Sprintf("%s: No such resource (%v)", r.Res.Name, err), exitFailed}
	}
	return err
}

// wait follows a resource until it is connected or in sync.
func (in *invocation) wait(ctx context.Context, name string, r *Resource) error {
	limit := in.timeout
	if limit == 0 && name == "wait-connect" {
		limit = r.Conf.Startup(r.Res).WaitForConnection // 0 is endless
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	c, err := in.folder.Dial(r.Res.Name)
	if err != nil {
		return err
	}
	defer c.Close()
	drawn := false
	a, err := c.Do(ctx, Call{Command: "events"})
	for ; err == nil; a, err = c.Next() {
		s := a.Status
		if p := s.Progress; p != nil && name == "wait-sync" && in.p.Terminal {
			drawn = true
			fmt.Fprintf(in.p.Out, "\r%s %s\x1b[K", p.bar(), p.speed())
		}
		if s.connected() && (name == "wait-connect" || s.Progress == nil && s.settled()) || s.Connection == "StandAlone" && name == "wait-sync" {
			if drawn {
				fmt.Fprintf(in.p.Out, "\r%s %s/%s\x1b[K\n", s.Connection, s.Disk, s.PeerDisk)
			}
			return nil
		}
	}
	if ctx.Err() != nil {
		return &commandError{fmt.Sprintf("%s: not after %v", r.Res.Name, limit), 5}
	}
	return err
}

// area opens the metadata of a volume that nobody serves.
func (in *invocation) area(r *Volume, look bool) (*metadata.Area, func(), error) {
	path, p := r.Placement()
	d, err := blockdev.Open(path, blockdev.Options{ReadOnly: look})
	if err != nil {
		return nil, nil, err
	}
	a, err := metadata.Open(d, d.Size(), p)
	if err != nil {
		d.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, func() { d.Close() }, nil
}

func (in *invocation) nodeName() string {
	n, err := ThisNode(in.node)
	if err != nil {
		return ""
	}
	return n.Name
}

// metadata does a command on the disk itself.
func (in *invocation) metadata(name string, r *Volume) error {
	if name == "create-md" {
		return in.createMD(r)
	}
	look := name == "dump-md" || name == "get-gi" || name == "show-gi"
	a, closeDev, err := in.area(r, look)
	if err != nil {
		return err
	}
	defer closeDev()
	switch name {
	case "apply-al":
		applied, err := a.ApplyLog()
		if err == nil && applied.NewBits > 0 {
			fmt.Fprintf(in.p.Out, "%s: %d KiB marked as out of sync\n", r.Name(), applied.NewBits*4)
		}
		return err
	case "dump-md":
		path, p := r.Placement()
		return a.Dump(in.p.Out, metadata.DumpOptions{Time: time.Now(), Host: in.nodeName(), Unclean: in.force,
			Command: fmt.Sprintf("drbdmeta %d v08 %s %v dump-md", max(r.Minor(), 0), path, p)})
	case "get-gi":
		fmt.Fprintln(in.p.Out, a.Super.GI())
	case "show-gi":
		fmt.Fprint(in.p.Out, a.Super.ShowGI())
	case "outdate":
		s := a.Super
		if !s.Outdate() {
			return &commandError{r.Name() + ": the disk is not consistent", 5}
		}
		return a.WriteSuperblock(s)
	case "invalidate":
		s := a.Super
		s.Invalidate()
		return a.WriteSuperblock(s)
	case "wipe-md":
		if !in.force {
			return errors.New("this removes the metadata: the peer will be asked for all data again; use --force")
		}
		return a.Wipe()
	}
	return nil
}

func (in *invocation) createMD(r *Volume) error {
	path, p := r.Placement()
	d, err := blockdev.Open(path, blockdev.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	if old, err := metadata.Open(d, d.Size(), p); err == nil && !in.force {
		return fmt.Errorf("%s has metadata already (%s); --force writes new ones and forgets what the peer has", path, old.Super.GI())
	}
	a, err := metadata.Create(d, d.Size(), p, metadata.CreateOptions{DeviceUUID: random()})
	if err != nil {
		return err
	}
	fmt.Fprintf(in.p.Out, "New drbd meta data block successfully created: %s of data on %s.\n", sizeText(a.Layout.DataSectors, r, d), r.Conf.Disk)
	return nil
}

func sizeText(sectors uint64, r *Volume, meta *blockdev.Device) string {
	if r.Conf.Disk != meta.Path() {
		if d, err := blockdev.Open(r.Conf.Disk, blockdev.Options{ReadOnly: true}); err == nil {
			sectors = min(sectors, d.Size()/metadata.SectorSize)
			d.Close()
		}
	}
	return fmt.Sprintf("%d KiB", sectors/2)
}

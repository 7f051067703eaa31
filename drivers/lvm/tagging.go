package lvm

import (
	"context"
	"fmt"
	"slices"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// volumeList checks the guard that tagging rests on: LVM's volume_list must
// exist, so that nothing but the cluster activates the group, and must not
// let it through itself.
func volumeList(ctx context.Context, c *native.Call, vg, tag string, rc drivers.RC) drivers.Result {
	value, ok, err := setting(ctx, c, "activation/volume_list")
	if err != nil {
		return native.Failed(err)
	}
	if !ok {
		return native.Fail(rc, "lvm.conf has no activation/volume_list, so every node activates %s at boot: "+
			`list there what the hosts themselves use, volume_list = [ ] if nothing, and update the initramfs`, vg)
	}
	words := list(value)
	for _, bad := range []string{"@" + tag, vg} {
		if slices.Contains(words, bad) {
			return native.Fail(rc, "activation/volume_list of lvm.conf has %q, so every node activates %s at boot: take it out", bad, vg)
		}
	}
	return native.OK()
}

// own makes the group carry the cluster's tag and no other. A foreign tag is
// taken off: whoever set it has been stopped or fenced before this runs.
func own(ctx context.Context, c *native.Call, g group, tag string) error {
	if slices.Equal(g.tags, []string{tag}) {
		return nil
	}
	if err := strip(ctx, c, g, tag); err != nil {
		return err
	}
	if slices.Contains(g.tags, tag) {
		return nil
	}
	return c.Change(ctx, "vgchange", "--addtag", tag, g.name)
}

// strip takes off all tags but one to keep (empty for none).
func strip(ctx context.Context, c *native.Call, g group, keep string) error {
	for _, t := range g.tags {
		if t == keep {
			continue
		}
		if err := c.Change(ctx, "vgchange", "--deltag", t, g.name); err != nil {
			return err
		}
	}
	return nil
}

// letThrough is the configuration with which the cluster activates what
// volume_list holds back.
func letThrough(tag string) string { return fmt.Sprintf(`activation{volume_list=["@%s"]}`, tag) }

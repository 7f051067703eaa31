// Package lvm has the agents that activate volume groups on one node at a
// time: ocf:heartbeat:LVM and ocf:heartbeat:LVM-activate.
package lvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gcrm/drivers/native"
)

// group is a volume group as LVM's tools report it.
type group struct {
	name      string
	tags      []string
	systemID  string
	clustered bool
	lockType  string
	missing   int // physical volumes that are not there
	volumes   int
	partial   bool
}

// errNoGroup says that LVM does not see the volume group.
var errNoGroup = errors.New("volume group not found")

// report asks LVM about a volume group, also one that belongs to another
// host.
func report(ctx context.Context, c *native.Call, name string) (group, error) {
	out, err := c.Ask(ctx, "vgs", "--foreign", "--reportformat", "json",
		"-o", "vg_name,vg_tags,vg_systemid,vg_clustered,vg_lock_type,vg_missing_pv_count,lv_count,vg_partial", name)
	if notFound(err) {
		return group{}, fmt.Errorf("%w: %s", errNoGroup, name)
	}
	if err != nil {
		return group{}, err
	}
	return parseReport(out, name)
}

// notFound tells whether one of LVM's tools failed because it does not know what it was
// asked about.
func notFound(err error) bool {
	var exit *native.ExitError
	return errors.As(err, &exit) && strings.Contains(exit.Outcome.Stderr+exit.Outcome.Stdout, "not found")
}

func parseReport(text, name string) (group, error) {
	var doc struct {
		Report []struct {
			VG []struct {
				Name      string `json:"vg_name"`
				Tags      string `json:"vg_tags"`
				SystemID  string `json:"vg_systemid"`
				Clustered string `json:"vg_clustered"`
				LockType  string `json:"vg_lock_type"`
				Missing   string `json:"vg_missing_pv_count"`
				Volumes   string `json:"lv_count"`
				Partial   string `json:"vg_partial"`
			} `json:"vg"`
		} `json:"report"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return group{}, fmt.Errorf("report of vgs: %w", err)
	}
	for _, r := range doc.Report {
		for _, v := range r.VG {
			if v.Name != name {
				continue
			}
			g := group{name: v.Name, systemID: v.SystemID, clustered: v.Clustered != "", lockType: v.LockType, partial: v.Partial != ""}
			if v.Tags != "" {
				g.tags = strings.Split(v.Tags, ",")
			}
			var err1, err2 error
			g.missing, err1 = strconv.Atoi(v.Missing)
			g.volumes, err2 = strconv.Atoi(v.Volumes)
			return g, errors.Join(err1, err2)
		}
	}
	return group{}, fmt.Errorf("%w: %s", errNoGroup, name)
}

// setting reads a value of LVM's configuration; ok is false if it is not set.
func setting(ctx context.Context, c *native.Call, name string) (value string, ok bool, err error) {
	out, err := c.Ask(ctx, "lvmconfig", name)
	if notFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	_, value, ok = strings.Cut(strings.TrimSpace(out), "=")
	return strings.Trim(strings.TrimSpace(value), `"`), ok, nil
}

// list reads the words of a configuration list: ["a", "@b"].
func list(value string) []string {
	var out []string
	for w := range strings.SplitSeq(strings.Trim(value, "[] "), ",") {
		if w = strings.Trim(strings.TrimSpace(w), `"`); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// places are where the kernel shows devices.
type places struct{ sysBlock, dev string }

// active lists the active volumes of a group, of one volume if lv is given:
// what the device mapper has, and what /dev shows.
func (p places) active(vg, lv string) ([]string, error) {
	found := map[string]bool{}
	var out []string
	add := func(name string) {
		if (lv == "" || name == lv) && !found[name] {
			found[name] = true
			out = append(out, name)
		}
	}
	devices, err := filepath.Glob(filepath.Join(p.sysBlock, "dm-*", "dm"))
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		uuid, err := os.ReadFile(filepath.Join(d, "uuid"))
		if err != nil || !strings.HasPrefix(string(uuid), "LVM-") {
			continue
		}
		name, err := os.ReadFile(filepath.Join(d, "name"))
		if err != nil {
			continue
		}
		if g, v := splitName(strings.TrimSpace(string(name))); g == vg {
			add(v)
		}
	}
	entries, _ := os.ReadDir(filepath.Join(p.dev, vg))
	for _, e := range entries {
		add(e.Name())
	}
	return out, nil
}

// splitName takes a device mapper name apart: group and volume are joined by
// one hyphen, hyphens of their own are doubled.
func splitName(name string) (vg, lv string) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '-' {
			b.WriteByte(name[i])
			continue
		}
		if i+1 < len(name) && name[i+1] == '-' {
			b.WriteByte('-')
			i++
			continue
		}
		rest := strings.ReplaceAll(name[i+1:], "--", "-")
		return b.String(), rest
	}
	return b.String(), ""
}

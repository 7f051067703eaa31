// Package multipath is the agent that tells the cluster how the paths to
// shared disks do: ocf:gcrm:multipath, to be cloned. It changes no path;
// multipathd runs outside of the cluster.
package multipath

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "gcrm", Type: "multipath"}: Agent()}
}

const second = time.Second

// Agent is ocf:gcrm:multipath.
func Agent() *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "multipath", Version: "1.0", API: "1.1", Short: "Health of the paths to disks, as a node attribute",
			Long: "Sets two attributes of the node: how many paths work to the disk that has the fewest, for rules of location constraints " +
				"(location L R rule -inf: not_defined multipath or multipath lt 1), and #health-NAME, red when a disk has none, yellow when paths are missing, " +
				"for property node-health-strategy. To be cloned.",
			Params: []meta.Param{
				{Name: "devices", Type: meta.String, Short: "Names of the maps, separated by blanks", Long: "Names of the multipath maps that count; left out, all that are there."},
				{Name: "name", Type: meta.String, Default: "multipath", Unique: true, Short: "Name of the attribute"},
				{Name: "minimum", Type: meta.Integer, Default: "0", Reloadable: true, Short: "Paths below which monitor fails", Long: "Working paths to a disk below which the monitor fails; 0 leaves the attribute to speak for itself."},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 20 * second}, {Name: "stop", Timeout: 20 * second}, {Name: "monitor", Timeout: 20 * second, Interval: 10 * second},
				{Name: "reload-agent", Timeout: 20 * second}, {Name: "validate-all", Timeout: 5 * second}, {Name: "meta-data", Timeout: 5 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			if _, err := c.Tool("dmsetup"); err != nil {
				return native.Failed(err)
			}
			return native.OK()
		},
		Actions: map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor, drivers.ReloadAgent: update},
	}
}

// disk is one multipath map.
type disk struct {
	name         string
	works, paths int
}

// path is one path of a map in the status of the kernel: device number, state
// (Active or Failed) and how often it failed.
var path = regexp.MustCompile(`\b(\d+:\d+) ([AF]) \d+\b`)

// parse reads the output of "dmsetup status --target multipath".
func parse(text string) []disk {
	var out []disk
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if _, status, is := strings.Cut(rest, " multipath "); ok && is {
			d := disk{name: name}
			for _, m := range path.FindAllStringSubmatch(status, -1) {
				d.paths++
				if m[2] == "A" {
					d.works++
				}
			}
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b disk) int { return strings.Compare(a.name, b.name) })
	return out
}

// judge returns the fewest working paths to one of the disks that count, the
// colour of that, and what is missing in words.
func judge(disks []disk, wanted []string) (fewest int, health, words string) {
	var missing []string
	health = "green"
	first := true
	count := func(name string, works, paths int) {
		if first || works < fewest {
			fewest, first = works, false
		}
		switch {
		case works == 0:
			health = "red"
			missing = append(missing, name+" has no working path")
		case works < paths:
			if health == "green" {
				health = "yellow"
			}
			missing = append(missing, fmt.Sprintf("%s has %d of %d paths", name, works, paths))
		}
	}
	for _, d := range disks {
		if len(wanted) == 0 || slices.Contains(wanted, d.name) {
			count(d.name, d.works, d.paths)
		}
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(disks, func(d disk) bool { return d.name == name }) {
			count(name, 0, 0)
		}
	}
	if first { // no map at all
		return 0, "red", "there is no multipath map"
	}
	return fewest, health, strings.Join(missing, "; ")
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	file, err := c.StateFile("multipath-" + c.Instance())
	if err != nil {
		return native.Failed(err)
	}
	if there, err := native.Exists(file); err != nil {
		return native.Failed(err)
	} else if !there {
		if err := c.WriteState(file, "started\n"); err != nil {
			return native.Failed(err)
		}
	}
	return update(ctx, c)
}

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	file, err := c.StateFile("multipath-" + c.Instance())
	if err != nil {
		return native.Failed(err)
	}
	if there, err := native.Exists(file); err != nil {
		return native.Failed(err)
	} else if !there {
		return native.NotRunning()
	}
	return update(ctx, c)
}

func update(ctx context.Context, c *native.Call) drivers.Result {
	text, err := c.Ask(ctx, "dmsetup", "status", "--target", "multipath")
	if err != nil {
		return native.Failed(err)
	}
	fewest, health, words := judge(parse(text), c.Params.Words("devices"))
	name, value := c.Params.String("name"), strconv.Itoa(fewest)
	if err := c.SetAttribute(ctx, name, &value); err != nil {
		return native.Failed(err)
	}
	if err := c.SetAttribute(ctx, "#health-"+name, &health); err != nil {
		return native.Failed(err)
	}
	if least := c.Params.Int("minimum"); c.Action == drivers.Monitor && fewest < least {
		return native.Fail(drivers.GenericError, "%s; at least %d working paths are wanted", words, least)
	}
	return drivers.Result{Output: words}
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	file, err := c.StateFile("multipath-" + c.Instance())
	if err == nil {
		err = c.Remove(file)
	}
	for _, name := range []string{c.Params.String("name"), "#health-" + c.Params.String("name")} {
		if err == nil {
			err = c.SetAttribute(ctx, name, nil)
		}
	}
	return native.Failed(err)
}

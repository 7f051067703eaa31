package fencing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gcrm/cib"
)

// Verify tells what is wrong with the fencing that a document configures, as
// far as that can be known without asking a device: what [Unpack] finds, and
// nodes that nothing can fence, or only what proves nothing by itself.
func Verify(doc *cib.CIB, s Sources) []cib.Problem {
	if s.Agents != nil {
		s.Agents = silent{s.Agents}
	}
	conf, problems := Unpack(doc, s)
	add := func(object, text, hint string) {
		problems = append(problems, cib.Problem{Severity: cib.Warning, Object: object, Text: text, Hint: hint})
	}
	if v, ok := doc.Property("stonith-enabled", "fencing-enabled"); ok && !cib.IsTrue(v) || len(conf.Devices) == 0 {
		return problems // cib.Verify has its say on that
	}
	for _, l := range conf.levels {
		if _, known := conf.attributes[strings.ToLower(l.target)]; l.target != "" && !known && len(conf.attributes) > 0 {
			add(l.ID, fmt.Sprintf("the fencing level is for %s, which is not a node of the cluster", l.target), "")
		}
	}
	for _, id := range conf.Order {
		d := conf.Devices[id]
		if d == nil || d.Disabled {
			continue
		}
		if len(d.Banned) > 0 && !slices.Contains(slices.Collect(maps.Values(d.Banned)), false) && len(d.Banned) == len(doc.Nodes()) {
			add(id, "no node may execute the device", "see its location constraints; with symmetric-cluster=false it needs one that allows a node")
		}
		if a := d.Meta.Action(On, ""); a != nil && a.Automatic && !d.declared {
			add(id, "nodes work before they are unfenced: the agent wants to switch each node on when it joins", "add meta provides=unfencing to the device")
		}
	}
	for _, n := range doc.Nodes() {
		if n.Type != "" && n.Type != "member" {
			continue
		}
		op := &operation{conf: conf, target: n.Uname, m: &Machine{}}
		watchdog := conf.WatchdogTimeout != 0 && (conf.watchdog == nil || !conf.watchdog.Disabled)
		var levels [][]string
		if topology := conf.Levels(n.Uname); len(topology) > 0 {
			for _, l := range topology {
				if able := op.possible(l.Devices); len(able) == len(l.Devices) {
					levels = append(levels, l.Devices)
				} else {
					add(n.Uname, fmt.Sprintf("fencing level %d cannot be used: not all of %s can fence the node", l.Index, strings.Join(l.Devices, ", ")),
						"see pcmk_host_list and pcmk_host_map of the devices, and that they exist")
				}
			}
		} else {
			for _, id := range op.possible(conf.Order) {
				levels = append(levels, []string{id})
			}
		}
		if len(levels) == 0 && !watchdog {
			add(n.Uname, "no fence device can fence the node", "add one, or the node to pcmk_host_list or pcmk_host_map of another")
			continue
		}
		proves := watchdog
		for _, l := range levels {
			for _, id := range l {
				proves = proves || id == WatchdogDevice || conf.Devices[id].Proves == Always || conf.Devices[id].Proves == Reports
			}
		}
		if !proves {
			add(n.Uname, fmt.Sprintf("nothing that can fence the node (%s) is proof by itself that it is down", strings.Join(levels[0], ", ")),
				"add a fencing level with a device that switches the power off")
		}
	}
	return problems
}

// silent is for agents that do not tell anything: that they are missing is not
// a matter of fencing, and told elsewhere.
type silent struct{ cib.MetadataSource }

func (s silent) Metadata(n cib.AgentName) (*cib.AgentMeta, error) {
	m, err := s.MetadataSource.Metadata(n)
	if err != nil {
		return nil, nil
	}
	return m, nil
}

// possible leaves those devices that may be able to fence the target.
func (op *operation) possible(ids []string) []string {
	var out []string
	for _, id := range ids {
		d := op.conf.Devices[id]
		switch {
		case id == WatchdogDevice && op.conf.WatchdogTimeout != 0:
		case d == nil || d.Disabled || d.Check == StaticList && !d.static(op.target):
			continue
		}
		out = append(out, id)
	}
	return out
}

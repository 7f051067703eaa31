package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gcrm/cib"
)

// generator draws CIBs for the differential test and the properties. Every
// choice comes from rng, so that a seed names a CIB. Each CIB uses a few
// features only: what differs stays readable, and over many seeds everything
// meets everything.
type generator struct {
	rng   *rand.Rand
	c     *cib.CIB
	conf  *cib.Element
	nodes []string // names of cluster nodes
	hosts []string // names of all nodes, remote and guest ones included
	lists map[string]*cib.Element
	attrs map[string]*cib.Element

	prims   []*drawnPrimitive
	tops    []string // ids of top-level resources (fence devices excepted)
	members []string // ids of group members outside clones
	promos  []string // ids of promotable clones
	clones  []string
	tags    []string
	nextID  int

	fencing, asymmetric, utilization bool
	use                              map[string]bool
}

// drawnPrimitive is a configured primitive with what its history needs.
type drawnPrimitive struct {
	id, agent string // agent is class:provider:type
	params    []cib.Attr
	monitors  []drawnMonitor
	in        string // "", "group", "clone", "unique", "promotable"
	top       string
	copies    int // history entries that may exist: instances of a clone
}

type drawnMonitor struct{ ms, timeout, role string }

const generatorNow = 1767225600

func (g *generator) n(limit int) int         { return g.rng.IntN(limit) }
func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }
func pick[T any](g *generator, from ...T) T  { return from[g.rng.IntN(len(from))] }
func (g *generator) id(prefix string) string {
	g.nextID++
	return fmt.Sprintf("%s%d", prefix, g.nextID)
}
func (g *generator) score() string { return pick(g, scoreChoices...) }
func (g *generator) node() string  { return g.nodes[g.n(len(g.nodes))] }
func (g *generator) host() string  { return g.hosts[g.n(len(g.hosts))] }
func seconds(offset int) string    { return strconv.Itoa(generatorNow + offset) }
func (g *generator) meta(pairs []string) *cib.Element {
	return nvset("meta_attributes", g.id("meta"), pairs...)
}

var scoreChoices = []string{"INFINITY", "INFINITY", "-INFINITY", "100", "50", "1", "-10", "-1000", "1000"}

// features are the switches of a CIB with their rates in percent.
var features = []struct {
	name string
	rate int
}{
	{"location", 45}, {"rule", 20}, {"colocation", 45}, {"order", 45}, {"sets", 15}, {"stickiness", 25},
	{"failures", 35}, {"thresholds", 25}, {"standby", 20}, {"maintenance", 12}, {"unmanaged", 12}, {"lostnode", 35},
	{"tickets", 8}, {"utilization", 10}, {"templates", 8}, {"tags", 8}, {"health", 8}, {"noquorum", 10},
	{"migration", 15}, {"bundle", 5}, {"remote", 6}, {"guest", 4}, {"groups", 45}, {"clones", 45}, {"promotable", 25},
	{"unique", 12}, {"shutdown", 10}, {"multiple", 10}, {"removed", 12}, {"targetrole", 20}, {"priority", 12},
	{"asymmetric", 8}, {"digests", 10}, {"onfail", 20}, {"pending", 10}, {"notify", 12}, {"lock", 4}, {"defaults", 10},
	{"clonegroup", 15}, {"options", 10}, {"oddnames", 15},
	{"unfencing", 6}, {"topology", 4}, {"ruledsets", 10}, {"patterns", 8}, {"rolesets", 10}, {"launched", 3},
	{"reload", 6}, {"staleops", 8}, {"pendingnode", 4}, {"terminate", 3}, {"nodiscovery", 3}, {"stopactions", 6},
}

// drawCIB makes the CIB of a seed.
func drawCIB(seed uint64) *cib.CIB { return newGenerator(seed).draw() }

// featuresOf lists the features that the CIB of a seed may use.
func featuresOf(seed uint64) []string {
	g := newGenerator(seed)
	g.draw()
	var out []string
	for _, f := range features {
		if g.use[f.name] {
			out = append(out, f.name)
		}
	}
	for _, r := range rarities {
		if g.use[r.name] {
			out = append(out, r.name)
		}
	}
	return out
}

// TestGeneratorMakesEverything: no feature is one in name only.
func TestGeneratorMakesEverything(t *testing.T) {
	const drawn = 1500
	made := map[string]int{}
	for i := range uint64(drawn) {
		for _, f := range featuresOf(i + 1) {
			made[f]++
		}
	}
	for _, f := range features {
		made[f.name] += 0
	}
	for _, r := range rarities {
		made[r.name] += 0
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		t.Logf("%-18s in %4d of %d", name, made[name], drawn)
		if made[name] < 3 {
			t.Errorf("%s is made in %d of %d CIBs only", name, made[name], drawn)
		}
	}
}

func newGenerator(seed uint64) *generator {
	return &generator{
		rng: rand.New(rand.NewPCG(seed, 0x6763726d)), lists: map[string]*cib.Element{},
		attrs: map[string]*cib.Element{}, use: map[string]bool{},
	}
}

func (g *generator) draw() *cib.CIB {
	for _, f := range features {
		g.use[f.name] = g.chance(f.rate)
	}
	g.c = cib.New()
	root := g.c.Root
	for _, p := range [][2]string{
		{"crm_feature_set", "3.16.0"}, {"validate-with", "pacemaker-3.9"}, {"epoch", "10"}, {"num_updates", "1"},
		{"admin_epoch", "0"}, {"have-quorum", "1"}, {"dc-uuid", "1"}, {"execution-date", strconv.Itoa(generatorNow)},
	} {
		root.Set(p[0], p[1])
	}
	g.conf = g.c.Configuration()
	for _, s := range []string{"crm_config", "nodes", "resources", "constraints"} {
		g.conf.Ensure(s)
	}
	g.drawOptions()
	g.drawNodes()
	g.drawResources()
	g.drawDefaults()
	g.drawUnfencing()
	g.drawTopology()
	g.drawRuledSets()
	g.drawLaunched()
	g.drawConstraints()
	g.drawHistory()
	g.drawRarities()
	return g.c
}

func (g *generator) drawOptions() {
	g.fencing = g.chance(55)
	opts := []string{"stonith-enabled", strconv.FormatBool(g.fencing), "concurrent-fencing", "true"}
	add := func(k, v string) { opts = append(opts, k, v) }
	if g.use["noquorum"] {
		if g.chance(70) {
			g.c.Root.Set("have-quorum", "0")
		}
		add("no-quorum-policy", pick(g, "stop", "freeze", "ignore", "demote", "suicide"))
	}
	if g.use["asymmetric"] {
		g.asymmetric = true
		add("symmetric-cluster", "false")
	}
	if g.use["utilization"] {
		g.utilization = true
		add("placement-strategy", pick(g, "utilization", "minimal", "balanced"))
	}
	if g.use["maintenance"] && g.chance(30) {
		add("maintenance-mode", "true")
	}
	if g.use["health"] {
		add("node-health-strategy", pick(g, "migrate-on-red", "only-green", "progressive", "custom"))
		add("node-health-yellow", pick(g, "-10", "-100", "0"))
		if g.chance(30) {
			add("node-health-base", "5")
		}
	}
	if g.use["lock"] {
		add("shutdown-lock", "true")
	}
	if g.use["options"] {
		switch g.n(7) {
		case 0:
			add("stop-all-resources", "true")
		case 1:
			add("enable-startup-probes", "false")
		case 2:
			add("start-failure-is-fatal", "false")
		case 3:
			add("stop-orphan-resources", "false")
		case 4:
			add("stop-orphan-actions", "false")
		case 5:
			add("stonith-action", "off")
		case 6:
			add("startup-fencing", "false")
		}
	}
	g.conf.Ensure("crm_config").Add(nvset("cluster_property_set", "cib-bootstrap-options", opts...))
}

func (g *generator) drawNodes() {
	nodes := g.conf.Ensure("nodes")
	for i := range 2 + g.n(3) {
		id, name := strconv.Itoa(i+1), fmt.Sprintf("node%d", i+1)
		if g.use["oddnames"] {
			name = []string{"beta", "node10", "Alpha", "node2"}[i]
		}
		el := cib.NewElement("node", "id", id, "uname", name)
		var attrs []string
		st := cib.NewElement("node_state", "id", id, "uname", name, "in_ccm", "true", "crmd", "online", "join", "member", "expected", "member")
		var transient []string
		if g.use["standby"] && g.chance(30) {
			attrs = append(attrs, "standby", "on")
		}
		if g.use["maintenance"] && g.chance(25) {
			attrs = append(attrs, "maintenance", "true")
		}
		if g.use["rule"] && g.chance(60) {
			attrs = append(attrs, "site", pick(g, "a", "b"), "rank", pick(g, "1", "20", "-5"))
		}
		if g.use["health"] && g.chance(60) {
			transient = append(transient, "#health-disk", pick(g, "green", "yellow", "red"))
		}
		if g.use["terminate"] && i > 0 && g.chance(40) {
			transient = append(transient, "terminate", pick(g, "true", "false", seconds(-50)))
		}
		if g.use["pendingnode"] && i > 0 && g.chance(40) {
			st.Set("join", pick(g, "down", "pending"))
			st.Set("expected", pick(g, "member", "down"))
		}
		if g.use["shutdown"] && g.chance(30) {
			transient = append(transient, "shutdown", seconds(-100))
		}
		if g.use["lostnode"] && i > 0 && g.chance(40) {
			switch g.n(8) {
			case 0, 1, 2:
				st.Set("in_ccm", "false")
				st.Set("crmd", "offline")
			case 3, 4:
				st.Set("in_ccm", "false")
				st.Set("crmd", "offline")
				st.Set("join", "down")
				st.Set("expected", "down")
			case 5:
				st.Set("crmd", "offline")
			case 6:
				st.Set("join", pick(g, "down", "pending", "banned"))
			case 7:
				st = nil
			}
		}
		if g.use["nodiscovery"] && g.chance(30) {
			attrs = append(attrs, "resource-discovery-enabled", "false")
		}
		if len(attrs) > 0 {
			el.Add(nvset("instance_attributes", "nodes-"+id, attrs...))
		}
		if g.utilization {
			el.Add(nvset("utilization", "nodes-util-"+id, "cpu", strconv.Itoa(1+g.n(5)), "memory", strconv.Itoa(256*g.n(6))))
		}
		nodes.Add(el)
		g.nodes = append(g.nodes, name)
		if st == nil {
			continue
		}
		g.addState(st, name, transient)
	}
	g.hosts = append(g.hosts, g.nodes...)
}

// addState puts a node's state into the status section.
func (g *generator) addState(st *cib.Element, name string, transient []string) {
	attrs := nvset("instance_attributes", "status-"+st.ID(), transient...)
	st.Add(cib.NewElement("transient_attributes", "id", st.ID()).Add(attrs))
	g.attrs[name] = attrs
	list := cib.NewElement("lrm_resources")
	st.Add(cib.NewElement("lrm", "id", st.ID()).Add(list))
	g.lists[name] = list
	g.c.Status().Add(st)
}

// transient sets a transient attribute of a node.
func (g *generator) transient(node, name, value string) {
	set := g.attrs[node]
	if set == nil {
		return
	}
	id := set.ID() + "-" + strings.NewReplacer("#", ".", ":", ".").Replace(name)
	if set.ChildByID(id) == nil {
		set.Add(cib.NewElement("nvpair", "id", id, "name", name, "value", value))
	}
}

func (g *generator) drawDefaults() {
	if !g.use["defaults"] {
		return
	}
	var meta []string
	switch g.n(4) {
	case 0:
		meta = []string{"resource-stickiness", pick(g, "0", "10", "100")}
	case 1:
		meta = []string{"migration-threshold", "2"}
	case 2:
		meta = []string{"failure-timeout", pick(g, "60s", "2h")}
	case 3:
		meta = []string{"multiple-active", pick(g, "stop_only", "block", "stop_start")}
	}
	set := g.meta(meta)
	if g.chance(30) {
		rule := cib.NewElement("rule", "id", g.id("rule"), "boolean-op", "and", "score", "INFINITY")
		rule.Add(cib.NewElement("rsc_expression", "id", g.id("expr"), "class", "ocf", "provider", pick(g, "pacemaker", "heartbeat")))
		set.Children = append([]*cib.Element{rule}, set.Children...)
	}
	g.conf.Ensure("rsc_defaults").Add(set)
	if g.chance(30) {
		g.conf.Ensure("op_defaults").Add(g.meta([]string{"on-fail", pick(g, "block", "ignore", "standby")}))
	}
}

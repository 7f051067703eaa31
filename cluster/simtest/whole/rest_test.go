package whole

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

// resources is the configuration that a world's clients commit.
func (w *world) resources() string {
	var b strings.Builder
	var names []string
	for _, h := range w.hosts {
		names = append(names, h.name)
	}
	fmt.Fprintf(&b, `<resources><primitive id="fencer" class="stonith" type="fence_sim"><instance_attributes id="fencer-ia">
<nvpair id="fencer-hosts" name="pcmk_host_list" value="%s"/>`, strings.Join(names, " "))
	if w.delays != "" {
		fmt.Fprintf(&b, `<nvpair id="fencer-delay" name="pcmk_delay_base" value="%s"/>`, w.delays)
	}
	b.WriteString(`</instance_attributes></primitive>`)
	for i := range w.plan.resources {
		b.WriteString(primitive(resourceName(i), w.detection))
	}
	b.WriteString(`</resources>`)
	return b.String()
}

// primitive is a resource that may run once.
func primitive(id string, detection time.Duration) string {
	return fmt.Sprintf(`<primitive id="%[1]s" class="ocf" provider="sim" type="Once"><operations>
<op id="%[1]s-start" name="start" interval="0" timeout="8s"/><op id="%[1]s-stop" name="stop" interval="0" timeout="8s"/>
<op id="%[1]s-monitor" name="monitor" interval="%[2]dms" timeout="8s"/></operations></primitive>`, id, (5 * detection).Milliseconds())
}

// configure commits the first configuration.
func (w *world) configure(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ctx.Err() == nil {
		h := w.leader()
		if h == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		_, err := w.edit(ctx, h, func(conf *cib.Element) {
			set := conf.Child("crm_config").Ensure("cluster_property_set")
			if set.ID() == "" {
				set.Set("id", cib.DefaultPropertySet)
			}
			put := func(name, value string) {
				set.Add(cib.NewElement("nvpair", "id", "sim-"+name, "name", name, "value", value))
			}
			put("stonith-enabled", fmt.Sprint(!w.unfenced))
			put("stonith-timeout", "10s")
			put("start-failure-is-fatal", "false") // what fails in schedules may be tried again
			if w.policy != "" {
				put("no-quorum-policy", w.policy)
			}
			for _, k := range slices.Sorted(maps.Keys(w.properties)) {
				put(k, w.properties[k])
			}
			e, err := cib.ParseElement(w.resources(), cib.DefaultLimits)
			if err != nil {
				panic(err)
			}
			conf.Remove(conf.Child("resources"))
			conf.Add(e)
		})
		if err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.violated("the configuration could not be committed")
}

// edit changes the configuration through a host.
func (w *world) edit(ctx context.Context, h *host, change func(conf *cib.Element)) (*consensus.State, error) {
	n := h.running()
	if n == nil {
		return nil, errors.New("no daemon")
	}
	state, err := n.Consensus().Read(ctx)
	if err != nil {
		return nil, err
	}
	conf := state.CIB.Configuration().Clone()
	conf.Ensure("crm_config")
	change(conf)
	_, err = n.Consensus().Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &cib.Change{
		Origin:        cib.Origin{User: "simulation", Node: h.name, Time: h.clock()},
		Configuration: &cib.ConfigurationChange{Base: state.CIB.Version(), XML: conf.String()}}})
	return state, err
}

// mark commits a new marker through a host, as a client does, and keeps what
// was promised.
func (w *world) mark(h *host, limit time.Duration) {
	w.mu.Lock()
	w.marker++
	marker := fmt.Sprint(w.marker)
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	l := h.current()
	_, err := w.edit(ctx, h, func(conf *cib.Element) { setMarkers(conf, marker) })
	if err == nil && h.current() != l {
		err = consensus.ErrUnknownOutcome // the power failed before the answer went out
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.stats.Commits++
		w.promised = append(w.promised, marker)
	case errors.Is(err, consensus.ErrUnknownOutcome):
		w.stats.Unknown++
	}
}

const markerSet = "markers"

// setMarkers adds a marker to those that are there.
func setMarkers(conf *cib.Element, marker string) {
	var set *cib.Element
	for s := range conf.Child("crm_config").Named("cluster_property_set") {
		if s.ID() == markerSet {
			set = s
		}
	}
	if set == nil {
		set = cib.NewElement("cluster_property_set", "id", markerSet)
		conf.Child("crm_config").Add(set)
	}
	set.Add(cib.NewElement("nvpair", "id", "marker-"+marker, "name", "marker-"+marker, "value", marker))
}

func markers(doc *cib.CIB) map[string]bool {
	out := map[string]bool{}
	for s := range doc.Section("crm_config").Named("cluster_property_set") {
		if s.ID() == markerSet {
			for nv := range s.Named("nvpair") {
				out[nv.Get("value")] = true
			}
		}
	}
	return out
}

// atRest tells what is still missing until everything is as it should be.
func (w *world) atRest() string {
	var lead *host
	if lead = w.leader(); lead == nil {
		return "there is no leader"
	}
	leader := lead.running()
	if leader == nil {
		return "the leader ends"
	}
	state, _ := leader.Consensus().State()
	for _, h := range w.hosts {
		n := h.running()
		if n == nil {
			return h.name + " is not up"
		}
		if !n.Admitted() {
			return h.name + " was not admitted"
		}
		if m, ok := state.Member(h.name); !ok || m.State != consensus.Online || m.Incarnation != n.Incarnation() {
			return fmt.Sprintf("%s is %s", h.name, m.State)
		}
		if s, _ := n.Consensus().State(); s.Index != state.Index {
			return h.name + " lags behind"
		}
	}
	voters, _, err := leader.Consensus().Electorate()
	if err != nil || len(voters) != len(w.hosts) {
		return fmt.Sprintf("the voters are %v", voters)
	}
	if i := leader.Info(); !i.Transition.Idle {
		return fmt.Sprintf("the controller is at work: %+v", i.Transition)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.plan.resources {
		id := resourceName(i)
		if len(w.active[id]) != 1 {
			return fmt.Sprintf("%s is active on %v", id, slices.Sorted(maps.Keys(w.active[id])))
		}
	}
	have := markers(state.CIB)
	for _, m := range w.promised {
		if !have[m] && !w.divergence() {
			w.violatedLocked("the change %s was acknowledged and is lost", m)
		}
	}
	return ""
}

// rest waits until the cluster is at rest.
func (w *world) rest(limit time.Duration) bool {
	began, why := time.Now(), ""
	for time.Since(began) < limit && !w.bad() {
		if w.tidy() {
			why = "what administrators did is not undone"
		} else if why = w.atRest(); why == "" {
			return true
		}
		for _, h := range w.hosts { // who left in the meantime
			if h.current() == nil {
				h.boot()
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	if w.bad() {
		return false
	}
	w.situation()
	w.violated("the cluster does not come to rest within %v: %s", limit, why)
	return false
}

// situation writes into the journal how every node sees the cluster.
func (w *world) situation() {
	for _, h := range w.hosts {
		n := h.running()
		if n == nil {
			w.note("%s: power %v, no daemon", h.name, h.powered())
			continue
		}
		state, _ := n.Consensus().State()
		lead, _ := n.Consensus().Leadership()
		voters, learners, _ := n.Consensus().Electorate()
		w.note("%s: incarnation %d, admitted %v, leader %q, epoch %d, index %d, voters %v and %v, transition %+v", h.name, n.Incarnation(),
			n.Admitted(), lead.Leader, state.Epoch, state.Index, voters, learners, n.Info().Transition)
		for _, m := range state.Members {
			w.note("    %s (id %s): %s, incarnation %d, expelled %d, because %s", m.Name, m.ID, m.State, m.Incarnation, m.Expelled, m.Reason)
		}
	}
}

// until waits for something else.
func (w *world) until(limit time.Duration, what string, f func() bool) bool {
	began := time.Now()
	for time.Since(began) < limit && !w.bad() {
		if f() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	if w.bad() {
		return false
	}
	w.violated("not within %v: %s", limit, what)
	return false
}

// begin switches all hosts on and brings the cluster to rest.
func (w *world) begin() bool {
	for _, h := range w.hosts {
		h.boot()
	}
	w.configure(30 * w.detection)
	if !w.rest(60 * w.detection) {
		return false
	}
	w.grown()
	return true
}

// grown lets the hosts of the first boot, from their next start on, be what they are
// outside: one that founded the cluster, and others that joined.
func (w *world) grown() {
	place := consensus.Place{Index: 1 << 62}
	for _, h := range w.hosts {
		if p := h.running().Consensus().Place(); p.Index < place.Index {
			place = p
		}
	}
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	for _, h := range w.hosts[1:] {
		h.since = place
	}
}

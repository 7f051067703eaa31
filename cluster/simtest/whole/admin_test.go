package whole

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/node"
)

func resourceName(i int) string { return fmt.Sprintf("p%d", i) }

// extra is a resource that administrators add and remove.
const extra = "extra"

// administer does what an administrator does, who will undo it once all faults
// are over, for the rest of the world's life.
func (w *world) administer(f func()) {
	w.mu.Lock()
	w.untidy = true
	w.mu.Unlock()
	w.wg.Go(f)
}

// tidy undoes what administrators did; true as long as that is not done. What
// was given up may still be committed.
func (w *world) tidy() bool {
	w.mu.Lock()
	untidy := w.untidy
	w.mu.Unlock()
	if !untidy {
		return false
	}
	undo := func(conf *cib.Element) {
		for n := range conf.Ensure("nodes").Named("node") {
			if set := n.Child("instance_attributes"); set != nil {
				putPair(set, "standby", "")
			}
		}
		set := properties(conf)
		putPair(set, "maintenance-mode", "")
		putPair(set, "no-quorum-policy", w.policy)
		if r := conf.Child("resources"); r != nil {
			r.Remove(r.ChildByID(extra))
		}
	}
	l := w.leader()
	if l == nil {
		return true
	}
	n := l.running()
	if n == nil {
		return true
	}
	s, _ := n.Consensus().State()
	conf := s.CIB.Configuration().Clone()
	undo(conf)
	return conf.String() != s.CIB.Configuration().String() && w.change(undo) != nil
}

// change edits the configuration through the leader.
func (w *world) change(f func(conf *cib.Element)) error {
	l := w.leader()
	if l == nil {
		return consensus.ErrNoLeader
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*w.detection)
	defer cancel()
	_, err := w.edit(ctx, l, f)
	return err
}

func properties(conf *cib.Element) *cib.Element {
	set := conf.Ensure("crm_config").Ensure("cluster_property_set")
	if set.ID() == "" {
		set.Set("id", cib.DefaultPropertySet)
	}
	return set
}

// putPair sets a pair in a set of them, and removes it if the value is empty.
func putPair(set *cib.Element, name, value string) {
	for _, nv := range slices.Collect(set.Named("nvpair")) {
		if nv.Get("name") == name {
			set.Remove(nv)
		}
	}
	if value != "" {
		set.Add(cib.NewElement("nvpair", "id", set.ID()+"-"+name, "name", name, "value", value))
	}
}

// setProperty sets a property of the cluster.
func (w *world) setProperty(name, value string) error {
	w.note("%s=%s", name, value)
	return w.change(func(conf *cib.Element) { putPair(properties(conf), name, value) })
}

// standby sets the node attribute.
func (w *world) standby(h *host, value string) error {
	w.note("standby of %s is to be %s", h.name, value)
	return w.change(func(conf *cib.Element) {
		for n := range conf.Child("nodes").Named("node") {
			if n.Get("uname") == h.name {
				set := n.Ensure("instance_attributes")
				set.Set("id", "nodes-"+n.ID())
				putPair(set, "standby", value)
			}
		}
	})
}

// toggleExtra adds a resource, or removes it.
func (w *world) toggleExtra() {
	w.note("the resource %s is added or removed", extra)
	w.change(func(conf *cib.Element) {
		r := conf.Child("resources")
		if r == nil {
			return
		}
		if old := r.ChildByID(extra); old != nil {
			r.Remove(old)
			return
		}
		e, err := cib.ParseElement(primitive(extra, w.detection), cib.DefaultLimits)
		if err != nil {
			panic(err)
		}
		r.Add(e)
	})
}

// upgrade installs the newest build on a host and starts its daemon again.
func (w *world) upgrade(h *host) {
	w.note("%s is upgraded", h.name)
	h.level.Store(consensus.FeatureLevel)
	if l := h.current(); l != nil && h.running() != nil {
		limit := w.between(2, 15)
		w.wg.Go(func() {
			w.stop(l, limit)
			h.later(w.detection/5, l)
		})
	}
}

// replace removes a node from the cluster for good and has a new machine of
// the same name join.
func (w *world) replace(h *host) {
	if len(w.hosts) < 3 {
		return
	}
	limit, wipe := w.between(5, 20), w.between(0, 2)
	w.wg.Go(func() {
		l := h.current()
		if l == nil || h.running() == nil {
			return
		}
		w.note("%s is to be removed", h.name)
		w.stop(l, limit)
		if !h.setAway(l) {
			return // somebody started it again
		}
		removed := w.remove(h, limit)
		if removed {
			w.net.mu.Lock()
			h.away = true
			w.net.mu.Unlock()
			if l := h.current(); l != nil { // it was started as it was meanwhile
				l.end(true)
			}
			w.note("%s is removed, and joins with an empty disk", h.name)
			h.disk.replace()
			time.Sleep(wipe)
			w.invite(h)
		}
		h.back()
		if !w.closed() {
			h.boot()
		}
	})
}

// setAway keeps a host from being started, unless it was by now.
func (h *host) setAway(after *life) bool {
	h.w.net.mu.Lock()
	defer h.w.net.mu.Unlock()
	if h.life != after || !after.dead || h.away {
		return false
	}
	h.away = true
	return true
}

// back lets a host be started; false if it can be already.
func (h *host) back() bool {
	h.w.net.mu.Lock()
	defer h.w.net.mu.Unlock()
	was := h.away
	h.away = false
	return was
}

// remove has the cluster forget a node; false if that was never asked for in
// time, and the cluster still knows it. If nobody can tell for long, which may
// be for the vote of the node itself, it is started as it was.
func (w *world) remove(h *host, limit time.Duration) bool {
	asked := false
	for end := time.Now().Add(limit); !w.closed(); time.Sleep(w.detection / 2) {
		late := time.Now().After(end)
		if late && !asked {
			return false
		}
		n, state := w.governing()
		if n == nil {
			if time.Since(end) > 20*w.detection && h.back() {
				w.note("%s is started as it was: nobody can tell whether it was removed", h.name)
				h.boot()
			}
			continue
		}
		if _, known := state.Member(h.name); !known {
			return true
		}
		if late {
			return false
		}
		asked = true
		ctx, cancel := context.WithTimeout(context.Background(), 5*w.detection)
		if err := n.Remove(ctx, h.name); err != nil {
			w.note("%s cannot be removed: %v", h.name, err)
		}
		cancel()
	}
	return false
}

// governing is the leader with the state that all agree on; nil if there is
// none that can tell.
func (w *world) governing() (*node.Node, *consensus.State) {
	lead := w.leader()
	if lead == nil {
		return nil, nil
	}
	n := lead.running()
	if n == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*w.detection)
	defer cancel()
	state, err := n.Consensus().Read(ctx)
	if err != nil {
		w.note("the state cannot be read: %v", err)
		return nil, nil
	}
	return n, state
}

// invite makes a host a member as a join with a token does.
func (w *world) invite(h *host) {
	for ; !w.closed(); time.Sleep(w.detection / 2) {
		n, state := w.governing()
		if n == nil {
			continue
		}
		if int(h.level.Load()) < state.Works() {
			w.note("%s is too old to join, and gets the newest build", h.name)
			h.level.Store(consensus.FeatureLevel)
		}
		if m, known := state.Member(h.name); known {
			w.net.mu.Lock()
			h.id, h.epoch, h.since, h.past, h.joined = m.ID, state.Epoch, n.Consensus().Place(), state.LastIncarnation, nil
			for _, o := range state.Members {
				h.joined = append(h.joined, node.Seed{Name: o.Name, ID: o.ID, Addresses: o.Addresses, Witness: o.Witness})
			}
			w.net.mu.Unlock()
			return
		}
		var addresses []string
		for l := range w.links {
			addresses = append(addresses, address(h.number, l).String())
		}
		hash := fmt.Sprintf("token of %s %d", h.name, time.Now().UnixNano())
		apply := func(c consensus.Command) error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*w.detection)
			defer cancel()
			_, err := n.Consensus().Apply(ctx, consensus.NewRequest(), c)
			return err
		}
		err := apply(consensus.Command{Invite: &consensus.Invitation{Hash: hash, Expires: time.Now().Add(time.Hour)}})
		if err == nil {
			err = apply(consensus.Command{Admit: &consensus.Admission{Hash: hash, At: time.Now(),
				Member: consensus.Member{Name: h.name, Addresses: addresses, Witness: h.witness, Since: time.Now(), Reason: "it joined"}}})
		}
		if err != nil {
			w.note("%s cannot join yet: %v", h.name, err)
		}
	}
}

// Package drill rehearses a failure on the live cluster: it takes a node out of
// service in one of three ways, measures how long services are away, and brings
// the cluster back to where it was.
//
// The way out of every drill does not depend on the program that runs it: a
// standby is a commit on trial, which the cluster takes back by itself when
// nobody confirms it; a killed daemon starts again, a cut ends, both after a
// time that the node knows from the start.
package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/scheduler"
)

// Kinds of drills.
const (
	Standby = "standby" // the node moves everything away, as for maintenance
	Kill    = "kill"    // its daemon dies, as when the host crashes
	Cut     = "cut"     // its network to the other nodes fails
)

// Cluster is what a drill needs of a cluster.
type Cluster interface {
	client.Cluster
	client.Judge
	client.Warden
	// Drill makes a node fail for at most that long.
	Drill(ctx context.Context, r client.DrillRequest) error
}

// Config says what to rehearse.
type Config struct {
	Cluster    Cluster
	Kind, Node string
	// Services are probed all the time: URLs, ADDRESS:PORT or paths.
	Services []string
	// Force goes on in spite of hazards.
	Force bool
	// Limit bounds every wait of the drill; 5 minutes if 0.
	Limit time.Duration
	// Tell is called with every step, for people.
	Tell func(string)
	Now  func() time.Time
}

// Report is what came of a drill.
type Report struct {
	Kind, Node string
	Began      time.Time
	// Took is how long it took until everything ran again elsewhere.
	Took      time.Duration
	Resources []Outage
	Services  []Outage
	// Restored tells that the cluster is as before; Left says what is not.
	Restored bool
	Left     string `json:",omitempty"`
}

// Outage is how long something was away.
type Outage struct {
	Name string
	// Away is the sum, Longest the longest time in one piece; Times how often.
	Away, Longest time.Duration
	Times         int
	From, To      string // where a resource ran before and after
	// Still is set if it was away at the end.
	Still bool `json:",omitempty"`
}

// HazardError is why a drill was refused.
type HazardError struct{ Hazards []string }

func (e *HazardError) Error() string {
	return "the drill is not safe: " + strings.Join(e.Hazards, "; ") + "; nothing was done (--force does it anyway)"
}

const (
	defaultLimit = 5 * time.Minute
	poll         = 100 * time.Millisecond
)

// Run rehearses a failure. With an error, the report says what was done.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Limit == 0 {
		cfg.Limit = defaultLimit
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Tell == nil {
		cfg.Tell = func(string) {}
	}
	if cfg.Kind != Standby && cfg.Kind != Kill && cfg.Kind != Cut {
		return nil, fmt.Errorf("%q is no kind of drill: there are standby, kill and cut", cfg.Kind)
	}
	probes := make([]*probe, 0, len(cfg.Services))
	for _, s := range cfg.Services {
		p, err := newProbe(s)
		if err != nil {
			return nil, err
		}
		probes = append(probes, p)
	}
	d := &drill{Config: cfg, report: &Report{Kind: cfg.Kind, Node: cfg.Node}}
	if err := d.prepare(ctx); err != nil {
		return d.report, err
	}
	stop, err := d.watchServices(ctx, probes)
	if err != nil {
		return d.report, err
	}
	err = d.fail(ctx)
	if rerr := d.restore(err == nil); err == nil {
		err = rerr
	}
	d.report.Services = stop()
	d.report.Resources = d.tracker.outages(d.Now())
	return d.report, err
}

type drill struct {
	Config
	report  *Report
	before  *cib.CIB
	since   time.Time // of the node's membership before the drill
	tracker *tracker
	trial   *cib.Version // that holds the node in standby
}

// prepare looks whether the drill is safe.
func (d *drill) prepare(ctx context.Context) error {
	info, err := d.Cluster.Info(ctx)
	if err != nil {
		return err
	}
	d.since = memberOf(info, d.Node).Since
	if d.before, err = d.Cluster.CIB(ctx, true); err != nil {
		return err
	}
	plan, err := d.Cluster.FencePlan(ctx)
	if err != nil {
		return err
	}
	list, err := hazards(d.Kind, d.Node, d.before, info, plan, d.Now())
	if err != nil {
		return err
	}
	if len(list) > 0 && !d.Force {
		return &HazardError{list}
	}
	for _, h := range list {
		d.Tell("forced in spite of this: " + h)
	}
	state, err := scheduler.Observe(d.before, scheduler.Options{Now: d.Now()})
	if err != nil {
		return err
	}
	d.tracker = newTracker(placesOf(state), d.Node)
	return nil
}

// fail makes the node fail and waits until everything runs elsewhere.
func (d *drill) fail(ctx context.Context) error {
	d.report.Began = d.Now()
	since := d.before.Version()
	switch d.Kind {
	case Standby:
		d.Tell("node " + d.Node + " goes into standby; the cluster takes it back by itself after " + cib.FormatDuration(2*d.Limit))
		v, err := d.commit(ctx, d.message(), func(conf *cib.Element) { setStandby(conf, d.Node) })
		if err != nil {
			return err
		}
		d.trial, since = &v, v
	default:
		d.Tell(map[string]string{Kill: "the daemon of node " + d.Node + " is killed", Cut: "node " + d.Node + " is cut off from the others"}[d.Kind])
		d.tracker.gone(d.Now())
		if err := d.Cluster.Drill(ctx, client.DrillRequest{Node: d.Node, Kind: d.Kind, Seconds: int(d.Limit.Seconds())}); err != nil {
			return err
		}
	}
	err := d.follow(ctx, "everything runs elsewhere", func(i *client.Info) bool {
		if d.Kind != Standby && !d.lost(i) && len(d.tracker.away()) > 0 {
			return false // not noticed yet
		}
		return settled(i, since) && len(d.tracker.away()) == 0 && (d.Kind == Standby || d.tracker.noticed)
	})
	d.report.Took = d.Now().Sub(d.report.Began)
	if err == nil {
		d.Tell(fmt.Sprintf("everything runs again after %v", d.report.Took.Round(time.Millisecond)))
	}
	return err
}

// message marks the drill's commit.
func (d *drill) message() string { return "drill: standby of " + d.Node }

func memberOf(i *client.Info, node string) client.Member {
	for _, m := range i.Members {
		if m.Name == node {
			return m
		}
	}
	return client.Member{}
}

func online(i *client.Info, node string) bool { return memberOf(i, node).Online }

// lost reports whether the cluster has seen the node go. It may be back since:
// a member of a later date went between two looks.
func (d *drill) lost(i *client.Info) bool {
	m := memberOf(i, d.Node)
	return !m.Online || !m.Since.Equal(d.since)
}

// settled reports whether the cluster has done what follows from a version.
func settled(i *client.Info, since cib.Version) bool {
	return i.Leader != "" && i.Quorate && i.Transition.Idle && i.Transition.ComputedAtVersion.Compare(since) >= 0
}

// restore brings the cluster back. It goes on when the drill was interrupted.
func (d *drill) restore(all bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.Limit)
	defer cancel()
	if d.Kind == Standby && d.trial == nil {
		// The commit failed, or its answer was lost.
		info, err := d.Cluster.Info(ctx)
		if err != nil {
			return err
		}
		if info.Trial.Origin.Message != d.message() {
			return nil
		}
		d.trial = &info.Trial.Version
	}
	if d.trial != nil {
		d.Tell("node " + d.Node + " goes online again")
		if err := d.Cluster.Decide(ctx, *d.trial, false); err != nil {
			d.report.Left = "node " + d.Node + " is in standby until the cluster takes that back"
			return err
		}
	} else {
		d.Tell("waiting for node " + d.Node + " to come back")
	}
	if err := d.follow(ctx, "node "+d.Node+" is back", func(i *client.Info) bool {
		return online(i, d.Node) && settled(i, d.before.Version())
	}); err != nil {
		d.report.Left = "node " + d.Node + " is not back"
		return err
	}
	if !all {
		return nil
	}
	return d.bringBack(ctx)
}

// bringBack moves to the node what ran there before and stayed elsewhere.
func (d *drill) bringBack(ctx context.Context) error {
	doc, err := d.Cluster.CIB(ctx, true)
	if err != nil {
		return err
	}
	state, err := scheduler.Observe(doc, scheduler.Options{Now: d.Now()})
	if err != nil {
		return err
	}
	missing := d.tracker.notHome(placesOf(state))
	if len(missing) > 0 {
		d.Tell("bringing back to " + d.Node + ": " + strings.Join(missing, ", "))
		v, err := d.commit(ctx, "drill: "+strings.Join(missing, ", ")+" back to "+d.Node, func(conf *cib.Element) {
			for _, id := range tops(d.before, missing) {
				c := cib.NewElement("rsc_location", "id", "drill-return-"+id, "rsc", id, "node", d.Node, "score", "INFINITY")
				if d.tracker.promoted(id, d.before) {
					c.Set("role", "Promoted")
				}
				conf.Ensure("constraints").Add(c)
			}
		})
		if err != nil {
			d.report.Left = strings.Join(missing, ", ") + " did not go back to " + d.Node
			return err
		}
		err = d.follow(ctx, "they are back", func(i *client.Info) bool { return settled(i, v) })
		if derr := d.Cluster.Decide(ctx, v, false); derr != nil {
			err = errors.Join(err, derr)
		}
		if err != nil {
			return err
		}
		if err := d.follow(ctx, "the cluster is idle", func(i *client.Info) bool { return settled(i, v) }); err != nil {
			return err
		}
		if doc, err = d.Cluster.CIB(ctx, true); err != nil {
			return err
		}
		if state, err = scheduler.Observe(doc, scheduler.Options{Now: d.Now()}); err != nil {
			return err
		}
		missing = d.tracker.notHome(placesOf(state))
	}
	switch {
	case len(missing) > 0:
		d.report.Left = strings.Join(missing, ", ") + " did not go back to " + d.Node
	case !doc.Configuration().Equal(d.before.Configuration()):
		d.report.Left = "the configuration was changed by somebody meanwhile"
	default:
		d.report.Restored = true
		d.Tell("the cluster is as before")
	}
	return nil
}

// commit puts a change of the configuration on trial. It is not broken off: the
// way back depends on knowing what was committed.
func (d *drill) commit(ctx context.Context, message string, edit func(conf *cib.Element)) (cib.Version, error) {
	if err := ctx.Err(); err != nil {
		return cib.Version{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Limit)
	defer cancel()
	for {
		doc, err := d.Cluster.CIB(ctx, true)
		if err != nil {
			return cib.Version{}, err
		}
		conf := doc.Configuration().Clone()
		edit(conf)
		v, err := d.Cluster.Apply(ctx, cib.Change{Origin: cib.Origin{Message: message},
			Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String(), Confirm: 2 * d.Limit}})
		if !errors.Is(err, cib.ErrConflict) || ctx.Err() != nil {
			return v, err
		}
	}
}

// follow keeps the tracker up to date until something is true.
func (d *drill) follow(ctx context.Context, what string, done func(*client.Info) bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.Limit)
	defer cancel()
	events, err := d.Cluster.Watch(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var seen cib.Version
	for {
		info, err := d.Cluster.Info(ctx)
		if err == nil && (info.Version != seen || d.Kind != Standby) {
			doc, derr := d.Cluster.CIB(ctx, false)
			if derr == nil {
				state, oerr := scheduler.Observe(doc, scheduler.Options{Now: d.Now()})
				if oerr != nil {
					return oerr
				}
				d.tracker.see(placesOf(state), d.lost(info), d.Now())
				seen = doc.Version()
			}
		}
		if err == nil && done(info) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case _, ok := <-events:
			if !ok {
				events = nil
			}
		case <-tick.C:
		}
	}
}

// setStandby puts a node into standby.
func setStandby(conf *cib.Element, node string) {
	for e := range conf.Child("nodes").Named("node") {
		if e.Get("uname") != node {
			continue
		}
		for set := range e.Named("instance_attributes") {
			for p := range set.Named("nvpair") {
				if p.Get("name") == "standby" {
					p.Set("value", "on")
					return
				}
			}
		}
		e.Add(cib.NewElement("instance_attributes", "id", "drill-"+e.ID()).Add(
			cib.NewElement("nvpair", "id", "drill-"+e.ID()+"-standby", "name", "standby", "value", "on")))
	}
}

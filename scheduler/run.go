package scheduler

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gcrm/cib"
)

// newestFeatures is the newest series of feature sets whose semantics are known.
const newestFeatures = "3.20"

// newerSeries compares the first two numbers of versions.
func newerSeries(v, than string) bool {
	series := func(v string) string {
		major, rest, _ := strings.Cut(v, ".")
		minor, _, _ := strings.Cut(rest, ".")
		return major + "." + minor
	}
	return v != "" && compareVersions(series(v), series(than)) > 0
}

// newEngine prepares a run; nothing is unpacked yet.
func newEngine(doc *cib.CIB, opt Options) (*engine, error) {
	if doc == nil || doc.Root == nil {
		return nil, errors.New("scheduler: there is no CIB to work on")
	}
	e := &engine{
		doc: doc, nodeByID: map[string]*node{}, nodeNamed: map[string]*node{},
		rscByID: map[string]*resource{}, rscByHistory: map[string]*resource{},
		ticketIdx: map[string]*ticket{}, tags: map[string][]string{}, templates: map[string]*templateUse{},
		singletons: map[string]*action{}, expiredMonitors: map[*cib.Element]bool{}, assignScores: opt.Scores || opt.Origins, trace: newTrace(opt.Origins), sanitized: opt.Sanitized, fencings: opt.Fencings, older: opt.older,
	}
	if v := doc.Root.Get("crm_feature_set"); newerSeries(v, newestFeatures) {
		return nil, fmt.Errorf("scheduler: the CIB was written by a newer cluster (crm_feature_set %s; up to %s is known), whose configuration may mean what this version does not understand", v, newestFeatures)
	}
	e.now = opt.Now
	if e.now.IsZero() {
		e.now = time.Unix(epochOf(doc.Root.Get("execution-date")), 0)
	}
	e.now = e.now.UTC()
	return e, nil
}

// unpack is phase 1: the document becomes nodes, resources and their state.
func (e *engine) unpack() {
	e.indexReferences()
	e.unpackOptions()
	e.unpackNodes()
	resources := e.doc.Configuration().Child("resources")
	implicit := e.implicitConnections(resources)
	e.unpackTemplatesAndTags()
	e.unpackResources(append(append([]*cib.Element(nil), resources.Children...), implicit...))
	e.unpackStatus()
}

// indexReferences indexes the configuration by id if anything refers to ids.
func (e *engine) indexReferences() {
	used := false
	conf := e.doc.Configuration()
	conf.Walk(func(el *cib.Element) bool {
		used = used || el.Has("id-ref")
		return !used
	})
	if !used {
		return
	}
	e.byID = map[string]*cib.Element{}
	conf.Walk(func(el *cib.Element) bool {
		if id := el.ID(); id != "" && !el.IsComment() && el.Name != "resource_ref" && el.Name != "obj_ref" && e.byID[id] == nil {
			e.byID[id] = el
		}
		return true
	})
}

// run goes through all phases.
func (e *engine) run() {
	e.unpack() // 1
	e.decide()
}

// decide goes through the phases after unpacking.
func (e *engine) decide() {
	e.nodeHealth()        // 3
	e.unpackConstraints() // 4
	e.applyCriteria()     // 5
	for _, r := range e.resources {
		e.internalConstraints(r) // 6
	}
	e.configurationChanges() // 7
	e.assignAll()            // 8
	for _, check := range e.deferredChecks {
		check() // 9a
	}
	e.scheduleProbes() // 9b
	for _, r := range e.resources {
		if r.removed && r.isPrimitive() {
			e.clearRemovedFailcounts(r)
		}
	}
	e.createAllActions()   // 9c
	e.orderRemoteActions() // 10
	e.fencingAndShutdown() // 11
	e.applyOrderings()     // 12
	e.buildGraph()         // 13
}

// clearRemovedFailcounts clears the fail counts of a removed resource.
func (e *engine) clearRemovedFailcounts(r *resource) {
	if !e.opt.stopRemoved {
		return
	}
	for _, n := range e.sorted {
		if !n.online {
			continue
		}
		if c, _ := e.failCount(r, n, nil, true, false); c == 0 {
			continue
		}
		a := e.clearFailcount(r, n, "it is orphaned")
		e.newOrdering(nil, "", a, r, opKey(r.id, taskStop, 0), nil, oOrdered)
	}
}

// Schedule computes the transition that brings a cluster from its status to
// what its configuration asks for. doc is not changed.
func Schedule(doc *cib.CIB, opt Options) (*Plan, error) {
	e, err := newEngine(doc, opt)
	if err != nil {
		return nil, err
	}
	e.run()
	return e.plan(), nil
}

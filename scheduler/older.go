package scheduler

// older asks for what Pacemaker 2.1.5 does differently from the semantics of
// this package, each change by itself. It is always empty but where answers
// are compared with those of that version: a difference is explained by a
// change if it vanishes when just that change is taken back.
type older uint32 // a bit for each change

const (
	olderFactors        older = 1 << iota // colocations of colocated resources count by their own score alone, but for the sign
	olderMixed                            // mandatory colocations have no precedence over optional ones
	olderAnti                             // a colocation with a negative score never keeps a dependent's only node free
	olderGroups                           // a group's colocations are those of its first and last member
	olderPartialGroups                    // an active member does not stop before an inactive one in front of it starts
	olderScoreAttribute                   // a node without the score attribute is forbidden
	olderCancel                           // a cancelled monitor's entry counts as activity, and a cancelled failure may expire
	olderClearing                         // fail counts are cleared by the node itself
	olderUnique                           // clone-node-max does not make a clone unique
	olderMaintenance                      // a node in maintenance leaves its resources' monitors alone
	olderNameless                         // guests that were never seen have no name, so that colocations take them for one node
	olderHost                             // colocations know no container-attribute-target and take what is in a bundle to be on the bundle's node
	olderRemoteFencing                    // remote nodes are fenced without quorum like others
	olderPendingNode                      // a pending operation's node is named where pending operations are not shown
	olderUnlisted                         // what is unmanaged on offline nodes alone does not make its group, clone or bundle appear
	olderGuestList                        // guests that are offline are listed if they are in standby or maintenance
	olderInstances                        // instances that would rather be elsewhere do not stay, and know of their clone's colocations by chance
	olderExclude                          // mandatory colocations with clones compare nodes, whatever their attribute
	olderRoles                            // roles in colocations count by their sign
	olderAlternatives                     // a rule of alternatives adds to a node's own score
	olderDegraded                         // degraded results are good ones for monitors alone
	olderExpired                          // failures that tell of a promoted role do so after they expired, and stops that cannot be recovered block
	olderInactive                         // an instance that is nowhere goes before active ones without promotion score
	olderInterleaved                      // interleaved with a bundle means with its containers, with what is in them only if that stops
	olderOrderedClones                    // instances of ordered clones know their neighbours alone
	olderInside                           // containers go inside their own bundle where a rule says so
	olderAll            = olderInside<<1 - 1
)

func (o older) has(bit older) bool { return o&bit != 0 }

// groupAsInOlder gives a group's colocations to its first and last member.
func groupAsInOlder(r *resource) {
	first, last := r.children[0], r.children[len(r.children)-1]
	for _, c := range r.thisWith {
		first.thisWith = insertThisWith(first.thisWith, c)
	}
	for _, c := range r.withThis {
		last.withThis = insertWithThis(last.withThis, c)
	}
	r.thisWith, r.withThis = nil, nil
}

// colocateAsInOlder looks at colocations in the order of the lists.
func (e *engine) colocateAsInOlder(r *resource, this, with []*colocation) {
	for _, c := range this {
		e.applyThisWith(c, r)
	}
	for _, c := range with {
		e.addDependents(c, r)
	}
}

// walkGroupAsInOlder adds what a group is colocated with by itself, or what is
// colocated with its last member: which has the group's own colocations once
// the group is being placed.
func (e *engine) walkGroupAsInOlder(g, target *resource, log string, nodes *nodeTable, factor float32, flags walkFlag) {
	if !e.anyAvailable(*nodes) {
		return
	}
	if target == nil {
		target = g
	}
	list := g.children[len(g.children)-1].withThis
	if flags&walkThisWith != 0 {
		list = g.thisWith
	}
	for _, x := range list {
		other := x.dependent
		if flags&walkThisWith != 0 {
			other = x.primary
		} else if !influences(x, nil) {
			continue
		}
		of := factor * float32(x.score) / float32(infinity)
		if e.older.has(olderFactors) {
			of = float32(x.score) / float32(infinity)
			if factor < 0 {
				of = -of
			}
		}
		e.walkScores(other, target, log, nodes, x, of, flags|walkActive)
	}
}

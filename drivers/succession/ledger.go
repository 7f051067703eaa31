package succession

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/drivers/native"
)

// PrimaryStatus is the status of the copy that is the primary.
const PrimaryStatus = "PRI"

// Promotion scores. Only a copy that may be promoted has a positive one.
const (
	ScorePrimary = 1000
	ScoreHeir    = 100
	ScoreNever   = -1000000
)

// Ledger is what the copies of one resource keep in the cluster.
type Ledger struct {
	call     *native.Call
	base     string // resource id, without the number of an instance
	position string // name of the attribute that tells how far a copy is
	Nodes    []string
	// Limit bounds every write to the cluster; zero is the action's time.
	Limit time.Duration
	// Seen leaves out nodes that have told nothing yet: they may have no copy.
	Seen bool
	// Looks is how often in a row an election must come out the same; zero
	// is once.
	Looks int
}

// Open returns the ledger of the call's resource. nodes are those that have a
// copy; empty is all of the cluster. position is the name, after the
// resource's and a dash, of the attribute for positions.
func Open(ctx context.Context, c *native.Call, nodes []string, position string) (*Ledger, error) {
	if len(nodes) == 0 {
		var err error
		if nodes, err = c.Node.Cluster.Nodes(ctx); err != nil {
			return nil, err
		}
	}
	base, _, _ := strings.Cut(c.Resource, ":")
	return &Ledger{call: c, base: base, position: base + "-" + position, Nodes: nodes}, nil
}

func (l *Ledger) statusName() string   { return l.base + "-status" }
func (l *Ledger) standingName() string { return l.base + "-data-status" }

// Copies reads what is known of all copies.
func (l *Ledger) Copies(ctx context.Context) ([]Copy, error) {
	var out []Copy
	for _, n := range l.Nodes {
		c := Copy{Node: n}
		read := func(name string) (string, error) {
			v, _, err := l.call.Node.Cluster.Attribute(ctx, n, name)
			return v, err
		}
		standing, err := read(l.standingName())
		if err != nil {
			return nil, err
		}
		status, err := read(l.statusName())
		if err != nil {
			return nil, err
		}
		if c.Position, err = read(l.position); err != nil {
			return nil, err
		}
		c.Standing, c.Running, c.Primary = Standing(standing), status != "", status == PrimaryStatus
		if !l.Seen || c.Standing != Unknown || c.Running || strings.EqualFold(n, l.call.Node.Name) {
			out = append(out, c)
		}
	}
	return out, nil
}

// Of returns the copy of a node.
func Of(copies []Copy, node string) Copy {
	for _, c := range copies {
		if strings.EqualFold(c.Node, node) {
			return c
		}
	}
	return Copy{Node: node}
}

// PrimaryOf returns the node that is primary, other than self; empty if none.
func PrimaryOf(copies []Copy, self string) string {
	for _, c := range copies {
		if c.Primary && !strings.EqualFold(c.Node, self) {
			return c.Node
		}
	}
	return ""
}

// SetStatus tells the others what the copy here is doing; empty for nothing.
func (l *Ledger) SetStatus(ctx context.Context, status string) error {
	return l.setOwn(ctx, l.statusName(), status)
}

// Report tells the others how far the copy here is; empty withdraws it.
func (l *Ledger) Report(ctx context.Context, position string) error {
	return l.setOwn(ctx, l.position, position)
}

func (l *Ledger) setOwn(ctx context.Context, name, value string) error {
	old, had, err := l.call.Node.Cluster.Attribute(ctx, l.call.Node.Name, name)
	if err == nil && had == (value != "") && old == value {
		return nil
	}
	ctx, cancel := l.limited(ctx)
	defer cancel()
	if value == "" {
		return l.call.SetAttribute(ctx, name, nil)
	}
	return l.call.SetAttribute(ctx, name, &value)
}

func (l *Ledger) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.Limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, l.Limit)
}

// Record keeps what the copy on a node is worth; when it returns without
// error, every later decision sees it.
func (l *Ledger) Record(ctx context.Context, node string, s Standing) error {
	name, value := l.standingName(), string(s)
	if old, had, err := l.call.Node.Cluster.Attribute(ctx, node, name); err == nil && had && old == value {
		return nil
	}
	ctx, cancel := l.limited(ctx)
	defer cancel()
	return l.call.Do(fmt.Sprintf("set permanent attribute %s of %s to %s", name, node, s), func() error {
		return l.call.Node.Cluster.SetNodeAttribute(ctx, node, name, &value)
	})
}

// Stand sets the promotion score of a copy that is not the primary, after
// what is known of all. own says how far it is, asked for only when there is
// no primary. The text tells why it may not be promoted, if so.
func (l *Ledger) Stand(ctx context.Context, rule Rule, own func() (string, error)) (why string, err error) {
	copies, err := l.Copies(ctx)
	if err != nil {
		return "", err
	}
	self := l.call.Node.Name
	score := ScoreNever
	if p := PrimaryOf(copies, self); p != "" {
		if err := l.Report(ctx, ""); err != nil {
			return "", err
		}
		if contains(rule.Heirs(copies), self) {
			score = ScoreHeir
		} else {
			why = fmt.Sprintf("the copy here has standing %q with primary %s", Of(copies, self).Standing, p)
		}
	} else {
		position, err := own()
		if err != nil {
			return "", err
		}
		if err := l.Report(ctx, position); err != nil {
			return "", err
		}
		var nodes []string
		if nodes, why, err = l.elect(ctx, rule); err != nil {
			return "", err
		}
		switch {
		case len(nodes) == 0:
		case strings.EqualFold(nodes[0], self):
			score = ScorePrimary
		case contains(nodes, self):
			score = ScoreHeir
		default:
			why = "the copy on " + nodes[0] + " is farther"
		}
	}
	return why, l.call.SetPromotionScore(ctx, &score)
}

// elect looks at the reports until the outcome stays the same.
func (l *Ledger) elect(ctx context.Context, rule Rule) (nodes []string, why string, err error) {
	for same := 0; ; {
		copies, err := l.Copies(ctx)
		if err != nil {
			return nil, "", err
		}
		last := nodes
		if nodes, why = rule.Elect(copies); len(nodes) == 0 {
			return nil, why, nil
		}
		if same++; !slices.Equal(nodes, last) {
			same = 1
		}
		if same >= l.Looks || l.call.Dry() {
			return nodes, "", nil
		}
		if err := native.Sleep(ctx, pause); err != nil {
			return nil, "", err
		}
	}
}

// pause is between two looks at the reports.
const pause = 100 * time.Millisecond

// Claim checks, on what the whole cluster knows, that the copy here may
// become the primary; own is how far it is. The error says why not.
func (l *Ledger) Claim(ctx context.Context, rule Rule, own string) error {
	if err := l.call.Node.Cluster.Sync(ctx); err != nil {
		return fmt.Errorf("whether this copy has all commits cannot be told without the cluster: %w", err)
	}
	copies, err := l.Copies(ctx)
	if err != nil {
		return err
	}
	self := l.call.Node.Name
	if p := PrimaryOf(copies, self); p != "" {
		return fmt.Errorf("node %s is primary still", p)
	}
	if contains(rule.Heirs(copies), self) {
		return nil
	}
	for i := range copies {
		if strings.EqualFold(copies[i].Node, self) {
			copies[i].Position, copies[i].Running = own, true
		}
	}
	switch nodes, why := rule.Elect(copies); {
	case len(nodes) == 0:
		return fmt.Errorf("%s", why)
	case !contains(nodes, self):
		return fmt.Errorf("the copy on %s is farther", nodes[0])
	}
	return nil
}

// Succeed records that the copy here is the one that counts, before its
// first commit.
func (l *Ledger) Succeed(ctx context.Context) error {
	for _, n := range l.Nodes {
		if !strings.EqualFold(n, l.call.Node.Name) {
			if err := l.Record(ctx, n, Disconnected); err != nil {
				return err
			}
		}
	}
	if err := l.Record(ctx, l.call.Node.Name, Latest); err != nil {
		return err
	}
	return l.SetStatus(ctx, PrimaryStatus)
}

// Keep is the primary's part of every look: it says that it is one, and has
// review record what the other copies are worth until all is settled, three
// seconds at most.
func (l *Ledger) Keep(ctx context.Context, review func() (settled bool, err error)) error {
	if err := l.SetStatus(ctx, PrimaryStatus); err != nil {
		return err
	}
	if err := l.Record(ctx, l.call.Node.Name, Latest); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, min(3*time.Second, native.Remaining(ctx)/2))
	defer cancel()
	for {
		settled, err := review()
		if err != nil {
			return err
		}
		if settled || l.call.Dry() || native.Sleep(limit, 2*pause) != nil {
			break
		}
	}
	score := ScorePrimary
	return l.call.SetPromotionScore(ctx, &score)
}

// Leave withdraws what holds only as long as the server runs.
func (l *Ledger) Leave(ctx context.Context) error {
	if err := l.Report(ctx, ""); err != nil {
		return err
	}
	if err := l.SetStatus(ctx, ""); err != nil {
		return err
	}
	return l.call.SetPromotionScore(ctx, nil)
}

func contains(list []string, node string) bool {
	for _, n := range list {
		if strings.EqualFold(n, node) {
			return true
		}
	}
	return false
}

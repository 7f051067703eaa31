package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/executor/operation"
	"gcrm/cluster/transport"
)

// What administrators do to the membership.
const (
	methodFarewell = "node.farewell"
	methodRemove   = "node.remove"
)

// Token is what a node needs to join, besides an address.
type Token struct {
	// Secret shows that the cluster invited the node.
	Secret string `json:"s"`
	// Fingerprint of the authority shows that it is that cluster.
	Fingerprint string `json:"f"`
}

const tokenPrefix = "gcrm1."

func (t Token) String() string {
	b, _ := json.Marshal(t)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads a token.
func ParseToken(s string) (Token, error) {
	var t Token
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	b, err := base64.RawURLEncoding.DecodeString(rest)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if !ok || err != nil || t.Secret == "" || t.Fingerprint == "" {
		return t, errors.New("this is not a join token; make one with 'gcrm cluster token' on a node of the cluster, and copy all of it")
	}
	return t, nil
}

func (t Token) hash() string {
	sum := sha256.Sum256([]byte("gcrm join " + t.Secret))
	return hex.EncodeToString(sum[:])
}

// JoinRequest is what a node that wants to join says.
type JoinRequest struct {
	Secret    string
	Name      string
	Addresses []string
	Witness   bool
	// Key is the node's public key in PKIX form.
	Key []byte
	// Time is on the node's clock.
	Time time.Time
	// Build and Level are those of its gcrm.
	Build string
	Level int
	// Probe asks only whether joining would work; the answer is a JoinProbe.
	// Padding comes back, to see that long messages get through.
	Probe   bool   `json:",omitempty"`
	Padding []byte `json:",omitempty"`
}

// JoinProbe is what a node that wants to join finds out before.
type JoinProbe struct {
	Cluster, Build string
	Time           time.Time // on the clock of the answering node
	Members        []consensus.Member
	Padding        []byte
}

// JoinAnswer is what it gets.
type JoinAnswer struct {
	Cluster, ID             string
	AuthorityCert           []byte
	AuthorityKey            []byte
	Certificate             []byte
	HeartbeatKey            []byte
	Members                 []consensus.Member
	Epoch                   uint64
	Since                   consensus.Place
	Past                    uint64 // the highest incarnation of any node so far
	DetectionInMilliseconds int64
	FencingInMilliseconds   int64
}

// maxAddresses is how many networks a node can have.
const maxAddresses = 8

// maxSkew is how far the clock of a node that joins may be off.
const maxSkew = time.Hour

// Invite makes a token that is good for one node and some time.
func (n *Node) Invite(ctx context.Context, life time.Duration) (Token, error) {
	if n.keys.Load().Authority == nil {
		return Token{}, &client.Error{Code: client.CodeRefused, Text: "this node does not hold the cluster's authority; make the token on another one"}
	}
	var b [16]byte
	rand.Read(b[:])
	t := Token{Secret: hex.EncodeToString(b[:]), Fingerprint: n.keys.Load().Authority.Fingerprint()}
	_, err := n.cons.Load().Apply(ctx, consensus.NewRequest(), consensus.Command{Invite: &consensus.Invitation{
		Hash: t.hash(), Expires: time.Now().Add(life)}})
	return t, translate(err)
}

// readJoinRequest reads what somebody who is not known yet has sent, and refuses
// what cannot become a node.
func readJoinRequest(body []byte, now time.Time) (req JoinRequest, err error) {
	if err := json.Unmarshal(body, &req); err != nil {
		return req, fmt.Errorf("unreadable request: %w", err)
	}
	if err := ValidName(req.Name); err != nil {
		return req, err
	}
	if len(req.Addresses) == 0 || len(req.Addresses) > maxAddresses {
		return req, errors.New("the node has no usable address")
	}
	for _, a := range req.Addresses {
		if _, err := netip.ParseAddrPort(a); err != nil {
			return req, fmt.Errorf("%q is no address with a port", a)
		}
	}
	if skew := now.Sub(req.Time); skew > maxSkew || skew < -maxSkew {
		return req, fmt.Errorf("the clock of %s is off by %v; set it right (for example with 'chronyc makestep') and join again", req.Name, skew.Round(time.Second))
	}
	return req, nil
}

// join answers a node that wants to join.
func (n *Node) join(ctx context.Context, body []byte) ([]byte, error) {
	if err := n.opened(); err != nil {
		return nil, err
	}
	req, err := readJoinRequest(body, time.Now())
	if err != nil {
		return nil, err
	}
	if err := n.fits(req); err != nil {
		return nil, err
	}
	cons := n.cons.Load()
	admission := &consensus.Admission{Hash: Token{Secret: req.Secret}.hash(), At: time.Now(), Member: consensus.Member{Name: req.Name,
		Addresses: req.Addresses, Witness: req.Witness, Since: time.Now(), Reason: "it joined"}}
	// Who has no good token must not even make the log grow.
	now, err := cons.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := now.Admissible(admission); err != nil {
		return nil, err
	}
	if req.Probe {
		return json.Marshal(JoinProbe{Cluster: n.cfg.Cluster, Build: n.cfg.Build, Time: time.Now(), Members: now.Members, Padding: req.Padding})
	}
	if _, err := cons.Apply(ctx, consensus.NewRequest(), consensus.Command{Admit: admission}); err != nil {
		return nil, err
	}
	state, _ := cons.State()
	m, ok := state.Member(req.Name)
	if !ok {
		return nil, errors.New("the node was removed again meanwhile")
	}
	keys := n.keys.Load()
	cert, err := keys.Authority.Certify(req.Name, m.ID, req.Key, time.Now())
	if err != nil {
		return nil, err
	}
	a := JoinAnswer{Cluster: n.cfg.Cluster, ID: m.ID, Certificate: cert, HeartbeatKey: keys.Heartbeats[0],
		Members: state.Members, Epoch: state.Epoch, Since: cons.Place(), Past: state.LastIncarnation, DetectionInMilliseconds: n.timing.Detection.Milliseconds(), FencingInMilliseconds: n.timing.Fencing.Milliseconds()}
	if a.AuthorityCert, a.AuthorityKey, err = keys.Authority.Export(); err != nil {
		return nil, err
	}
	n.log.Info("a node joins", "peer", m.Name, "id", m.ID, "addresses", m.Addresses)
	return json.Marshal(a)
}

// ValidName refuses names that agents, files or people would stumble over.
func ValidName(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("%q is no name for a node: it has to have 1 to 64 characters", name)
	}
	for i, c := range name {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && (c == '-' || c == '.' || c == '_')
		if !ok {
			return fmt.Errorf("%q is no name for a node: use letters, digits, and - . _ inside", name)
		}
	}
	return nil
}

// farewell leaves the cluster in order: the others are told, and take the vote
// away, before this node is gone.
func (n *Node) farewell() {
	// Who is gone is not waited for: others would do once more what it is at.
	for told := false; n.devices != nil && n.devices.runner.Executing() && !n.hurried(); told = true {
		if !told {
			n.log.Info("this node leaves when the fence device has answered that it has asked")
		}
		time.Sleep(n.timing.Interval)
	}
	cons := n.cons.Load()
	ctx, cancel := context.WithTimeout(context.Background(), 2*n.timing.IO)
	defer cancel()
	go func() {
		select {
		case <-n.hurry:
			cancel()
		case <-ctx.Done():
		}
	}()
	for n.missed() && ctx.Err() == nil {
		lead, moved := cons.Leadership()
		if lead.Leader == n.cfg.Name {
			n.rule(0)
			if err := cons.Transfer(""); err != nil {
				n.log.Info("leadership was not handed over", "err", err)
				break
			}
		}
		if lead.Leader != "" && lead.Leader != n.cfg.Name {
			err := n.wire.Call(ctx, lead.Leader, methodFarewell, n.incarnation, nil)
			if err == nil {
				n.log.Info("left the cluster")
				break
			}
			n.log.Debug("farewell", "err", err)
		}
		select {
		case <-moved:
		case <-time.After(n.timing.Interval):
		case <-ctx.Done():
			n.log.Warn("the others could not be told that this node leaves")
		}
	}
	n.beat.Leave()
}

// hurried reports whether the node was told not to take its time.
func (n *Node) hurried() bool {
	select {
	case <-n.hurry:
		return true
	default:
		return false
	}
}

// missed reports whether anybody with a vote stays when this node goes.
func (n *Node) missed() bool {
	cons := n.cons.Load()
	voters, _, err := cons.Electorate()
	if err != nil {
		return false
	}
	state, _ := cons.State()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range voters {
		m, ok := state.Member(v)
		if v != n.cfg.Name && !(ok && (m.State == consensus.Left || m.State == consensus.Down)) && !n.seen[v].hasLeft(m.Incarnation) {
			return true
		}
	}
	return false
}

// bidFarewell is the leader's part of it.
func (n *Node) bidFarewell(ctx context.Context, name string, incarnation uint64) error {
	cons := n.cons.Load()
	lead, _ := cons.Leadership()
	if !lead.Self {
		return errors.New("this node does not lead")
	}
	if left, err := n.markLeft(ctx, lead.Term, name, incarnation); err != nil || !left {
		return err
	}
	return cons.RemoveVoter(name)
}

// markLeft commits that a member left; false if it is none any more.
func (n *Node) markLeft(ctx context.Context, term uint64, name string, incarnation uint64) (bool, error) {
	cons := n.cons.Load()
	done, err := n.decide(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	recorded, err := n.recordNothing(ctx)
	if err != nil {
		return false, err
	}
	defer recorded()
	state, _ := cons.State()
	m, ok := state.Member(name)
	if !ok || m.Incarnation != incarnation || m.State != consensus.Online {
		return false, nil
	}
	if unknown := unsettled(state.CIB, m); len(unknown) > 0 {
		return false, fmt.Errorf("it is not known yet whether %s runs %s", name, strings.Join(unknown, ", "))
	}
	m.State, m.Since, m.Expelled, m.Leftover, m.Reason = consensus.Left, time.Now(), m.Incarnation, nil, "it left"
	cmd := consensus.Command{Members: []consensus.Member{m}}
	if !m.Witness {
		change := cib.Change{Origin: cib.Origin{Client: membershipClient}, Status: &cib.StatusChange{
			Edits: leftEdits(state.CIB, m)}}
		n.sign(&change)
		cmd.Change = &change
		if running := operation.Active(state.CIB, m.ID); len(running) > 0 {
			n.log.Warn("a node leaves and what it runs goes on; it has to be back, or be fenced, before others may start that", "peer", name, "resources", running)
		}
	}
	if _, err := cons.ApplyAsLeader(ctx, term, cmd); err != nil {
		return false, err
	}
	n.log.Info("membership", "what", name+" leaves")
	return true, nil
}

// Remove forgets a member that is gone for good.
func (n *Node) Remove(ctx context.Context, name string) error {
	lead, _ := n.cons.Load().Leadership()
	if lead.Leader == "" {
		return translate(consensus.ErrNoLeader)
	}
	err := n.wire.Call(ctx, lead.Leader, methodRemove, name, nil)
	var re *transport.RemoteError
	if errors.As(err, &re) {
		return &client.Error{Code: client.CodeRefused, Text: re.Text}
	}
	return err
}

// remove is the leader's part of Remove. Its steps are in an order in which
// the scheduler never sees a node that could run something: the state of the
// node, down, goes last. What was interrupted can be asked for again.
func (n *Node) remove(ctx context.Context, name string) error {
	cons := n.cons.Load()
	lead, _ := cons.Leadership()
	if !lead.Self {
		return errors.New("this node does not lead any more; try again")
	}
	state, _ := cons.State()
	m, known := state.Member(name)
	entry, entered := state.CIB.Node(name)
	switch {
	case !known && !entered:
		return fmt.Errorf("the cluster has no node %s", name)
	case !known:
		m.Name, m.ID = name, entry.ID
	case m.State == consensus.Online:
		return fmt.Errorf("node %s is online; stop its daemon first ('gcrm cluster stop' there)", name)
	case m.State == consensus.Lost:
		return fmt.Errorf("node %s is lost and may still run resources; it has to be fenced first", name)
	}
	if running := operation.Active(state.CIB, m.ID); len(running) > 0 {
		return fmt.Errorf("node %s left while it ran %s; start its daemon again and stop them, or fence it ('gcrm node fence %[1]s')", name, strings.Join(running, ", "))
	}
	voters, learners, err := cons.Electorate()
	if err != nil {
		return err
	}
	if slices.Contains(voters, name) || slices.Contains(learners, name) {
		if err := cons.RemoveVoter(name); err != nil {
			return err
		}
	}
	if known {
		if err := n.forget(ctx, lead.Term, m); err != nil {
			return err
		}
	}
	if err := n.strike(ctx, lead.Term, name); err != nil {
		return err
	}
	status := cib.Change{Origin: cib.Origin{Client: membershipClient}, Status: &cib.StatusChange{
		Edits: []cib.StatusEdit{{Node: &cib.NodeStateEdit{ID: m.ID, Uname: m.Name, Gone: true}}}}}
	n.sign(&status)
	_, err = cons.ApplyAsLeader(ctx, lead.Term, consensus.Command{Change: &status})
	return err
}

// forget removes a member that did not come back meanwhile.
func (n *Node) forget(ctx context.Context, term uint64, m consensus.Member) error {
	cons := n.cons.Load()
	done, err := n.decide(ctx)
	if err != nil {
		return err
	}
	defer done()
	state, _ := cons.State()
	now, known := state.Member(m.Name)
	switch {
	case !known:
		return nil
	case now.State != m.State || now.ID != m.ID || now.Incarnation != m.Incarnation:
		return fmt.Errorf("node %s is %s by now; look at it, and try again", m.Name, now.State)
	}
	_, err = cons.ApplyAsLeader(ctx, term, consensus.Command{Forget: []string{m.Name}})
	return err
}

// strike removes the entry of a node from the configuration.
func (n *Node) strike(ctx context.Context, term uint64, name string) error {
	cons := n.cons.Load()
	for ctx.Err() == nil {
		state, _ := cons.State()
		entry, ok := state.CIB.Node(name)
		if !ok {
			return nil
		}
		conf := state.CIB.Configuration().Clone()
		nodes := conf.Child("nodes")
		nodes.Remove(nodes.ChildByID(entry.ID))
		change := cib.Change{Origin: cib.Origin{Client: membershipClient, Message: "node " + name + " was removed"},
			Configuration: &cib.ConfigurationChange{Base: state.CIB.Version(), XML: conf.String()}}
		n.sign(&change)
		_, err := cons.ApplyAsLeader(ctx, term, consensus.Command{Change: &change})
		if !errors.Is(err, cib.ErrConflict) {
			return err
		}
	}
	return ctx.Err()
}

// ForceAlone makes this node go on without the other one of two, on the word
// of an administrator that it is down.
func (n *Node) ForceAlone(ctx context.Context, peer, by, words string) error {
	if !strings.Contains(words, "verified") {
		return &client.Error{Code: client.CodeRefused, Text: "nothing was done: say that you verified that node " + peer + " is down; if it is not, both nodes will run the same resources"}
	}
	cons := n.cons.Load()
	voters, _, err := cons.Electorate()
	if err != nil {
		return err
	}
	if len(voters) != 2 || !slices.Contains(voters, peer) || peer == n.cfg.Name {
		return &client.Error{Code: client.CodeRefused, Text: fmt.Sprintf("node %s is not the other one of two voters (%v)", peer, voters)}
	}
	since := cons.LastIndex()
	if n.quorate() {
		return &client.Error{Code: client.CodeRefused, Text: "the cluster has a quorum; nothing needs to be forced"}
	}
	n.mu.Lock()
	up := n.seen[peer].up
	n.mu.Unlock()
	if up {
		return &client.Error{Code: client.CodeRefused, Text: "node " + peer + " is not down: its heartbeats arrive here"}
	}
	n.log.Warn("an administrator says that the other node is down", "peer", peer, "by", by, "words", words)
	return n.force(ctx, peer, fmt.Sprintf("%s said: %s", by, words), false, since)
}

// force makes this node the electorate; peer is known to be down, or, if left
// is set, only to have left. since is the log's last index from before that was
// found out.
func (n *Node) force(ctx context.Context, peer, proof string, left bool, since uint64) error {
	cons := n.cons.Load()
	state, _ := cons.State()
	m, ok := state.Member(peer)
	if !ok {
		m = consensus.Member{Name: peer}
		for _, s := range n.knownPeers() {
			if s.Name == peer {
				m.ID, m.Addresses, m.Witness = s.ID, s.Addresses, s.Witness
			}
		}
	}
	n.mu.Lock()
	s := n.seen[peer]
	n.mu.Unlock()
	m.Expelled = max(m.Expelled, m.Incarnation, s.incarnation)
	m.State, m.Since, m.Leftover, m.Reason = consensus.Down, time.Now(), nil, proof
	if left {
		m.State = consensus.Left
	}
	besides := consensus.Command{Members: []consensus.Member{m}}
	if !m.Witness && m.ID != "" {
		edits := []cib.StatusEdit{stateEdit(m, false, "down", "down", "offline", true)}
		if left {
			edits = leftEdits(state.CIB, m)
		}
		change := cib.Change{Origin: cib.Origin{Client: membershipClient}, Status: &cib.StatusChange{Edits: edits}}
		n.sign(&change)
		besides.Change = &change
	}
	if err := cons.Force(ctx, proof, since, besides); err != nil {
		return err
	}
	n.log.Warn("this node goes on alone", "peer", peer, "proof", proof)
	n.beat.SetEpoch(n.wire.Epoch())
	n.signal()
	return nil
}

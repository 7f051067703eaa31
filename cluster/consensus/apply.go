package consensus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"gcrm/cluster/transport"
)

// ErrNoLeader means that no node leads, so that nothing can be committed: no
// majority of the voters can reach each other.
var ErrNoLeader = errors.New("the cluster has no leader")

// ErrUnknownOutcome means that the time was over before it was known whether
// the command was committed; it may still be.
var ErrUnknownOutcome = errors.New("it is unknown whether the change was committed")

// ErrClosed is given after Close.
var ErrClosed = errors.New("consensus is closed")

// retryHorizon bounds how long one request is repeated: the state machine
// remembers answers for longer than this.
const retryHorizon = 30 * time.Second

const (
	methodApply     = "consensus.apply"
	methodReadIndex = "consensus.readindex"
	codeNotLeader   = "not-leader"
	codeFailure     = "refused"
)

// notLeader tells the caller to look for another leader.
type notLeader struct{}

func (notLeader) Error() string   { return "this node does not lead" }
func (notLeader) RPCCode() string { return codeNotLeader }

// refusal carries a failure of the state machine over the network.
type refusal struct{ *failure }

func (r refusal) Error() string   { return r.err().Error() }
func (r refusal) RPCCode() string { return codeFailure }
func (r refusal) RPCDetail() json.RawMessage {
	b, _ := json.Marshal(r.failure)
	return b
}

type applyRequest struct {
	Entry entry
}

type readIndexAnswer struct {
	Index uint64
}

// NewRequest returns a request number that nobody else uses.
func NewRequest() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Apply commits a command through the leader, wherever it is, and returns when
// the command is in the local state too. request identifies it: a caller that
// repeats an Apply whose outcome it does not know uses the same one.
//
// Errors: a [cib.ConflictError] or [RefusedError] from the state machine;
// [ErrNoLeader] when ctx ended and nothing can have been committed;
// [ErrUnknownOutcome] when it ended and something may have been.
func (c *Consensus) Apply(ctx context.Context, request string, cmd Command) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, retryHorizon)
	defer cancel()
	e := entry{Request: request, Command: cmd}
	sent := false
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		lead, moved := c.Leadership()
		var a answer
		var err error
		switch {
		case c.isClosed():
			err = ErrClosed
		case lead.Leader == "":
			err = ErrNoLeader
		case lead.Leader == c.node:
			a, err = c.propose(ctx, e)
			sent = true
		default:
			err = c.cfg.Transport.Call(ctx, lead.Leader, methodApply, applyRequest{e}, &a)
			var re *transport.RemoteError
			if errors.As(err, &re) && re.Code == codeFailure {
				f := &failure{}
				if jerr := json.Unmarshal(re.Detail, f); jerr != nil {
					return Result{}, jerr
				}
				return Result{}, f.err()
			}
			sent = sent || !errors.As(err, &re)
		}
		if err == nil {
			if err := a.Failure.err(); err != nil {
				return Result{}, err
			}
			if err := c.waitIndex(ctx, a.Index); err != nil {
				// Committed; only the local copy is late.
				return Result{a.Version, a.Index}, nil
			}
			return Result{a.Version, a.Index}, nil
		}
		var refused *RefusedError
		if errors.As(err, &refused) || errors.Is(err, ErrClosed) {
			return Result{}, err
		}
		select {
		case <-moved:
		case <-time.After(pause):
		case <-ctx.Done():
			if sent {
				return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
			}
			return Result{}, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		}
	}
}

// ApplyAsLeader commits a command if this node leads in that term, and does
// not look for another leader. An error other than a [cib.ConflictError] or
// [RefusedError] leaves it open whether the command was committed.
func (c *Consensus) ApplyAsLeader(ctx context.Context, term uint64, cmd Command) (Result, error) {
	if lead, _ := c.Leadership(); !lead.Self || lead.Term != term {
		return Result{}, notLeader{}
	}
	a, err := c.propose(ctx, entry{Request: NewRequest(), Command: cmd})
	if err == nil {
		err = a.Failure.err()
	}
	return Result{a.Version, a.Index}, err
}

func (c *Consensus) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// propose puts an entry into the log of this node, which should lead.
func (c *Consensus) propose(ctx context.Context, e entry) (answer, error) {
	data, err := encodeEntry(e)
	if err != nil {
		return answer{}, &RefusedError{err.Error()}
	}
	r := c.current()
	f := r.raft.Apply(data, c.cfg.Timing.IO)
	err = r.outcome(ctx, f)
	c.stuck(r, err)
	if err != nil {
		return answer{}, err
	}
	a, ok := f.Response().(answer)
	if !ok {
		return answer{}, fmt.Errorf("state machine gave a %T", f.Response())
	}
	return a, nil
}

// handle registers what other nodes may ask.
func (c *Consensus) handle() {
	c.cfg.Transport.Handle(methodApply, func(ctx context.Context, _ transport.Peer, body json.RawMessage) (any, error) {
		var req applyRequest
		if err := json.Unmarshal(body, &req); err != nil {
			return nil, err
		}
		a, err := c.propose(ctx, req.Entry)
		switch {
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
			return nil, notLeader{}
		case err != nil:
			return nil, err
		case a.Failure != nil:
			return nil, refusal{a.Failure}
		}
		return a, nil
	})
	c.cfg.Transport.Handle(methodReadIndex, func(ctx context.Context, _ transport.Peer, _ json.RawMessage) (any, error) {
		i, err := c.readIndex()
		return readIndexAnswer{i}, err
	})
}

// readIndex returns an index that covers everything acknowledged before the
// call. Only a leader that passed its barrier can tell, and only if it still
// leads after it looked.
func (c *Consensus) readIndex() (uint64, error) {
	lead, _ := c.Leadership()
	if !lead.Self {
		return 0, notLeader{}
	}
	r := c.current()
	state, _ := r.machine.current()
	if err := r.outcome(context.Background(), r.raft.VerifyLeader()); err != nil {
		return 0, notLeader{}
	}
	return state.Index, nil
}

// Read returns a state that contains everything that was acknowledged to
// anybody before the call. Without a leader it waits until ctx ends and gives
// [ErrNoLeader].
func (c *Consensus) Read(ctx context.Context) (*State, error) {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		lead, moved := c.Leadership()
		var a readIndexAnswer
		var err error
		switch {
		case c.isClosed():
			return nil, ErrClosed
		case lead.Leader == "":
			err = ErrNoLeader
		case lead.Leader == c.node:
			a.Index, err = c.readIndex()
		default:
			err = c.cfg.Transport.Call(ctx, lead.Leader, methodReadIndex, nil, &a)
		}
		if err == nil {
			if err := c.waitIndex(ctx, a.Index); err != nil {
				return nil, err
			}
			state, _ := c.State()
			return state, nil
		}
		select {
		case <-moved:
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		}
	}
}

// waitIndex waits until the local state has reached an index.
func (c *Consensus) waitIndex(ctx context.Context, index uint64) error {
	for {
		state, newer := c.State()
		if state.Index >= index {
			return nil
		}
		if err := wait(ctx, newer); err != nil {
			return err
		}
	}
}

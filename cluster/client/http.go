package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"gcrm/cib"
)

// HTTP is a Cluster behind a daemon's API. It is safe for concurrent use.
type HTTP struct {
	base   string
	client *http.Client
	name   string // of the program, for the history

	mu     sync.Mutex
	tag    string // of the document below
	cached *cib.CIB
}

var (
	_ Cluster   = (*HTTP)(nil)
	_ Historian = (*HTTP)(nil)
	_ Linker    = (*HTTP)(nil)

	_ Administrator = (*HTTP)(nil)
	_ Warden        = (*HTTP)(nil)
	_ Judge         = (*HTTP)(nil)
)

// Dial returns the cluster behind a daemon's unix socket. program names the
// caller in the history of versions ("gcrm shell").
func Dial(socket, program string) (*HTTP, error) {
	if _, err := os.Stat(socket); err != nil {
		return nil, fmt.Errorf("no daemon answers at %s: %w; start it with 'gcrm daemon', or work on a file with --cib FILE", socket, errors.Unwrap(err))
	}
	d := &net.Dialer{}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
		MaxIdleConns:           8,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return New("http://gcrm", &http.Client{Transport: t}, program), nil
}

// New returns the cluster behind an API at a base URL, reached with an HTTP
// client of the caller's (one with a client certificate, for example).
func New(base string, c *http.Client, program string) *HTTP {
	return &HTTP{base: base, client: c, name: program}
}

// Close ends the connection.
func (h *HTTP) Close() error {
	h.client.CloseIdleConnections()
	return nil
}

func (h *HTTP) do(ctx context.Context, method, path string, query url.Values, body any, header http.Header) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	target := h.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, in)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := h.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL of a socket tells nobody anything
		}
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("the cluster's daemon may not be asked: %w; be root or a member of the group haclient", err)
		}
		return nil, fmt.Errorf("the cluster's daemon does not answer: %w", err)
	}
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotModified {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return nil, decodeError(resp.StatusCode, b)
	}
	return resp, nil
}

func read(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err == nil && len(b) > MaxBody {
		err = fmt.Errorf("the daemon's answer is longer than %d bytes", MaxBody)
	}
	return b, err
}

func (h *HTTP) get(ctx context.Context, path string, query url.Values, into any) error {
	resp, err := h.do(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return err
	}
	b, err := read(resp)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("unreadable answer of the daemon: %w", err)
	}
	return nil
}

// CIB implements Cluster. A document that has not changed is not transferred
// again.
func (h *HTTP) CIB(ctx context.Context, linearizable bool) (*cib.CIB, error) {
	query := url.Values{}
	if linearizable {
		query.Set("linearizable", "true")
	}
	header := http.Header{}
	h.mu.Lock()
	tag, cached := h.tag, h.cached
	h.mu.Unlock()
	if tag != "" {
		header.Set("If-None-Match", tag)
	}
	resp, err := h.do(ctx, http.MethodGet, PathCIB, query, nil, header)
	if err != nil {
		return nil, err
	}
	b, err := read(resp)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNotModified {
		return cached, nil
	}
	c, err := cib.Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("the daemon's CIB: %w", err)
	}
	h.mu.Lock()
	h.tag, h.cached = resp.Header.Get("ETag"), c
	h.mu.Unlock()
	return c, nil
}

// Apply implements Cluster. A request whose answer was lost is sent again; the
// daemon knows it by its number.
func (h *HTTP) Apply(ctx context.Context, change cib.Change) (cib.Version, error) {
	var id [12]byte
	rand.Read(id[:])
	if change.Origin.Client == "" {
		change.Origin.Client = h.name
	}
	req := ApplyRequest{Request: hex.EncodeToString(id[:]), Change: change}
	for try := 1; ; try++ {
		v, err := h.apply(ctx, req)
		var reported *Error
		if err == nil || errors.As(err, &reported) || try == 3 {
			return v, err
		}
		select {
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
		case <-ctx.Done():
			return v, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
	}
}

func (h *HTTP) apply(ctx context.Context, req ApplyRequest) (cib.Version, error) {
	resp, err := h.do(ctx, http.MethodPost, PathApply, nil, req, nil)
	if err != nil {
		return cib.Version{}, err
	}
	b, err := read(resp)
	if err != nil {
		return cib.Version{}, err
	}
	var a ApplyAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return cib.Version{}, fmt.Errorf("unreadable answer of the daemon: %w", err)
	}
	return cib.ParseVersion(a.Version)
}

// Info implements Cluster.
func (h *HTTP) Info(ctx context.Context) (*Info, error) {
	i := &Info{}
	return i, h.get(ctx, PathInfo, nil, i)
}

// Agents implements Cluster.
func (h *HTTP) Agents(ctx context.Context, class, provider string) ([]string, error) {
	var list []string
	err := h.get(ctx, PathAgents, url.Values{"class": {class}, "provider": {provider}}, &list)
	return list, err
}

// Metadata implements Cluster.
func (h *HTTP) Metadata(ctx context.Context, agent string) (xml, source string, err error) {
	var m Metadata
	err = h.get(ctx, PathMetadata, url.Values{"agent": {agent}}, &m)
	return m.XML, m.Source, err
}

// Revisions implements Historian.
func (h *HTTP) Revisions(ctx context.Context) ([]Revision, error) {
	var list []Revision
	err := h.get(ctx, PathRevisions, nil, &list)
	return list, err
}

// Revision implements Historian.
func (h *HTTP) Revision(ctx context.Context, v cib.Version) (*Revision, error) {
	r := &Revision{}
	return r, h.get(ctx, PathRevisions, url.Values{"version": {v.String()}}, r)
}

// Decide implements Judge.
func (h *HTTP) Decide(ctx context.Context, trial cib.Version, keep bool) error {
	return h.send(ctx, http.MethodPost, PathTrial, nil, VerdictRequest{trial.String(), keep}, nil)
}

// AdminCert has a certificate made for a user.
func (h *HTTP) AdminCert(ctx context.Context, r AdminCertRequest) (AdminCertAnswer, error) {
	var a AdminCertAnswer
	err := h.send(ctx, http.MethodPost, PathAdminCert, nil, r, &a)
	return a, err
}

// Rotate begins to replace the keys of the cluster.
func (h *HTTP) Rotate(ctx context.Context, authority bool) error {
	return h.send(ctx, http.MethodPost, PathRotate, nil, RotateRequest{authority}, nil)
}

// Drill makes a node fail, for a rehearsal.
func (h *HTTP) Drill(ctx context.Context, r DrillRequest) error {
	return h.send(ctx, http.MethodPost, PathDrill, nil, r, nil)
}

// Audit returns the last entries of the audit log of the node, the latest last.
func (h *HTTP) Audit(ctx context.Context, last int) ([]AuditEntry, error) {
	var list []AuditEntry
	err := h.get(ctx, PathAudit, url.Values{"last": {strconv.Itoa(last)}}, &list)
	return list, err
}

// Links implements Linker.
func (h *HTTP) Links(ctx context.Context) ([]Link, error) {
	var list []Link
	err := h.get(ctx, PathLinks, nil, &list)
	return list, err
}

// Mesh implements Linker.
func (h *HTTP) Mesh(ctx context.Context) ([]NodeLinks, error) {
	var list []NodeLinks
	err := h.get(ctx, PathMesh, nil, &list)
	return list, err
}

// Token implements Administrator.
func (h *HTTP) Token(ctx context.Context, life time.Duration) (string, error) {
	var a TokenAnswer
	err := h.send(ctx, http.MethodPost, PathTokens, nil, TokenRequest{int(life.Seconds())}, &a)
	return a.Token, err
}

// RemoveNode implements Administrator.
func (h *HTTP) RemoveNode(ctx context.Context, name string) error {
	return h.send(ctx, http.MethodDelete, PathMembers, url.Values{"name": {name}}, nil, nil)
}

// ForceAlone implements Administrator.
func (h *HTTP) ForceAlone(ctx context.Context, peer, words string) error {
	return h.send(ctx, http.MethodPost, PathForce, nil, ForceRequest{peer, words}, nil)
}

// StopNode implements Administrator.
func (h *HTTP) StopNode(ctx context.Context) error {
	return h.send(ctx, http.MethodPost, PathStop, nil, struct{}{}, nil)
}

// Fence implements Warden.
func (h *HTTP) Fence(ctx context.Context, node, action string) (proof string, err error) {
	err = h.send(ctx, http.MethodPost, PathFencing, nil, FenceRequest{node, action}, &proof)
	return proof, err
}

// ConfirmDown implements Warden.
func (h *HTTP) ConfirmDown(ctx context.Context, node string) error {
	return h.send(ctx, http.MethodPost, PathConfirm, nil, FenceRequest{Node: node}, nil)
}

// Fencings implements Warden.
func (h *HTTP) Fencings(ctx context.Context) ([]FenceEntry, error) {
	var list []FenceEntry
	err := h.get(ctx, PathFencing, nil, &list)
	return list, err
}

// FencePlan implements Warden.
func (h *HTTP) FencePlan(ctx context.Context) (*FencePlan, error) {
	p := &FencePlan{}
	return p, h.get(ctx, PathFencePlan, nil, p)
}

// FenceTest implements Warden.
func (h *HTTP) FenceTest(ctx context.Context, r FenceTestRequest) (*FenceReport, error) {
	report := &FenceReport{}
	return report, h.send(ctx, http.MethodPost, PathFenceTest, nil, r, report)
}

// Rehearse implements Rehearser.
func (h *HTTP) Rehearse(ctx context.Context, doc *cib.CIB) ([]Rehearsed, error) {
	var out []Rehearsed
	err := h.send(ctx, http.MethodPost, PathRehearse, nil, RehearseRequest{CIB: doc.Root.String()}, &out)
	return out, err
}

// send makes a request that changes something.
func (h *HTTP) send(ctx context.Context, method, path string, query url.Values, body, into any) error {
	resp, err := h.do(ctx, method, path, query, body, nil)
	if err != nil {
		return err
	}
	b, err := read(resp)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// Watch implements Cluster. When the connection is lost it says so in an event
// and connects again until ctx ends.
func (h *HTTP) Watch(ctx context.Context) (<-chan Event, error) {
	resp, err := h.do(ctx, http.MethodGet, PathWatch, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	out := newMailbox()
	go func() {
		defer out.close()
		for {
			h.stream(resp, out)
			if ctx.Err() != nil {
				return
			}
			out.put(Event{Connection: "lost"})
			for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
				if resp, err = h.do(ctx, http.MethodGet, PathWatch, nil, nil, nil); err == nil {
					break
				}
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return
				}
			}
			out.put(Event{Connection: "restored"})
		}
	}()
	return out.deliver(ctx), nil
}

func (h *HTTP) stream(resp *http.Response, out *mailbox) {
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), 4<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue // keeps the connection alive
		}
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			return
		}
		out.put(e)
	}
}

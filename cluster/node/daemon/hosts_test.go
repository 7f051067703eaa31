package daemon

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/fencing"
	"gcrm/fencing/agent"
	"gcrm/fencing/keeper"
	"gcrm/fencing/sbd"
	"gcrm/scheduler"
)

// TestMain lets more tests run side by side than there are processors: they
// wait for each other's heartbeats most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() != "1" {
		if err := f.Value.Set("4"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// patience is how long tests wait for what has to come. Nothing waits that
// long on a machine that is not hopelessly busy.
const patience = 2 * time.Minute

// wait tries until f has no objection any more.
func wait(t *testing.T, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
	}
}

// host is a machine with a state folder.
type host struct {
	t      *testing.T
	dir    string
	agents string // folder of fence agents
	keeper *keeper.Settings
	reset  func(how sbd.Command, why string)
	// methods, if set, are used instead of agents.
	methods *fencing.Registry

	mu     sync.Mutex
	cancel context.CancelFunc
	abrupt chan struct{}
	done   chan error // nil while no daemon runs

	// nodeLife is how long its certificates are good.
	nodeLife time.Duration
	// detection is that of a cluster of which this is the first node.
	detection time.Duration
	die       func(time.Duration)
	schedule  func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) // none if nil
}

// newHost is a machine without a node; what runs on it in the end crashes.
func newHost(t *testing.T) *host {
	h := &host{t: t, dir: t.TempDir(), detection: 3 * time.Second}
	t.Cleanup(func() {
		h.crash()
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(h.dir, "log"))
			t.Logf("log of %s:\n%s", h.dir, b)
		}
	})
	return h
}

// cluster starts hosts as one cluster of nodes n1, n2...
func cluster(t *testing.T, n int, change func(*host)) []*host {
	t.Helper()
	var hosts []*host
	var names []string
	first := freeAddress(t)
	for i := range n {
		h := newHost(t)
		if change != nil {
			change(h)
		}
		name := fmt.Sprintf("n%d", i+1)
		var err error
		if i == 0 {
			_, err = Init(InitOptions{StateDir: h.dir, Cluster: "c", Node: name, Address: first, Detection: h.detection})
		} else {
			_, err = Join(t.Context(), JoinOptions{StateDir: h.dir, Node: name, Address: freeAddress(t), Contact: first, Token: hosts[0].token()})
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.nodeLife > 0 { // the first certificate is to be as short as the others
			for _, name := range []string{"node.pem", "node.key"} {
				if err := os.Remove(filepath.Join(h.dir, pkiDir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.run()
		hosts, names = append(hosts, h), append(names, name+"*")
		members(t, h.client(), strings.Join(names, " "))
	}
	return hosts
}

func (h *host) socket() string { return filepath.Join(h.dir, "api.sock") }

func (h *host) run() {
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	done := h.done
	log, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	o := Options{StateDir: h.dir, RunDir: filepath.Join(h.dir, "run"), Socket: h.socket(), Program: "/bin/true",
		Agents:   all.Registry(all.Options{Preferences: drivers.Preferences{Default: drivers.PreferNative}}),
		Schedule: func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) { return &scheduler.Plan{}, nil },
		Log:      slog.New(slog.NewTextHandler(log, nil)), EvacuationLimit: 5 * time.Second, crash: make(chan struct{})}
	h.abrupt, o.nodeLife, o.die = o.crash, h.nodeLife, h.die
	if h.schedule != nil {
		o.Schedule = h.schedule
	}
	o.Keeper, o.Reset = h.keeper, h.reset
	if h.methods != nil {
		o.Fencing = h.methods
	} else if h.agents != "" {
		f := agent.Finder{Dirs: []string{h.agents}}
		o.Fencing = fencing.NewRegistry(nil, f.Find, f.Names)
	}
	go func() {
		defer log.Close()
		done <- Run(ctx, o)
	}()
}

// stop ends the daemon in order.
func (h *host) stop() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel()
	select {
	case err := <-h.done:
		if err != nil && !strings.Contains(err.Error(), "no quorum") {
			h.t.Errorf("daemon: %v", err)
		}
	case <-time.After(patience):
		h.t.Fatal("the daemon does not end")
	}
	h.done = nil
}

// ended waits until the daemon has ended by itself, and returns why.
func (h *host) ended() error {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case err := <-h.done:
		h.done = nil
		h.cancel()
		return err
	case <-time.After(patience):
		h.t.Fatal("the daemon does not end")
		return nil
	}
}

// crash ends the daemon, if one runs, as kill -9 does.
func (h *host) crash() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done == nil {
		return
	}
	close(h.abrupt)
	<-h.done
	h.done = nil
	h.cancel()
}

// client speaks to the daemon once it answers.
func (h *host) client() *client.HTTP {
	h.t.Helper()
	var c *client.HTTP
	wait(h.t, "the daemon answers", func() (err error) {
		h.mu.Lock()
		done := h.done
		h.mu.Unlock()
		select {
		case err := <-done:
			done <- err
			h.t.Fatalf("the daemon has ended: %v", err)
		default:
		}
		if c, err = client.Dial(h.socket(), "test"); err == nil {
			_, err = c.Info(h.t.Context())
		}
		return err
	})
	h.t.Cleanup(func() { c.Close() })
	return c
}

// command runs "gcrm cluster ARGS" against a host's daemon.
func (h *host) command(args ...string) (out string, status int) {
	h.t.Helper()
	var b bytes.Buffer
	status = ClusterCommand(h.t.Context(), append(args, "--socket", h.socket()), Streams{Out: &b, Err: &b})
	return b.String(), status
}

// token is one to join with.
func (h *host) token() (token string) {
	h.t.Helper()
	c := h.client()
	wait(h.t, "there is a token", func() (err error) {
		token, err = c.Token(h.t.Context(), 10*time.Minute)
		return err
	})
	return token
}

// members waits until the cluster looks like that to a client: "n1* n2" for two
// that are online, the first with a vote.
func members(t *testing.T, c *client.HTTP, want string) {
	t.Helper()
	wait(t, "the members are "+want, func() error {
		i, err := c.Info(t.Context())
		if err != nil {
			return err
		}
		var list []string
		for _, m := range i.Members {
			s := m.Name
			if !m.Online {
				s = "(" + s + ")"
			}
			if m.Voter {
				s += "*"
			}
			list = append(list, s)
		}
		if got := strings.Join(list, " "); got != want {
			return fmt.Errorf("they are %s", got)
		}
		if !i.Quorate {
			return errors.New("no quorum")
		}
		return nil
	})
}

// edit commits a change of the configuration.
func edit(t *testing.T, c *client.HTTP, change func(conf *cib.Element)) {
	t.Helper()
	wait(t, "the configuration is committed", func() error {
		doc, err := c.CIB(t.Context(), true)
		if err != nil {
			return err
		}
		conf := doc.Configuration().Clone()
		change(conf)
		if conf.String() == doc.Configuration().String() {
			return nil
		}
		_, err = c.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}})
		return err
	})
}

func setProperty(conf *cib.Element, name, value string) {
	conf.Ensure("crm_config").Ensure("cluster_property_set").Add(cib.NewElement("nvpair", "id", "property-"+name, "name", name, "value", value))
}

// started waits until a resource was started and nothing is left to be done.
func started(t *testing.T, c *client.HTTP, id string) {
	t.Helper()
	wait(t, id+" starts", func() error {
		i, err := c.Info(t.Context())
		if err != nil {
			return err
		}
		doc, err := c.CIB(t.Context(), true)
		if err != nil {
			return err
		}
		if !i.Transition.Idle || i.Transition.ComputedAtVersion.Compare(doc.Version()) < 0 || !strings.Contains(doc.String(), id+"_last_0") {
			return fmt.Errorf("transition %+v of version %s", i.Transition, doc.Version())
		}
		return nil
	})
}

// freeAddress is a loopback address with a port nobody uses. It is below those
// that the kernel gives to outgoing connections, which would take it away.
func freeAddress(t *testing.T) string {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if portsAreFree([]string{address}) == nil {
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// markAttribute is a change that harms nobody.
func markAttribute(value string) cib.Change {
	return cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "1", Name: "mark", Value: value}}}}}
}

package rpc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

func dial(t *testing.T, uri string, o rpc.Options) *rpc.Conn {
	t.Helper()
	c, err := rpc.Dial(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRepliesFindTheirCallers(t *testing.T) {
	h := rpctest.New(t, "qemu")
	c := dial(t, h.URI, rpc.Options{})
	release := make(chan struct{})
	h.Answer(rpc.ProcDestroyFlags, func([]byte) error { <-release; return nil })
	dom, err := c.CreateXML(t.Context(), "<domain><name>a</name></domain>")
	if err != nil {
		t.Fatal(err)
	}
	slow := make(chan error)
	go func() { slow <- c.Destroy(t.Context(), dom) }()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if s, _, err := c.State(t.Context(), dom); s != rpc.Running || err != nil {
				t.Errorf("%v %v", s, err)
			}
			if _, err := c.LookupByName(t.Context(), "b"); !rpc.IsNoDomain(err) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	if _, _, err := c.State(t.Context(), dom); !rpc.IsNoDomain(err) {
		t.Errorf("a transient domain is still known: %v", err)
	}
}

func TestCallerStopsWaiting(t *testing.T) {
	h := rpctest.New(t, "qemu")
	c := dial(t, h.URI, rpc.Options{})
	release := make(chan struct{})
	h.Answer(rpc.ProcListAllDomains, func([]byte) error { <-release; return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := c.Domains(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(release)
	if _, err := c.Domains(t.Context()); err != nil {
		t.Errorf("the connection is not usable after a dropped call: %v", err)
	}
}

func TestEventsAndTheirOverflow(t *testing.T) {
	h := rpctest.New(t, "qemu")
	c := dial(t, h.URI, rpc.Options{Events: 2})
	if _, err := c.SubscribeLifecycle(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateXML(t.Context(), "<domain><name>a</name></domain>"); err != nil {
		t.Fatal(err)
	}
	h.Crash("a")
	seen := map[int32]bool{}
	for range 2 {
		select {
		case e := <-c.Events():
			seen[e.Event] = e.Domain.Name == "a"
		case <-time.After(5 * time.Second):
			t.Fatal("an event is missing")
		}
	}
	if !seen[rpc.EventStarted] || !seen[rpc.EventStopped] || c.Overflowed() {
		t.Errorf("%v", seen)
	}
	for range 5 {
		h.Set("b", rpc.Running, 1)
		h.Crash("b")
	}
	for end := time.Now().Add(5 * time.Second); !c.Overflowed(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("lost events were not told of")
		}
	}
	c.Close()
	for range c.Events() { // closed in the end
	}
}

func TestDeadDaemonIsGivenUp(t *testing.T) {
	h := rpctest.New(t, "qemu")
	c := dial(t, h.URI, rpc.Options{Silence: 200 * time.Millisecond, Misses: 25}) // a busy machine may stand still for seconds
	time.Sleep(1500 * time.Millisecond)                                           // pings keep an idle connection
	if _, err := c.Domains(t.Context()); err != nil {
		t.Fatalf("idle connection: %v", err)
	}
	h.Deaf(true)
	if _, err := c.Domains(t.Context()); !rpc.IsLost(err) {
		t.Errorf("%v", err)
	}
	select {
	case <-c.Done():
	default:
		t.Error("the connection is not closed")
	}
}

func TestDaemonGoes(t *testing.T) {
	h := rpctest.New(t, "qemu")
	c := dial(t, h.URI, rpc.Options{})
	h.Answer(rpc.ProcListAllDomains, func([]byte) error { h.Disconnect(); return nil })
	if _, err := c.Domains(t.Context()); !rpc.IsLost(err) {
		t.Errorf("%v", err)
	}
	if _, err := c.Domains(t.Context()); !rpc.IsLost(err) {
		t.Errorf("a later call: %v", err)
	}
	var none *rpc.NoDaemonError
	if _, err := rpc.Dial(t.Context(), "qemu+unix:///system?socket=/nowhere/s", rpc.Options{}); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
}

func TestAddresses(t *testing.T) {
	for uri, want := range map[string]string{
		"qemu:///system":                        "unix  qemu:///system /run/libvirt/virtqemud-sock /run/libvirt/libvirt-sock",
		"test:///default":                       "unix  test:///default /run/libvirt/libvirt-sock",
		"qemu+unix:///system?socket=/x/s":       "unix  qemu:///system /x/s",
		"qemu+tls://h/system?no_verify=1":       "tls h:16514 qemu:///system",
		"qemu://h/system":                       "tls h:16514 qemu:///system",
		"xen+tcp://h:99/?no_tty=1":              "tcp h:99 xen:///",
		"qemu+tcp://h/system?name=test:///x":    "tcp h:16509 test:///x",
		"qemu+tcp://h/embed?root=/x&pkipath=/y": "tcp h:16509 qemu:///embed?root=%2Fx",
	} {
		a, err := rpc.ParseAddress(uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		got := a.Transport + " "
		if a.Host != "" {
			got += a.HostPort()
		}
		got += " " + a.Remote
		if a.Host == "" {
			for _, s := range a.Sockets("/run/libvirt") {
				got += " " + s
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", uri, got, want)
		}
	}
	for _, uri := range []string{"qemu+carrier://h/system", "/system", "qemu+ssh:///system", "://"} {
		if a, err := rpc.ParseAddress(uri); err == nil {
			t.Errorf("%q was taken: %+v", uri, a)
		}
	}
	a, err := rpc.ParseAddress("qemu+ssh://root@h:2222/system?keyfile=/k&proxy=native")
	if err != nil {
		t.Fatal(err)
	}
	got := a.SSHCommand("/run/libvirt")
	want := []string{"ssh", "-p", "2222", "-l", "root", "-i", "/k", "-T", "-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", "h", "virt-ssh-helper 'qemu:///system'"}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q", got)
		}
	}
}

// Package keeper keeps a node from living on when it must not: it feeds the
// watchdog as long as the rule of the guard holds, reads the node's mailboxes on
// shared disks, and resets the machine when a message says so, or when it was
// not allowed to feed for the watchdog's time.
//
// The caller is the node's daemon. The keeper lives as long as the daemon, over
// all incarnations of its node.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/sbd"
	"gcrm/fencing/watchdog"
)

// Watchdog is an armed timer that resets the machine ([watchdog.Device]).
type Watchdog interface {
	Feed() error
	Disarm() error
	Timeout() time.Duration
}

// Station is the node's place at one shared disk ([sbd.Station]).
type Station interface {
	Look() (sbd.Command, error)
	Every() time.Duration
	Close()
}

// Config is what a keeper is made of.
type Config struct {
	Node string
	// Watchdog may be nil: then only this program resets the machine, which
	// is less than a proof when it hangs itself.
	Watchdog Watchdog
	// Timeout is the watchdog's; it counts without one, too.
	Timeout time.Duration
	// Disks are the shared disks, Open takes the node's place at one.
	Disks []string
	Open  func(ctx context.Context, disk string) (Station, error)
	// Cluster makes what the cluster says count ([Keeper.Told]).
	Cluster bool
	// Reset resets, switches off or crashes the machine at once. It is not
	// expected to return.
	Reset func(how sbd.Command, why string)
	// Exit is called when a message asks for a clean end.
	Exit func()
	Log  *slog.Logger
}

// patience is added to the pause between two readings of a disk, for the
// reading itself.
const patience = 3 * time.Second

// Keeper is a running one.
type Keeper struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	disks  sync.WaitGroup
	fed    chan struct{} // closed when feeding has ended

	mu      sync.Mutex
	guard   *watchdog.Guard
	hungry  time.Time // since when it must not be fed
	reset   bool
	stopped bool
}

// Start begins to feed.
func Start(cfg Config) (*Keeper, error) {
	if cfg.Watchdog != nil {
		cfg.Timeout = cfg.Watchdog.Timeout()
	}
	if cfg.Timeout < time.Second {
		return nil, &fencing.Error{Op: "watch over", On: cfg.Node, Err: fmt.Errorf("the watchdog's timeout is %s", cfg.Timeout), Hint: "it has to be a second at least"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Exit == nil {
		cfg.Exit = func() {}
	}
	k := &Keeper{cfg: cfg, fed: make(chan struct{}), guard: watchdog.NewGuard(watchdog.Rule{Disks: len(cfg.Disks),
		Patience: patience + time.Second, Cluster: cfg.Cluster, Stale: max(time.Second, cfg.Timeout/2)}, time.Now())}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	for i, d := range cfg.Disks {
		k.disks.Go(func() { k.watch(i, d) })
	}
	go k.feed()
	return k, nil
}

// Timeout is after what time without food the machine is reset.
func (k *Keeper) Timeout() time.Duration { return k.cfg.Timeout }

// Told is the word of the cluster's daemon; it has to come several times within
// the watchdog's timeout.
func (k *Keeper) Told(quorate, healthy bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.guard.Told(time.Now(), quorate, healthy)
}

// Stop disarms the watchdog: the node has left in order and runs nothing.
func (k *Keeper) Stop() error {
	k.mu.Lock()
	was := k.stopped
	k.stopped = true
	k.mu.Unlock()
	if was {
		return nil
	}
	k.cancel()
	<-k.fed
	if k.cfg.Watchdog == nil {
		return nil
	}
	return k.cfg.Watchdog.Disarm()
}

// feed runs on a thread of its own, and does nothing that could wait.
func (k *Keeper) feed() {
	runtime.LockOSThread()
	defer close(k.fed)
	t := time.NewTicker(min(k.cfg.Timeout/5, time.Second))
	defer t.Stop()
	for {
		now := time.Now()
		k.mu.Lock()
		ok, why := k.guard.Feed(now)
		switch {
		case ok:
			k.hungry = time.Time{}
		case k.hungry.IsZero():
			k.hungry = now
		}
		since, over := k.hungry, k.reset
		k.mu.Unlock()
		switch {
		case over:
		case ok && k.cfg.Watchdog != nil:
			if err := k.cfg.Watchdog.Feed(); err != nil {
				go k.cfg.Log.Error("the watchdog could not be fed", "err", err)
			}
		case !ok && since.Equal(now):
			go k.cfg.Log.Error("the watchdog is not fed any more: this machine is about to be reset", "why", why, "in", k.cfg.Timeout)
		case !ok && now.Sub(since) >= k.cfg.Timeout:
			// The timer of the hardware, if there is one, is over by now too.
			k.kill(sbd.Reset, why)
		}
		select {
		case <-t.C:
		case <-k.ctx.Done():
			return
		}
	}
}

// Reset ends this machine now. Should that not succeed, the watchdog does, which
// is not fed any more.
func (k *Keeper) Reset(why string) { k.kill(sbd.Reset, why) }

func (k *Keeper) kill(how sbd.Command, why string) {
	k.mu.Lock()
	over := k.reset || k.stopped
	k.reset = true
	k.mu.Unlock()
	if !over {
		k.cfg.Reset(how, why)
	}
}

// watch reads the mailbox on one disk. A disk that hangs holds up only itself.
func (k *Keeper) watch(i int, disk string) {
	for k.ctx.Err() == nil {
		s, err := k.cfg.Open(k.ctx, disk)
		if err != nil {
			k.cfg.Log.Error("the disk cannot be used", "disk", disk, "err", err)
			fencing.Sleep(k.ctx, time.Second)
			continue
		}
		err = k.read(i, disk, s)
		s.Close()
		if err != nil && k.ctx.Err() == nil {
			k.cfg.Log.Error("the mailbox could not be read", "disk", disk, "err", err)
			fencing.Sleep(k.ctx, time.Second)
		}
	}
}

func (k *Keeper) read(i int, disk string, s Station) error {
	for k.ctx.Err() == nil {
		c, err := s.Look()
		if err != nil {
			return err
		}
		switch c {
		case sbd.Reset, sbd.Off, sbd.CrashDump:
			k.kill(c, "a message on "+disk)
			return errors.New("this node was told to die")
		case sbd.Exit:
			k.cfg.Log.Warn("a message asks for the end of the daemon", "disk", disk)
			k.cfg.Exit()
		case sbd.Test:
			k.cfg.Log.Info("a test message has arrived", "disk", disk)
		}
		k.mu.Lock()
		k.guard.Answered(i, time.Now())
		k.mu.Unlock()
		fencing.Sleep(k.ctx, s.Every())
	}
	return nil
}

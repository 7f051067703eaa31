package admin

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestAsLongAs: a context ends with what it depends on, at once or at a change, and not at others.
func TestAsLongAs(t *testing.T) {
	var holds atomic.Bool
	var next atomic.Value
	next.Store(make(chan struct{}))
	changed := func() <-chan struct{} { return next.Load().(chan struct{}) }
	change := func() { close(next.Swap(make(chan struct{})).(chan struct{})) }

	ctx, cancel := asLongAs(t.Context(), holds.Load, changed)
	if ctx.Err() == nil {
		t.Error("it goes on without what it depends on")
	}
	cancel()

	holds.Store(true)
	ctx, cancel = asLongAs(t.Context(), holds.Load, changed)
	defer cancel()
	for range 3 {
		change()
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("it ends with any change")
	}
	holds.Store(false)
	change()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}

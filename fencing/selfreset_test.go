package fencing

import (
	"log/slog"
	"testing"
)

// A node resets itself for its watchdog's sake alone, and for nobody else.
func TestOrderToResetItself(t *testing.T) {
	resets := 0
	for _, c := range []struct {
		x     Execute
		reset func(string)
		want  int
	}{
		{Execute{Device: WatchdogDevice, Action: Off, Target: "A"}, func(string) { resets++ }, 1},
		{Execute{Device: WatchdogDevice, Action: Off, Target: "b"}, func(string) { resets++ }, 0},
		{Execute{Device: WatchdogDevice, Action: On, Target: "a"}, func(string) { resets++ }, 0},
		{Execute{Device: WatchdogDevice, Action: Off, Target: "a"}, nil, 0},
	} {
		resets = 0
		r := NewRunner(RunnerConfig{Self: "a", Reset: c.reset, Log: slog.New(slog.DiscardHandler)})
		o := r.Execute(t.Context(), c.x)
		if resets != c.want || (o.Code == Succeeded) != (c.want > 0) {
			t.Errorf("%+v: %d resets, %+v", c.x, resets, o)
		}
		r.Close()
	}
}

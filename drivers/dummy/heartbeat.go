package dummy

import (
	"context"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Heartbeat is ocf:heartbeat:Dummy.
func Heartbeat() *native.Agent {
	start := func(_ context.Context, c *native.Call) drivers.Result {
		if _, there, err := readState(c); err != nil || there {
			return native.Failed(err)
		}
		return writeState(c, "started")
	}
	stop := func(_ context.Context, c *native.Call) drivers.Result { return removeState(c) }
	const s = time.Second
	return &native.Agent{
		Table: meta.Agent{
			Name: "Dummy", Version: "1.0", API: "1.0", Short: "Resource that runs nothing",
			Long: "A resource that consists of a state file only, for trying out a cluster.",
			Params: []meta.Param{
				stateParam("/run/resource-agents/Dummy-x.state", false),
				{Name: "fake", Type: meta.String, Default: "dummy", Short: "Means nothing; change it to cause a reload"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 20 * s}, {Name: "stop", Timeout: 20 * s},
				{Name: "monitor", Timeout: 20 * s, Interval: 10 * s},
				{Name: "reload", Timeout: 20 * s}, {Name: "migrate_to", Timeout: 20 * s}, {Name: "migrate_from", Timeout: 20 * s},
				{Name: "meta-data", Timeout: 5 * s}, {Name: "validate-all", Timeout: 20 * s},
			},
		},
		Check: checkState,
		Actions: map[string]native.Action{
			drivers.Start:       start,
			drivers.Stop:        stop,
			drivers.Monitor:     func(_ context.Context, c *native.Call) drivers.Result { return monitor(c) },
			drivers.Reload:      func(_ context.Context, c *native.Call) drivers.Result { return monitor(c) },
			drivers.MigrateTo:   stop,
			drivers.MigrateFrom: start,
		},
	}
}

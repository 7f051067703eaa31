package dummy

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/ocf"
)

// Pacemaker is ocf:pacemaker:Dummy, which can be told to be slow and to fail.
func Pacemaker() *native.Agent {
	const s = time.Second
	a := &native.Agent{
		Table: meta.Agent{
			Name: "Dummy", Version: "2.1", API: "1.1", Short: "Resource that runs nothing, slow or failing on demand",
			Long: "A resource that consists of a state file only. It can be made slow and made to fail on chosen nodes, for testing a cluster.",
			Params: []meta.Param{
				stateParam("/var/run/Dummy-RESOURCE_ID.state", true),
				{Name: "passwd", Type: meta.String, Reloadable: true, Short: "Means nothing; stands for a secret value"},
				{Name: "fake", Type: meta.String, Default: "dummy", Reloadable: true, Short: "Means nothing; change it to cause a reload"},
				{Name: "op_sleep", Type: meta.String, Default: "0", Reloadable: true, Short: "Seconds that every action takes"},
				{Name: "fail_start_on", Type: meta.String, Reloadable: true, Short: "Nodes on which start fails, separated by blanks"},
				envfileParam(),
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 20 * s}, {Name: "stop", Timeout: 20 * s},
				{Name: "monitor", Timeout: 20 * s, Interval: 10 * s},
				{Name: "reload", Timeout: 20 * s}, {Name: "reload-agent", Timeout: 20 * s},
				{Name: "migrate_to", Timeout: 20 * s}, {Name: "migrate_from", Timeout: 20 * s},
				{Name: "validate-all", Timeout: 20 * s}, {Name: "meta-data", Timeout: 5 * s},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			if _, err := meta.ParseTime(c.Params.String("op_sleep")); err != nil {
				return native.Fail(drivers.BadArgs, "parameter op_sleep: %v", err)
			}
			return checkState(c)
		},
	}
	start := func(_ context.Context, c *native.Call) drivers.Result {
		if _, there, err := readState(c); err != nil || there {
			return native.Failed(err)
		}
		if slices.Contains(strings.FieldsFunc(c.Params.String("fail_start_on"), listSeparator), c.Node.Name) {
			return native.Fail(drivers.GenericError, "start on %s fails because parameter fail_start_on names it", c.Node.Name)
		}
		return writeState(c, "started")
	}
	stop := func(_ context.Context, c *native.Call) drivers.Result { return removeState(c) }
	look := func(_ context.Context, c *native.Call) drivers.Result { return monitor(c) }
	a.Actions = map[string]native.Action{
		drivers.Start: slow(start), drivers.Stop: slow(stop), drivers.Monitor: slow(look),
		drivers.Reload: slow(look), drivers.ReloadAgent: slow(look),
		drivers.MigrateTo: slow(stop), drivers.MigrateFrom: slow(start),
	}
	return a
}

func listSeparator(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' }

// slow adds what every action of the test agents does first.
func slow(action native.Action) native.Action {
	return func(ctx context.Context, c *native.Call) drivers.Result {
		if err := dumpEnvironment(c); err != nil {
			return native.Failed(err)
		}
		if d := c.Params.Duration("op_sleep"); d > 0 && !c.Dry() {
			c.Waiting("the %v of parameter op_sleep", d)
			if err := native.Sleep(ctx, d); err != nil {
				return native.Failed(err)
			}
		}
		return action(ctx, c)
	}
}

func envfileParam() meta.Param {
	return meta.Param{Name: "envfile", Type: meta.String, Reloadable: true, Short: "File to which every action appends its environment",
		Long: "If set, every action appends to this file the environment that a script of the same name would be given."}
}

func dumpEnvironment(c *native.Call) error {
	path := c.Params.String("envfile")
	if path == "" {
		return nil
	}
	lines := ocf.Environment(ocf.DefaultRoot, c.Request, os.Environ())
	return c.Do("append environment to "+path, func() error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("### " + c.Action + " " + c.Resource + "\n" + strings.Join(lines, "\n") + "\n")
		return err
	})
}

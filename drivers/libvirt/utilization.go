package libvirt

import (
	"context"
	"fmt"
	"strconv"

	"gcrm/drivers"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/native"
)

// UtilizationSetter is what the node's daemon may offer besides
// drivers.Cluster: to set, or with nil remove, a utilization attribute of a
// resource.
type UtilizationSetter interface {
	SetUtilization(ctx context.Context, resource, name string, value *string) error
}

// recordUtilization tells the cluster what the domain was given. The domain
// runs whatever comes of it, so what cannot be told is only noted.
func recordUtilization(ctx context.Context, c *native.Call, conn *rpc.Conn, dom rpc.Domain) drivers.Result {
	names := []string{"cpu", "host_memory", "hv_memory"}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = c.Params.Bool("autoset_utilization_"+n) || c.Params.Bool("unset_utilization_"+n)
	}
	if c.Dry() || !wanted["cpu"] && !wanted["host_memory"] && !wanted["hv_memory"] {
		return native.OK()
	}
	res := native.OK()
	setter, ok := c.Node.Cluster.(UtilizationSetter)
	if !ok {
		res.Output = "utilization is not recorded: the cluster takes none from agents\n"
		return res
	}
	info, err := conn.Info(ctx, dom)
	if err != nil {
		res.Output = fmt.Sprintf("utilization is not recorded: %v\n", err)
		return res
	}
	memory := strconv.FormatUint(info.MaxMemory/1024, 10) // MiB
	values := map[string]string{"cpu": strconv.FormatUint(uint64(info.CPUs), 10), "host_memory": memory, "hv_memory": memory}
	for _, n := range names {
		if !wanted[n] {
			continue
		}
		var value *string
		what := "remove utilization " + n
		if c.Params.Bool("autoset_utilization_" + n) {
			v := values[n]
			value, what = &v, "set utilization "+n+"="+v
		}
		if err := c.Do(what, func() error { return setter.SetUtilization(ctx, c.Resource, n, value) }); err != nil {
			res.Output += err.Error() + "\n"
		}
	}
	return res
}

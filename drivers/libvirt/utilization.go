package libvirt

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

// share says what of a domain is recorded as utilization of its resource:
// by name, true to set and false to remove.
type share map[string]bool

// shareOf reads the agent's parameters for the named attributes.
func shareOf(c *native.Call, set, unset []string) share {
	s := share{}
	for _, n := range unset {
		if c.Params.Bool("unset_utilization_" + n) {
			s[n] = false
		}
	}
	for _, n := range set {
		if c.Params.Bool("autoset_utilization_" + n) {
			s[n] = true
		}
	}
	return s
}

// recordUtilization tells the cluster what the domain was given. The domain
// runs whatever comes of it, so what cannot be told is only noted.
func recordUtilization(ctx context.Context, c *native.Call, conn *rpc.Conn, dom rpc.Domain, wanted share) drivers.Result {
	if c.Dry() || len(wanted) == 0 {
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
	for _, n := range slices.Sorted(maps.Keys(wanted)) {
		var value *string
		what := "remove utilization " + n
		if wanted[n] {
			v := values[n]
			value, what = &v, "set utilization "+n+"="+v
		}
		if err := c.Do(what, func() error { return setter.SetUtilization(ctx, c.Resource, n, value) }); err != nil {
			res.Output += err.Error() + "\n"
		}
	}
	return res
}

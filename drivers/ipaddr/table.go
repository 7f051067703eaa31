// Package ipaddr has the agents that move IP addresses: ocf:heartbeat:IPaddr2
// and ocf:heartbeat:IPaddr. They speak netlink and send their own gratuitous
// ARP and unsolicited neighbour advertisements; no program is needed.
package ipaddr

import (
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "IPaddr2"}: IPaddr2(),
		{Class: "ocf", Provider: "heartbeat", Type: "IPaddr"}:  IPaddr(),
	}
}

const second = time.Second

// shared are the parameters that both agents have, in their order.
func shared(nic string) []meta.Param {
	return []meta.Param{
		{Name: "ip", Type: meta.String, Required: true, Unique: true, Short: "IP address",
			Long: "The address to bring up, without its prefix length."},
		{Name: "nic", Type: meta.String, Default: nic, Short: "Network interface",
			Long: "The interface to bring the address up on. Left out, it is the one whose connected network has the address in it."},
		{Name: "cidr_netmask", Type: meta.String, Short: "Prefix length or netmask",
			Long: "Prefix length such as 24, or netmask such as 255.255.255.0. Left out, it is that of the connected network."},
		{Name: "netmask", Type: meta.String, Short: "Netmask", ReplacedBy: "cidr_netmask", Hidden: true},
		{Name: "broadcast", Type: meta.String, Short: "Broadcast address",
			Long: "Broadcast address; + and - set all host bits to one or zero. Left out, all are one."},
		{Name: "iflabel", Type: meta.String, Short: "Label of the address",
			Long: "Appended to the interface's name after a colon, for tools that show labels. At most 15 characters altogether, IPv4 only."},
		{Name: "lvs_support", Type: meta.Boolean, Default: "false", Short: "Support LVS direct routing",
			Long: "The address may be on the loopback interface while the resource is stopped: start takes it away there, stop puts it back."},
	}
}

// IPaddr2 is ocf:heartbeat:IPaddr2.
func IPaddr2() *native.Agent {
	return agent(settings2, meta.Agent{
		Name: "IPaddr2", Version: "1.0", API: "1.0", Short: "IPv4 or IPv6 address that moves with the resource",
		Long: "Adds an address to an interface and tells the neighbours about it. As a globally unique clone it can bring up a row of addresses.",
		Params: append(shared(""),
			meta.Param{Name: "lvs_ipv6_addrlabel", Type: meta.Boolean, Default: "false", Short: "Give the IPv6 address a label of its own",
				Long: "Gives the address a label, so that the host does not choose it as the source of its own connections."},
			meta.Param{Name: "lvs_ipv6_addrlabel_value", Type: meta.Integer, Default: "99", Short: "Value of that label"},
			meta.Param{Name: "mac", Type: meta.String, Short: "Hardware address of a cluster IP (not supported)",
				Long: "Hardware multicast address of an address that several nodes serve at once. The built-in agent refuses it."},
			meta.Param{Name: "clusterip_hash", Type: meta.String, Default: "sourceip-sourceport", Short: "Hash function of a cluster IP (not supported)",
				Long: "How an address that several nodes serve at once is shared. The built-in agent refuses to start such a clone, so there is nothing to set."},
			meta.Param{Name: "unique_clone_address", Type: meta.Boolean, Default: "false", Short: "Every clone instance has its own address",
				Long: "The instance's number is added to the last octet. Needs a globally unique clone."},
			meta.Param{Name: "arp_interval", Type: meta.Integer, Default: "200", Short: "Milliseconds between announcements"},
			meta.Param{Name: "arp_count", Type: meta.Integer, Default: "5", Short: "How often a new address is announced",
				Long: "How many gratuitous ARP packets or neighbour advertisements are sent for a new address; 0 for none."},
			meta.Param{Name: "arp_count_refresh", Type: meta.Integer, Default: "0", Short: "How often monitor announces the address again"},
			meta.Param{Name: "arp_bg", Type: meta.String, Short: "Announce in the background",
				Long: "Whether start ends after the first announcement. By default it does for IPv4."},
			meta.Param{Name: "arp_sender", Type: meta.String, Short: "Program that announces",
				Long: "Chooses a program in the script of this name. The built-in agent sends itself; it takes send_arp and arping as that and refuses others."},
			meta.Param{Name: "send_arp_opts", Type: meta.String, Short: "Options of that program (not supported)"},
			meta.Param{Name: "flush_routes", Type: meta.Boolean, Default: "false", Short: "Flush the kernel's route cache on stop"},
			meta.Param{Name: "run_arping", Type: meta.String, Default: "false", Short: "Look for another owner of the IPv4 address first",
				Long: "Asks the network for the address before it is added, and fails if another host answers. Takes three seconds."},
			meta.Param{Name: "nodad", Type: meta.String, Default: "false", Short: "Add the IPv6 address without duplicate detection"},
			meta.Param{Name: "noprefixroute", Type: meta.String, Default: "false", Short: "Add no route for the address's network"},
			meta.Param{Name: "preferred_lft", Type: meta.String, Default: "forever", Short: "Preferred lifetime of the IPv6 address in seconds",
				Long: "With 0 the host never chooses the address as the source of its own connections."},
			meta.Param{Name: "network_namespace", Type: meta.String, Short: "Network namespace to work in",
				Long: "Name of a namespace as ip netns knows it."},
		),
		Actions: []meta.Action{
			{Name: "start", Timeout: 20 * second}, {Name: "stop", Timeout: 20 * second},
			{Name: "status", Timeout: 20 * second, Interval: 10 * second},
			{Name: "monitor", Timeout: 20 * second, Interval: 10 * second},
			{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 20 * second},
		},
	})
}

// IPaddr is ocf:heartbeat:IPaddr.
func IPaddr() *native.Agent {
	return agent(settings1, meta.Agent{
		Name: "IPaddr", Version: "1.0", API: "1.0", Short: "IPv4 address that moves with the resource",
		Long: "Adds an address to an interface under a label such as eth0:0 and tells the neighbours about it. IPaddr2 can do more.",
		Params: append(shared("eth0"),
			meta.Param{Name: "local_stop_script", Type: meta.String, Short: "Program run before the address is removed"},
			meta.Param{Name: "local_start_script", Type: meta.String, Short: "Program run after the address was added"},
			meta.Param{Name: "ARP_INTERVAL_MS", Type: meta.Integer, Default: "500", Short: "Milliseconds between announcements"},
			meta.Param{Name: "ARP_REPEAT", Type: meta.Integer, Default: "10", Short: "How often a new address is announced"},
			meta.Param{Name: "ARP_BACKGROUND", Type: meta.Boolean, Default: "yes", Short: "Announce in the background"},
			meta.Param{Name: "ARP_NETMASK", Type: meta.String, Default: "ffffffffffff", Short: "Target hardware address in the announcements"},
		),
		Actions: []meta.Action{
			{Name: "start", Timeout: 20 * second}, {Name: "stop", Timeout: 20 * second},
			{Name: "monitor", Timeout: 20 * second, Interval: 5 * second},
			{Name: "validate-all", Timeout: 20 * second}, {Name: "meta-data", Timeout: 5 * second},
		},
	})
}

func agent(read reader, table meta.Agent) *native.Agent {
	return &native.Agent{
		Table: table,
		Check: func(c *native.Call) drivers.Result {
			s, err := read(c)
			if err == nil && s.label != "" && s.ip.Is6() {
				err = misconfigured("iflabel %s: IPv6 addresses have no labels", s.label)
			}
			if err != nil {
				return failure(err)
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start: start(read), drivers.Stop: stop(read),
			drivers.Monitor: monitor(read), "status": monitor(read),
		},
	}
}

package node

import (
	"strings"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

// haveWatchdog keeps the property have-watchdog: it is true when every node that
// runs resources has a watchdog, and false when one of them said that it has
// none. As long as one has said nothing, it stays as it is, so that a new leader
// does not take back what the one before knew.
func haveWatchdog(v view) (consensus.Command, string, bool) {
	value := "true"
	for _, m := range roster(v) {
		if m.Witness || m.State != consensus.Online {
			continue
		}
		timeout, told := v.armed[strings.ToLower(m.Name)]
		switch {
		case !told:
			return consensus.Command{}, "", false
		case timeout == 0:
			value = "false"
		}
	}
	doc := v.state.CIB
	if now, ok := doc.Property("have-watchdog"); !ok || now == value {
		return consensus.Command{}, "", false
	}
	next := doc.Clone()
	if _, err := next.SetPair(next.Configuration().Ensure("crm_config"), cib.PairSet{Element: "cluster_property_set", ID: cib.DefaultPropertySet}, "have-watchdog", &value); err != nil {
		return consensus.Command{}, "", false // the id of the set is somebody else's
	}
	return consensus.Command{Change: &cib.Change{Origin: origin(v), Configuration: &cib.ConfigurationChange{
		Base: doc.Version(), XML: next.Configuration().String()}}}, "have-watchdog is " + value + " now", true
}

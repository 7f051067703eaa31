package drivers

// Environment variables by which the helper commands of agents (crm_master
// and friends) find the daemon of their node.
const (
	EnvSocket  = "GCRM_SOCKET"  // path of the API socket
	EnvNode    = "GCRM_NODE"    // name of the node
	EnvNodeID  = "GCRM_NODE_ID" // id of the node
	EnvCluster = "GCRM_CLUSTER" // name of the cluster
)

// FeatureSet is the CIB feature set agents are told of (crm_feature_set);
// scripts choose the spelling of roles and helper commands by it.
const FeatureSet = "3.16.2"

// HelperCommands are the names under which the program answers to agents; a
// node's HelperDir has one entry for each.
func HelperCommands() []string {
	return []string{"crm_master", "crm_attribute", "crm_node", "crm_resource", "attrd_updater", "crm_mon", "cibadmin", "stonith_admin", "pacemakerd"}
}

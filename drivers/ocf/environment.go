package ocf

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gcrm/drivers"
)

// Environment is the complete environment of a script. Of the daemon's own
// only what agents are defined to read passes through (inherited has
// "NAME=value" lines).
func Environment(root string, req drivers.Request, inherited []string) []string {
	env := map[string]string{}
	for _, line := range inherited {
		name, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "HA_") || strings.HasPrefix(name, "PCMK_") || name == "TZ" || name == "HOME" {
			env[name] = value
		}
	}
	if env["HOME"] == "" {
		env["HOME"] = "/root"
	}
	env["LC_ALL"] = "C"
	env["SHELL"] = "/bin/sh"
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if dir := req.Node.HelperDir; dir != "" {
		path = dir + ":" + path
		env["HA_SBIN_DIR"] = dir // some agents call crm_master by this path
	}
	env["PATH"] = path
	if dir := req.Node.StateDir; dir != "" {
		env["HA_RSCTMP"] = filepath.Join(dir, "resource-agents")
	}

	env["OCF_RA_VERSION_MAJOR"], env["OCF_RA_VERSION_MINOR"] = "1", "1"
	env["OCF_ROOT"] = root
	env["OCF_RESOURCE_INSTANCE"] = req.Resource
	env["OCF_RESOURCE_TYPE"] = req.Agent.Type
	if req.Agent.Provider != "" {
		env["OCF_RESOURCE_PROVIDER"] = req.Agent.Provider
	}
	env["OCF_EXIT_REASON_PREFIX"] = reasonPrefix

	setNotEmpty := func(name, value string) {
		if value != "" {
			env[name] = value
		}
	}
	setNotEmpty(drivers.EnvSocket, req.Node.Socket)
	setNotEmpty(drivers.EnvNode, req.Node.Name)
	setNotEmpty(drivers.EnvNodeID, req.Node.ID)
	setNotEmpty(drivers.EnvCluster, req.Node.ClusterName)

	const meta = "OCF_RESKEY_CRM_meta_"
	setNotEmpty(meta+"on_node", req.Node.Name)
	setNotEmpty(meta+"on_node_uuid", req.Node.ID)
	if req.Timeout > 0 {
		env[meta+"timeout"] = strconv.FormatInt(req.Timeout.Milliseconds(), 10)
	}
	if req.Action == drivers.Monitor || req.Interval > 0 {
		env[meta+"interval"] = strconv.FormatInt(req.Interval.Milliseconds(), 10)
	}
	env["OCF_RESKEY_crm_feature_set"] = drivers.FeatureSet

	// What the cluster says overrides the derived values above.
	for name, value := range req.Meta {
		if name == "OCF_CHECK_LEVEL" {
			env[name] = value
			continue
		}
		env[meta+strings.ReplaceAll(name, "-", "_")] = value
	}
	// An empty parameter is exported empty: agents tell it from an absent one.
	for name, value := range req.Params {
		if name == "OCF_CHECK_LEVEL" {
			env[name] = value
			continue
		}
		env["OCF_RESKEY_"+name] = value
	}

	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.ContainsAny(name, "=\x00") || strings.Contains(env[name], "\x00") {
			continue // cannot be in an environment
		}
		out = append(out, name+"="+env[name])
	}
	return out
}

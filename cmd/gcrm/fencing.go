package main

import (
	"os"
	"path/filepath"
	"time"

	"gcrm/cib"
	"gcrm/fencing"
	"gcrm/fencing/native"
	"gcrm/scheduler"
)

// envFenceAgents lists the folders of fence agents, with colons between them,
// instead of the usual ones.
const envFenceAgents = "GCRM_FENCE_AGENTS"

// fenceMethods are the native methods and the fence agents of this host.
func fenceMethods() *fencing.Registry {
	return native.Registry(filepath.SplitList(os.Getenv(envFenceAgents))...)
}

// verifyFencing is the shell's check of fencing.
func verifyFencing(doc *cib.CIB, agents cib.MetadataSource) []cib.Problem {
	s := fencing.Sources{Agents: agents, Proves: fenceMethods().Proves}
	if bans, err := scheduler.LocationBans(doc, scheduler.Options{Now: time.Now()}); err == nil {
		s.Allowed = func(device, node string) bool { return !bans.Banned(device, node) }
	}
	return fencing.Verify(doc, s)
}

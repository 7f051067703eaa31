package main

import (
	"os"
	"path/filepath"

	"gcrm/cib"
	"gcrm/fencing"
	"gcrm/fencing/native"
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
	return fencing.Verify(doc, fencing.Sources{Agents: agents, Proves: fenceMethods().Proves})
}

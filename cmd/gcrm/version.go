package main

import (
	"runtime/debug"
	"strconv"
)

// version and level are set by the linker (-X main.version=1.2 -X main.level=1):
// the name of a release, and a feature level that the build is held to, for
// tests of upgrades. Nothing changes them later.
var version, level string

// heldLevel is the feature level that the build is held to, 0 for all it knows.
func heldLevel() int {
	n, err := strconv.Atoi(level)
	if err != nil {
		return 0
	}
	return n
}

// versionText names the version that was built: a tag, or the revision.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+"
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	if len(revision) > 12 {
		revision = revision[:12]
	}
	if revision != "" {
		v += " " + revision + modified
	}
	return v + " " + info.GoVersion
}

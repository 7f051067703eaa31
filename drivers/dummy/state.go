// Package dummy has the agents that run nothing: a state file is the whole
// resource. They serve for trying out a cluster and for its tests.
package dummy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "Dummy"}:    Heartbeat(),
		{Class: "ocf", Provider: "pacemaker", Type: "Dummy"}:    Pacemaker(),
		{Class: "ocf", Provider: "heartbeat", Type: "Stateful"}: HeartbeatStateful(),
		{Class: "ocf", Provider: "pacemaker", Type: "Stateful"}: PacemakerStateful(),
	}
}

// stateFile is the file whose presence is the resource: the parameter, or a
// file of the node's own, so that nodes on one host do not share it.
func stateFile(c *native.Call) (string, error) {
	if s := c.Params.String("state"); c.Params.Set("state") && s != "" {
		return s, nil
	}
	return c.StateFile(c.Agent.Type + "-" + c.Instance() + ".state")
}

// readState returns the content; absent is not an error.
func readState(c *native.Call) (content string, there bool, err error) {
	path, err := stateFile(c)
	if err != nil {
		return "", false, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("state file: %w", err)
	}
	return strings.TrimSpace(string(raw)), true, nil
}

func writeState(c *native.Call, content string) drivers.Result {
	path, err := stateFile(c)
	if err == nil {
		err = c.WriteState(path, content+"\n")
	}
	return native.Failed(err)
}

func removeState(c *native.Call) drivers.Result {
	path, err := stateFile(c)
	if err == nil {
		err = c.Remove(path)
	}
	return native.Failed(err)
}

// checkState refuses a state file that could not be written.
func checkState(c *native.Call) drivers.Result {
	path, err := stateFile(c)
	if err != nil {
		return native.Failed(err)
	}
	dir := filepath.Dir(path)
	st, err := os.Stat(dir)
	if err != nil || !st.IsDir() {
		return native.Fail(drivers.BadArgs, "parameter state: %s is no folder, so the state file cannot be written", dir)
	}
	return native.OK()
}

func monitor(c *native.Call) drivers.Result {
	_, there, err := readState(c)
	switch {
	case err != nil:
		return native.Failed(err)
	case !there:
		return native.NotRunning()
	}
	return native.OK()
}

func stateParam(def string, group bool) meta.Param {
	p := meta.Param{Name: "state", Type: meta.String, Default: def, Short: "State file",
		Long: "The file whose presence means that the resource is started. Left out, every node has one of its own."}
	if group {
		p.UniqueGroup = "state"
	} else {
		p.Unique = true
	}
	return p
}

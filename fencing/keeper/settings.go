package keeper

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Settings say how a host watches over itself; they have the names of sbd's
// configuration file, which may be used as it is.
type Settings struct {
	Devices  []string      // SBD_DEVICE
	Watchdog string        // SBD_WATCHDOG_DEV; empty for none
	Timeout  time.Duration // SBD_WATCHDOG_TIMEOUT
	Clean    bool          // SBD_STARTMODE=clean: a node that was fenced does not start by itself
}

// DefaultWatchdog is the device of a host's first watchdog.
const DefaultWatchdog = "/dev/watchdog"

// ParseSettings reads lines NAME=VALUE as a shell would that finds no variables
// in them.
func ParseSettings(text string) (Settings, error) {
	s := Settings{Watchdog: DefaultWatchdog, Timeout: 5 * time.Second}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			return s, fmt.Errorf("line %d: %q is not NAME=VALUE", n, line)
		}
		if q := strings.TrimSpace(value); len(q) > 1 && (q[0] == '"' || q[0] == '\'') {
			end := strings.IndexByte(q[1:], q[0])
			if end < 0 {
				return s, fmt.Errorf("line %d: the quotes are not closed", n)
			}
			value = q[1 : 1+end]
		} else if i := strings.Index(value, " #"); i >= 0 {
			value = value[:i]
		}
		value = strings.TrimSpace(value)
		switch name {
		case "SBD_DEVICE":
			s.Devices = Disks(value)
		case "SBD_WATCHDOG_DEV":
			s.Watchdog = value
		case "SBD_WATCHDOG_TIMEOUT":
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds < 1 {
				return s, fmt.Errorf("line %d: SBD_WATCHDOG_TIMEOUT=%s is no number of seconds", n, value)
			}
			s.Timeout = time.Duration(seconds) * time.Second
		case "SBD_STARTMODE":
			s.Clean = value == "clean"
		}
	}
	return s, nil
}

// Disks splits a list of disks.
func Disks(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}

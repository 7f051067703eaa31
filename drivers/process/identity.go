package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Identity names one process of this boot: a pid alone may come to mean
// another process, a pid with its start time does not.
type Identity struct {
	Pid   int
	Start uint64 // clock ticks after boot, field 22 of /proc/PID/stat
}

// String writes the identity so that ParseIdentity reads it: "PID START".
func (id Identity) String() string { return fmt.Sprintf("%d %d", id.Pid, id.Start) }

// ParseIdentity reads "PID START"; a bare "PID", as other programs write pid
// files, gives Start 0.
func ParseIdentity(s string) (Identity, error) {
	words := strings.Fields(s)
	if len(words) == 0 || len(words) > 2 {
		return Identity{}, fmt.Errorf("%q is not a process identity", s)
	}
	pid, err := strconv.Atoi(words[0])
	if err != nil || pid <= 0 {
		return Identity{}, fmt.Errorf("%q is not a process id", words[0])
	}
	id := Identity{Pid: pid}
	if len(words) == 2 {
		if id.Start, err = strconv.ParseUint(words[1], 10, 64); err != nil {
			return Identity{}, fmt.Errorf("%q is not a start time", words[1])
		}
	}
	return id, nil
}

// Stat is what /proc tells of a process.
type Stat struct {
	Identity
	Name    string // of the program, at most 15 bytes
	State   byte   // R, S, D, Z, ...
	Parent  int
	Group   int
	Session int
}

// Look reads the state of a process; fs.ErrNotExist if there is none.
func Look(pid int) (Stat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, syscall.ESRCH) {
		return Stat{}, os.ErrNotExist
	}
	if err != nil {
		return Stat{}, err
	}
	return parseStat(pid, raw)
}

func parseStat(pid int, raw []byte) (Stat, error) {
	bad := fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	// The name is in parentheses and may itself contain any byte.
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if open < 0 || end < open {
		return Stat{}, bad
	}
	f := strings.Fields(string(raw[end+1:]))
	if len(f) < 20 {
		return Stat{}, bad
	}
	s := Stat{Identity: Identity{Pid: pid}, Name: string(raw[open+1 : end]), State: f[0][0]}
	var errs [4]error
	s.Parent, errs[0] = strconv.Atoi(f[1])
	s.Group, errs[1] = strconv.Atoi(f[2])
	s.Session, errs[2] = strconv.Atoi(f[3])
	s.Start, errs[3] = strconv.ParseUint(f[19], 10, 64)
	if errors.Join(errs[:]...) != nil {
		return Stat{}, bad
	}
	return s, nil
}

// Alive tells whether that very process is there and not a zombie. An
// identity without start time matches any process with the pid.
func (id Identity) Alive() bool {
	s, err := Look(id.Pid)
	return err == nil && s.State != 'Z' && s.State != 'X' && (id.Start == 0 || id.Start == s.Start)
}

// Signal sends a signal to that very process; os.ErrProcessDone if it is gone.
func (id Identity) Signal(sig syscall.Signal) error {
	// The handle pins the process between the check and the signal.
	p, err := os.FindProcess(id.Pid)
	if err != nil {
		return os.ErrProcessDone
	}
	defer p.Release()
	if !id.Alive() {
		return os.ErrProcessDone
	}
	return p.Signal(sig)
}

// All lists the processes of the host.
func All() ([]Stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []Stat
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if s, err := Look(pid); err == nil {
			out = append(out, s)
		}
	}
	return out, nil
}

// Session lists the live processes of a session.
func Session(sid int) []Identity {
	all, _ := All()
	var out []Identity
	for _, s := range all {
		if s.Session == sid && s.State != 'Z' {
			out = append(out, s.Identity)
		}
	}
	return out
}

// descendants lists all processes below one, whatever group they are in.
func descendants(all []Stat, root int) []Stat {
	below := map[int]bool{root: true}
	var out []Stat
	for grown := true; grown; {
		grown = false
		for _, s := range all {
			if below[s.Parent] && !below[s.Pid] {
				below[s.Pid] = true
				out = append(out, s)
				grown = true
			}
		}
	}
	return out
}

// killGroup ends a process group and every descendant of its leader that went
// into another group. All are stopped before any is killed, so that none can
// fork away while the list is made.
func killGroup(leader int) {
	_ = syscall.Kill(-leader, syscall.SIGSTOP)
	var outside []Identity
	for range 10 {
		all, err := All()
		if err != nil {
			break
		}
		fresh := false
		for _, s := range descendants(all, leader) {
			if s.Group != leader && !slices.Contains(outside, s.Identity) {
				outside = append(outside, s.Identity)
				_ = s.Identity.Signal(syscall.SIGSTOP)
				fresh = true
			}
		}
		if !fresh {
			break
		}
	}
	for _, id := range outside {
		_ = id.Signal(syscall.SIGKILL)
	}
	_ = syscall.Kill(-leader, syscall.SIGKILL)
	// The leader is reaped by its waiter; the rest of the group may be the
	// children of others, so wait until none of them runs any more.
	deadline := time.Now().Add(Grace)
	for time.Now().Before(deadline) {
		if !groupRuns(leader) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func groupRuns(group int) bool {
	all, err := All()
	if err != nil {
		return false
	}
	for _, s := range all {
		if s.Group == group && s.State != 'Z' && s.State != 'X' {
			return true
		}
	}
	return false
}

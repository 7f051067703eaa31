// Package database is what the agents of database servers have in common:
// the owner of a server and its files, the launch and the end of the server,
// and what its log says of a failure.
package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers/native"
	"gcrm/drivers/process"
	"gcrm/durable"
)

// Owner is the user a server runs as.
type Owner struct {
	UID, GID int
	Name     string
	Home     string
	groups   []uint32
}

// LookupOwner finds a user; an empty group is the user's own.
func LookupOwner(name, group string) (Owner, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return Owner{}, err
	}
	gid := u.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return Owner{}, err
		}
		gid = g.Gid
	}
	ids, err := u.GroupIds()
	if err != nil {
		return Owner{}, fmt.Errorf("user %s: %w", name, err)
	}
	o := Owner{Name: u.Username, Home: u.HomeDir}
	var err1, err2 error
	o.UID, err1 = strconv.Atoi(u.Uid)
	o.GID, err2 = strconv.Atoi(gid)
	if err := errors.Join(err1, err2); err != nil {
		return Owner{}, fmt.Errorf("user %s: %w", name, err)
	}
	for _, s := range ids {
		if g, err := strconv.ParseUint(s, 10, 32); err == nil {
			o.groups = append(o.groups, uint32(g))
		}
	}
	return o, nil
}

// Credential runs a program as the owner; nil if the daemon itself does.
func (o Owner) Credential() *syscall.Credential {
	if o.UID == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.GID), Groups: o.groups}
}

// Folder makes a folder that the owner can write to; one that exists stays
// as it is.
func (o Owner) Folder(c *native.Call, dir string, mode fs.FileMode) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	return c.Do(fmt.Sprintf("mkdir -p %s; chown %s %s", dir, o.Name, dir), func() error {
		return errors.Join(os.MkdirAll(dir, mode), os.Chown(dir, o.UID, o.GID))
	})
}

// Touch makes an empty file of the owner's; one that exists stays as it is.
func (o Owner) Touch(c *native.Call, path string, mode fs.FileMode) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.Do("touch "+path, func() error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Chown(path, o.UID, o.GID))
	})
}

// Write gives a small file of the owner's a new content at once and durably;
// one that has the content already is no step.
func (o Owner) Write(c *native.Call, path, content string, mode fs.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	return c.Do("write "+path, func() error {
		return durable.Write(path, []byte(content), mode, func(f *os.File) error { return f.Chown(o.UID, o.GID) })
	})
}

// Running finds a server by the first line of its pid file. A process that
// is another program does not count: the file is then a left-over.
func Running(pidfile string, names ...string) (process.Identity, bool, error) {
	raw, err := os.ReadFile(pidfile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return process.Identity{}, false, nil
	}
	if err != nil {
		return process.Identity{}, false, fmt.Errorf("pid file: %w", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	id, err := process.ParseIdentity(strings.TrimPrefix(line, "-"))
	if err != nil {
		return process.Identity{}, false, nil // not written in full yet
	}
	st, err := process.Look(id.Pid)
	if err != nil || !st.Identity.Alive() || !slices.Contains(names, st.Name) {
		return process.Identity{}, false, nil
	}
	return st.Identity, true, nil
}

// Signal is one step on the way to the end of a server.
type Signal struct {
	Number syscall.Signal
	Wait   time.Duration // how long to wait for its effect
}

// End sends one signal after the other until gone says that the server has
// ended; the error names the last.
func End(ctx context.Context, c *native.Call, id process.Identity, gone func() bool, signals ...Signal) error {
	var last syscall.Signal
	for _, s := range signals {
		if s.Wait <= 0 {
			continue
		}
		last = s.Number
		if err := Send(c, id, s.Number); err != nil {
			return err
		}
		c.Waiting("the server (process %d) to end", id.Pid)
		limit, cancel := context.WithTimeout(ctx, s.Wait)
		err := c.Poll(limit, 20*time.Millisecond, gone)
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("the server (process %d) does not end after signal %d (%v)", id.Pid, int(last), last)
}

// Send sends a signal to a process; one that is gone is no error.
func Send(c *native.Call, id process.Identity, sig syscall.Signal) error {
	if !id.Alive() {
		return nil
	}
	err := c.Do(fmt.Sprintf("kill -%d %d", int(sig), id.Pid), func() error { return id.Signal(sig) })
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// LogTail returns what follows one of the marks in the last lines of a
// server's log, joined; empty if nothing does.
func LogTail(log string, lines int, marks ...string) string {
	raw, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	var found []string
	for _, l := range all[max(0, len(all)-lines):] {
		for _, m := range marks {
			if _, text, ok := strings.Cut(l, m); ok && !strings.Contains(text, "Aborting") {
				found = append(found, strings.TrimSpace(text))
			}
		}
	}
	return strings.Join(found, "; ")
}

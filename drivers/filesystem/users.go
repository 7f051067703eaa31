package filesystem

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gcrm/drivers/process"
)

// user is a process that keeps a file system busy.
type user struct {
	process.Identity
	name string
	how  string // "cwd", "fd 3", ...
}

func (u user) String() string { return fmt.Sprintf("%s (pid %d, %s)", u.name, u.Pid, u.how) }

// search says what counts as use of a mount.
type search struct {
	point string
	// device is set when any file on the mount's device counts, also one
	// opened under another name or in another mount name space. It must not
	// be used for bound folders, whose device is that of a larger tree, nor
	// where looking at a file may hang.
	device       bool
	major, minor uint32
}

// users finds the processes that use the mount; those of the caller's own
// pid are left out, as the daemon must not be taken down by a stop.
func users(s search) []user {
	all, err := process.All()
	if err != nil {
		return nil
	}
	self := os.Getpid()
	var out []user
	for _, p := range all {
		if p.Pid == self || p.Pid == 1 {
			continue
		}
		if how := s.usedBy(p.Pid); how != "" {
			out = append(out, user{p.Identity, p.Name, how})
		}
	}
	return out
}

func (s search) usedBy(pid int) string {
	dir := fmt.Sprintf("/proc/%d", pid)
	for _, name := range []string{"cwd", "root", "exe"} {
		if s.leadsHere(filepath.Join(dir, name)) {
			return name
		}
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err == nil {
		for _, fd := range fds {
			if s.leadsHere(filepath.Join(dir, "fd", fd.Name())) {
				return "fd " + fd.Name()
			}
		}
	}
	if s.maps(filepath.Join(dir, "maps")) {
		return "mapped file"
	}
	return ""
}

func (s search) leadsHere(link string) bool {
	to, err := os.Readlink(link)
	if err != nil {
		return false
	}
	if within(strings.TrimSuffix(to, " (deleted)"), s.point) {
		return true
	}
	if !s.device || !strings.HasPrefix(to, "/") {
		return false
	}
	var st unix.Stat_t
	return unix.Stat(link, &st) == nil && unix.Major(st.Dev) == s.major && unix.Minor(st.Dev) == s.minor
}

func (s search) maps(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	device := fmt.Sprintf("%02x:%02x", s.major, s.minor)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 6 {
			continue
		}
		if s.device && w[3] == device || within(w[5], s.point) {
			return true
		}
	}
	return false
}

// otherUse finds what in the kernel keeps a mount busy: loop devices and swap
// on its files.
func otherUse(point string) []string {
	var out []string
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		if raw, err := os.ReadFile(l); err == nil && within(strings.TrimSpace(string(raw)), point) {
			out = append(out, fmt.Sprintf("/dev/%s on file %s", filepath.Base(filepath.Dir(filepath.Dir(l))), strings.TrimSpace(string(raw))))
		}
	}
	if raw, err := os.ReadFile("/proc/swaps"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if w := strings.Fields(line); len(w) > 0 && within(unescape(w[0]), point) {
				out = append(out, "swap on "+unescape(w[0]))
			}
		}
	}
	return out
}

// blockers puts who keeps a mount busy into words.
func blockers(us []user, other []string) string {
	var names []string
	for _, u := range us {
		names = append(names, u.String())
	}
	names = append(names, other...)
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "no process of this host uses it (a mount in another name space or an NFS export may)"
	case len(names) > 8:
		names = append(names[:8], fmt.Sprintf("and %d more", len(names)-8))
	}
	return "it is in use by " + strings.Join(names, ", ")
}

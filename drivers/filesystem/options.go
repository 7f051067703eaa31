package filesystem

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOptions is an option list taken apart for mount(2).
type mountOptions struct {
	flags       uintptr
	data        []string // what the file system itself reads
	bind        bool
	recursive   bool    // of bind
	propagation uintptr // MS_SHARED and so on, with MS_REC; zero for none
	loop        bool
	loopDevice  string // "" to take a free one
	offset      uint64 // of the loop device, bytes
	size        uint64 // of the loop device, bytes; 0 for all
	readOnly    bool
}

type flagOption struct {
	set   uintptr
	clear uintptr
}

// flagOptions are the options that are flags of mount(2).
func flagOptions() map[string]flagOption {
	return map[string]flagOption{
		"defaults": {}, "rw": {clear: unix.MS_RDONLY}, "ro": {set: unix.MS_RDONLY},
		"nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
		"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV},
		"noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
		"sync": {set: unix.MS_SYNCHRONOUS}, "async": {clear: unix.MS_SYNCHRONOUS},
		"dirsync": {set: unix.MS_DIRSYNC}, "remount": {set: unix.MS_REMOUNT},
		"mand": {set: unix.MS_MANDLOCK}, "nomand": {clear: unix.MS_MANDLOCK},
		"noatime": {set: unix.MS_NOATIME}, "atime": {clear: unix.MS_NOATIME},
		"nodiratime": {set: unix.MS_NODIRATIME}, "diratime": {clear: unix.MS_NODIRATIME},
		"relatime": {set: unix.MS_RELATIME}, "norelatime": {clear: unix.MS_RELATIME},
		"strictatime": {set: unix.MS_STRICTATIME}, "nostrictatime": {clear: unix.MS_STRICTATIME},
		"lazytime": {set: unix.MS_LAZYTIME}, "nolazytime": {clear: unix.MS_LAZYTIME},
		"iversion": {set: unix.MS_I_VERSION}, "noiversion": {clear: unix.MS_I_VERSION},
		"silent": {set: unix.MS_SILENT}, "loud": {clear: unix.MS_SILENT},
		"nosymfollow": {set: nosymfollow}, "symfollow": {clear: nosymfollow},
	}
}

const nosymfollow = 0x100

// propagationOptions change how mounts below spread to other name spaces.
func propagationOptions() map[string]uintptr {
	return map[string]uintptr{
		"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
		"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
		"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
		"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
	}
}

// forPrograms tells options that mean something to mount(8), fstab or systemd
// and nothing to the kernel.
func forPrograms(name string) bool {
	switch name {
	case "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail", "comment":
		return true
	}
	return strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-")
}

// parseOptions reads a comma separated list; commas in double quotes do not
// separate (SELinux contexts). A leading "-o" is passed over.
func parseOptions(s string) (mountOptions, error) {
	var o mountOptions
	flags, propagation := flagOptions(), propagationOptions()
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "-o"); ok {
		s = strings.TrimSpace(rest)
	}
	for _, word := range splitOptions(s) {
		name, value, _ := strings.Cut(word, "=")
		if f, ok := flags[word]; ok {
			o.flags = o.flags&^f.clear | f.set
			continue
		}
		if p, ok := propagation[word]; ok {
			o.propagation = p
			continue
		}
		var err error
		switch {
		case word == "bind":
			o.bind = true
		case word == "rbind":
			o.bind, o.recursive = true, true
		case name == "loop":
			o.loop, o.loopDevice = true, value
		case name == "offset" && strings.Contains(s, "loop"):
			o.offset, err = strconv.ParseUint(value, 0, 63)
		case name == "sizelimit" && strings.Contains(s, "loop"):
			o.size, err = strconv.ParseUint(value, 0, 63)
		case forPrograms(name):
		default:
			o.data = append(o.data, word)
		}
		if err != nil {
			return o, fmt.Errorf("mount option %q: %q is not a number of bytes", word, value)
		}
	}
	o.readOnly = o.flags&unix.MS_RDONLY != 0
	return o, nil
}

func splitOptions(s string) []string {
	var out []string
	var word strings.Builder
	quoted := false
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
			word.WriteRune(r)
		case r == ',' && !quoted:
			out = append(out, word.String())
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	out = append(out, word.String())
	var kept []string
	for _, w := range out {
		if w = strings.TrimSpace(w); w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}

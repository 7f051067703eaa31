package filesystem

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// mount is one line of /proc/self/mountinfo.
type mount struct {
	id, parent   int
	major, minor uint32
	root         string // of the mounted tree within its file system
	point        string
	options      string
	fstype       string
	source       string
}

// mounts reads the mount table; later entries lie above earlier ones.
func mounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("mount table: %w", err)
	}
	defer f.Close()
	var out []mount
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mount table: %w", err)
	}
	return out, nil
}

func parseMount(line string) (mount, error) {
	bad := fmt.Errorf("mount table has a line of unknown form: %q", line)
	f := strings.Fields(line)
	dash := -1
	for i, w := range f {
		if w == "-" && i >= 6 {
			dash = i
			break
		}
	}
	if dash < 0 || len(f) < dash+3 {
		return mount{}, bad
	}
	major, minor, ok := strings.Cut(f[2], ":")
	id, err1 := strconv.Atoi(f[0])
	parent, err2 := strconv.Atoi(f[1])
	ma, err3 := strconv.ParseUint(major, 10, 32)
	mi, err4 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return mount{}, bad
	}
	return mount{id: id, parent: parent, major: uint32(ma), minor: uint32(mi), root: unescape(f[3]), point: unescape(f[4]),
		options: f[5], fstype: f[dash+1], source: unescape(f[dash+2])}, nil
}

// unescape undoes the octal escapes of the mount table (\040 for a blank).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// top is the mount that is seen at a mount point, the last one there.
func top(table []mount, point string) (mount, bool) {
	for i := len(table) - 1; i >= 0; i-- {
		if table[i].point == point {
			return table[i], true
		}
	}
	return mount{}, false
}

// below lists the mounts under a mount point, deepest first.
func below(table []mount, point string) []mount {
	var out []mount
	for i := len(table) - 1; i >= 0; i-- {
		if strings.HasPrefix(table[i].point, strings.TrimSuffix(point, "/")+"/") {
			out = append(out, table[i])
		}
	}
	return out
}

// siblings lists where else (a part of) the tree mounted by m is mounted: the
// device stays in use until these are gone too.
func siblings(table []mount, m mount) []mount {
	var out []mount
	for i := len(table) - 1; i >= 0; i-- {
		x := table[i]
		if x.id == m.id || x.point == m.point || x.major != m.major || x.minor != m.minor {
			continue
		}
		if within(x.root, m.root) {
			out = append(out, x)
		}
	}
	return out
}

// within tells whether a path is dir or lies below it.
func within(path, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	return path == dir || strings.HasPrefix(path, dir+"/")
}

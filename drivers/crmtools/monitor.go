package crmtools

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"gcrm/durable"
)

// crmMon is crm_mon as agents and monitoring programs use it: once, in every
// form of output, or again and again into a file. It has no screen of its own.
// --pending asks for what is always shown; --quiet and --verbose change only
// what the command says of itself, and it says nothing.
func (c *command) crmMon(args []string) int {
	f, rest, err := parseFlags(args, []option{
		{"one-shot", "1", noArgument}, {"inactive", "r", noArgument}, {"group-by-node", "n", noArgument}, {"brief", "b", noArgument},
		{"show-node-attributes", "A", noArgument}, {"failcounts", "f", noArgument}, {"operations", "o", noArgument}, {"timing-details", "t", noArgument},
		{"tickets", "c", noArgument}, {"neg-locations", "L", mayHaveArgument}, {"fence-history", "m", mayHaveArgument},
		{"show-detail", "R", noArgument}, {"pending", "j", noArgument}, {"hide-headers", "D", noArgument}, {"simple-status", "s", noArgument},
		{"as-xml", "X", noArgument}, {"as-html", "h", hasArgument}, {"output-as", "", hasArgument}, {"output-to", "", hasArgument},
		{"daemonize", "d", noArgument}, {"pid-file", "p", hasArgument}, {"interval", "i", hasArgument},
		{"quiet", "Q", noArgument}, {"verbose", "V", noArgument},
	})
	switch {
	case err != nil:
		return c.fail(exitUsage, "%v", err)
	case len(rest) > 0:
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	case f["neg-locations"] != "":
		return c.fail(exitUsage, "bans cannot be picked by the beginning of their id (%q): use --neg-locations alone", f["neg-locations"])
	case f.has("fence-history") && !slices.Contains([]string{"", "1", "2", "3"}, f["fence-history"]):
		return c.fail(exitUsage, "fence-history %q: there are 1, what failed or goes on, which is always shown, and 2 and 3, everything", f["fence-history"])
	}
	m := &monitor{c: c, words: statusWords(f), file: f["output-to"], every: 5 * time.Second}
	switch as := f["output-as"]; {
	case f.has("as-html"):
		m.words, m.file = append(m.words, "html"), f["as-html"]
	case f.has("as-xml"):
		m.words = append(m.words, "xml")
	case as == "xml", as == "html":
		m.words = append(m.words, as)
	case as != "" && as != "text" && as != "console":
		return c.fail(exitUsage, "unknown form of output %q; there are text, xml and html", as)
	}
	if f.has("interval") {
		if m.every, err = interval(f["interval"]); err != nil {
			return c.fail(exitUsage, "%v", err)
		}
	}
	if m.file == "-" {
		m.file = ""
	}
	if !f.has("daemonize") {
		return m.once(c.ctx)
	}
	if m.file == "" {
		return c.fail(exitUsage, "--daemonize needs a file to write to: --output-to FILE or --as-html FILE")
	}
	if c.env.Getenv(detachedMark) != "" {
		return m.forever()
	}
	return c.detach(args, f["pid-file"])
}

// statusWords are the words after status that say the same as the options.
func statusWords(f flags) []string {
	var words []string
	for _, o := range [][2]string{
		{"inactive", "inactive"}, {"group-by-node", "bynode"}, {"brief", "brief"}, {"show-node-attributes", "attributes"},
		{"failcounts", "failcounts"}, {"operations", "ops"}, {"timing-details", "timing"}, {"tickets", "tickets"}, {"neg-locations", "bans"},
		{"show-detail", "detail"}, {"hide-headers", "noheaders"}, {"simple-status", "simple"},
	} {
		if f.has(o[0]) {
			words = append(words, o[1])
		}
	}
	if level := f["fence-history"]; f.has("fence-history") && (level == "" || level == "2" || level == "3") {
		words = append(words, "fencing")
	}
	return words
}

// interval reads the time between two looks: seconds, or a number with a unit.
func interval(s string) (time.Duration, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(n) * time.Second, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= time.Second {
		return d, nil
	}
	return 0, fmt.Errorf("interval %q is not a time of at least a second, such as 15 or 15s", s)
}

// detachedMark tells the process that was started to go on in the background
// that it is that one.
const detachedMark = "GCRM_MONITOR_DETACHED"

// detach starts this command once more, in a session of its own, and leaves
// its number in a file.
func (c *command) detach(args []string, pidFile string) int {
	self, err := os.Executable()
	if err != nil {
		return c.fail(exitError, "%v", err)
	}
	p := exec.Command(self, args...)
	p.Args[0] = c.name
	p.Env = append(os.Environ(), detachedMark+"=1")
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.Start(); err != nil {
		return c.fail(exitError, "cannot go on in the background: %v", err)
	}
	if pidFile != "" {
		if err := durable.Write(pidFile, []byte(fmt.Sprintf("%d\n", p.Process.Pid)), 0o644); err != nil {
			_ = p.Process.Kill()
			_, _ = p.Process.Wait()
			return c.fail(exitError, "pid file: %v", err)
		}
	}
	return exitOK
}

// monitor writes the status.
type monitor struct {
	c     *command
	words []string
	file  string // empty for the standard output
	every time.Duration
}

func (m *monitor) once(ctx context.Context) int {
	b, err := m.c.backend()
	if err != nil {
		return m.c.failed(err)
	}
	text, err := b.Status(ctx, m.words)
	if err != nil {
		return m.c.failed(err)
	}
	if m.file == "" {
		fmt.Fprint(m.c.env.Stdout, text)
	} else if err := durable.Write(m.file, []byte(text), 0o644); err != nil {
		return m.c.fail(exitError, "%v", err)
	}
	return exitOK
}

// forever writes the file again and again until the process is ended. While
// the node's daemon does not answer the file keeps what it has, and so its
// time of change tells how old it is.
func (m *monitor) forever() int {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		m.c.ctx = ctx
		if m.once(ctx) != exitOK {
			m.c.back = nil // connect again
		}
		cancel()
		time.Sleep(m.every)
	}
}

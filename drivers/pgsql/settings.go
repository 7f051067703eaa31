package pgsql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gcrm/drivers/native"
)

// lock marks a server that was primary and did not end in order: it may have
// commits that its successor does not have.
func lockFile(c *native.Call) string { return filepath.Join(c.Params.String("tmpdir"), "PGSQL.lock") }
func modeFile(c *native.Call) string {
	return filepath.Join(c.Params.String("tmpdir"), "rep_mode.conf")
}
func signalFile(c *native.Call) string {
	return filepath.Join(c.Params.String("pgdata"), "standby.signal")
}

// settings is the file that the agent keeps of the server's configuration.
func settings(c *native.Call, synchronous []string) string {
	v := c.Params
	info := fmt.Sprintf("host=%s port=%d user=%s application_name=%s", v.String("master_ip"), v.Int("pgport"), v.String("repuser"), conninfo(c.Node.Name))
	if o := v.String("primary_conninfo_opt"); o != "" {
		info += " " + o
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var b strings.Builder
	fmt.Fprintf(&b, "# written by the cluster; changes are lost\nprimary_conninfo = %s\nrecovery_target_timeline = 'latest'\n", quote(info))
	for _, name := range []string{"restore_command", "archive_cleanup_command", "recovery_end_command"} {
		if s := v.String(name); s != "" {
			fmt.Fprintf(&b, "%s = %s\n", name, quote(s))
		}
	}
	if slot := v.String("replication_slot_name"); slot != "" {
		fmt.Fprintf(&b, "primary_slot_name = %s\n", quote(slotOf(slot, c.Node.Name)))
	}
	names := ""
	if len(synchronous) > 0 {
		quoted := make([]string, len(synchronous))
		for i, n := range synchronous {
			quoted[i] = `"` + n + `"`
		}
		names = fmt.Sprintf("FIRST %d (%s)", len(quoted), strings.Join(quoted, ", "))
	}
	fmt.Fprintf(&b, "synchronous_standby_names = %s\n", quote(names))
	return b.String()
}

// conninfo writes a value of a connection string.
func conninfo(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// slotOf is the replication slot of a node.
func slotOf(prefix, node string) string {
	return prefix + "_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(node))
}

// configure writes the agent's settings and sees to it that the server's
// configuration includes them.
func configure(c *native.Call, synchronous []string) error {
	o, err := owner(c)
	if err != nil {
		return err
	}
	if err := o.Folder(c, c.Params.String("tmpdir"), 0o700); err != nil {
		return err
	}
	if err := o.Write(c, modeFile(c), settings(c, synchronous), 0o600); err != nil {
		return err
	}
	path := config(c)
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	include := regexp.MustCompile(`(?m)^[ \t]*include(_if_exists)?[ \t=]+'` + regexp.QuoteMeta(modeFile(c)) + `'`)
	if include.Match(raw) {
		return nil
	}
	return o.Write(c, path, strings.TrimRight(string(raw), "\n")+"\ninclude_if_exists '"+modeFile(c)+"'\n", 0o600)
}

// synchronous lists the standbys that commits wait for, from the agent's file.
func synchronous(c *native.Call) []string {
	raw, err := os.ReadFile(modeFile(c))
	if err != nil {
		return nil
	}
	_, rest, ok := strings.Cut(string(raw), "\nsynchronous_standby_names = 'FIRST ")
	if !ok {
		return nil
	}
	line, _, _ := strings.Cut(rest, "\n")
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1])
	}
	return out
}

// commitsWaitFor changes the standbys that commits wait for.
func commitsWaitFor(ctx context.Context, c *native.Call, names []string) error {
	slices.Sort(names)
	if slices.Equal(names, synchronous(c)) {
		return nil
	}
	if err := configure(c, names); err != nil {
		return err
	}
	return c.Do("psql -c 'SELECT pg_reload_conf()'", func() error {
		_, err := ask(ctx, c, "SELECT pg_reload_conf()")
		return err
	})
}

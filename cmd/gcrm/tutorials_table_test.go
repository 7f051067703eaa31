package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// tutorialRow is a row of the tables in doc/tutorials.md that is run.
type tutorialRow struct {
	host, command, shows string
}

// tutorialRows reads the tables: a row is run if its second column begins
// with a host's prompt.
func tutorialRows(t *testing.T, text string) []tutorialRow {
	t.Helper()
	var out []tutorialRow
	bar := strings.NewReplacer(`\|`, "\x00")
	run := regexp.MustCompile("^`(node[12])# ([^`]*)`")
	code := regexp.MustCompile("^`([^`]*)`$")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| the text") {
			continue
		}
		cells := strings.Split(strings.Trim(bar.Replace(line), "|"), "|")
		if len(cells) != 3 || strings.TrimSpace(cells[1]) == "" {
			t.Fatalf("no three columns, or nothing for the text: %s", line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "\x00", "|"))
		}
		m := run.FindStringSubmatch(cells[1])
		if m == nil {
			if strings.Contains(cells[1], "# ") {
				t.Errorf("neither a command nor words: %s", cells[1])
			}
			continue
		}
		r := tutorialRow{host: m[1], command: m[2]}
		if cells[2] != "" {
			s := code.FindStringSubmatch(cells[2])
			if s == nil {
				t.Fatalf("the last column is no code: %s", line)
			}
			r.shows = s[1]
		}
		out = append(out, r)
	}
	return out
}

// Every command that the documentation has for one of the tutorials' does
// what the text wants of it, on two hosts.
func TestTutorialTables(t *testing.T) {
	doc, err := os.ReadFile("../../doc/tutorials.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := tutorialRows(t, string(doc))
	if len(rows) < 35 {
		t.Fatalf("only %d rows are run", len(rows))
	}
	hosts := guests(t, "node1", "node2")
	for i, h := range []*guest{hosts["node1"], hosts["node2"]} {
		for _, prepare := range []string{
			"ip address add 172.16.27." + string(rune('1'+i)) + "/24 dev e0",
			"test ! -d /usr/lib/ocf || mount -t tmpfs none /usr/lib/ocf", // no agents but the built-in ones
			"mount -t tmpfs none /etc/init.d",
			`printf '#!/bin/sh\ncase $1 in start) >/run/httpd;; stop) rm -f /run/httpd;; status) test -e /run/httpd || exit 3;; esac\n' >/etc/init.d/httpd; chmod 755 /etc/init.d/httpd`,
			`printf 'totem {\n cluster_name: halinux\n}\nnodelist {\n node {\n ring0_addr: 192.0.2.4\n name: node4-hb\n nodeid: 1\n }\n node {\n ring0_addr: 192.0.2.5\n name: node5-hb\n nodeid: 2\n }\n}\nquorum {\n provider: corosync_votequorum\n two_node: 1\n}\n' >corosync.conf`,
		} {
			if out, status := h.sh(prepare); status != "0" {
				t.Skipf("%s: %s", prepare, out)
			}
		}
	}
	token := ""
	for _, r := range rows {
		host := hosts[r.host]
		command := strings.ReplaceAll(r.command, "TOKEN", token)
		if strings.HasSuffix(command, "&") {
			command = strings.TrimSuffix(command, "&") + ">" + host.name + ".log 2>&1 &"
		}
		// What a command starts takes its time; looking is repeated.
		limit := time.Now()
		if r.shows != "" {
			limit = limit.Add(time.Minute)
		}
		for {
			out, status := host.sh(command)
			done := strings.Contains(out, r.shows) && (status == "0" || strings.Contains(r.command, "cluster check"))
			if done || time.Now().After(limit) {
				t.Logf("%s# %s\n%s", r.host, command, out)
				if !done {
					log, _ := host.sh("for f in *.log; do tail -n 20 $f; done; gcrm status")
					t.Fatalf("status %s, %q is wanted\n%s", status, r.shows, log)
				}
				if found := regexp.MustCompile(`gcrm1\.\S+`).FindString(out); found != "" {
					token = found
				}
				break
			}
			time.Sleep(300 * time.Millisecond)
		}
		if strings.HasSuffix(command, "&") {
			host.sh("for i in $(seq 300); do gcrm cluster status >/dev/null 2>&1 && break; sleep 0.2; done")
		}
	}
}

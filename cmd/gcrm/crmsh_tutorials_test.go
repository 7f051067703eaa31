package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/grammar"
)

// Every statement of the tutorials goes through both shells, beside what it
// builds on: the same is accepted, made and shown.
func TestDifferentialCrmshTutorials(t *testing.T) {
	them := oracle(t)
	files, err := filepath.Glob("../../testdata/tutorials/*.crm")
	if err != nil || len(files) < 6 {
		t.Fatalf("only %d tutorials: %v", len(files), err)
	}
	// As typed in the third document.
	typed := []string{
		"node node1.tanxw.com", "node node2.tanxw.com",
		"property stonith-enabled=false", "property no-quorum-policy=ignore", "rsc_defaults resource-stickiness=100",
		"primitive webip ocf:heartbeat:IPaddr params ip=172.16.27.88", "primitive webserver lsb:httpd", "group weservice webip webserver",
		"primitive mysqlstore ocf:linbit:drbd params drbd_resource=mystore op monitor role=Master interval=30s timeout=20s op monitor role=Slave interval=60s timeout=20s op start timeout=240s op stop timeout=100s",
		"master ms_mysqlstore mysqlstore meta master-max=1 master-node-max=1 clone-max=2 clone-node-max=1 notify=True",
		"primitive mysqlfs ocf:heartbeat:Filesystem params device=/dev/drbd0 directory=/drbd fstype=ext4 op monitor interval=30s timeout=40s on-fail=restart op start timeout=60s op stop timeout=60s",
		"collocation mysqlfs_with_ms_mysqlstore_master inf: mysqlfs ms_mysqlstore:Master",
		"order mysqlfs_after_ms_mysqlstore_master mandatory: ms_mysqlstore:promote mysqlfs:start",
	}
	sessions := map[string][]string{"as typed": typed}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range grammar.ReadScript(f, string(text)) {
			if grammar.IsStatement(l.Words[0].Text) && l.Words[0].Text != "node" || strings.HasPrefix(l.Text, "node ") && !slices.Contains([]string{"standby", "online"}, l.Words[1].Text) {
				sessions[filepath.Base(f)] = append(sessions[filepath.Base(f)], completeClone(l.Text))
			}
		}
	}
	for name, lines := range sessions {
		// Each item is the whole script: differences are those of its last lines, too.
		theirs := them.talk(t, crmshNodes, nil, [][]string{lines}, nil, true)[0]
		ours := here().talk(t, crmshNodes, nil, [][]string{lines}, nil, true)[0]
		normalizeVersion(&theirs)
		if what := compareOutcomes(theirs, ours); what != "" {
			t.Errorf("%s:\n%s", name, what)
		}
		t.Logf("%s: %d statements, %d objects", name, len(lines), len(theirs.xml))
	}
}

// completeClone adds what crmsh 5 adds by itself.
func completeClone(l string) string {
	if strings.HasPrefix(l, "clone ") && !strings.Contains(l, " meta ") {
		l += " meta interleave=true"
	}
	return l
}

// normalizeVersion writes what crmsh 4.4 made as crmsh 5 does: no interval means
// 0s, for a monitor none, and clones are interleaved.
func normalizeVersion(o *outcome) {
	replace := strings.NewReplacer(` interval=0 `, ` interval=0s `, " interval=0\n", " interval=0s\n", ` interval="0"`, ` interval="0s"`, `-0"`, `-0s"`)
	for k, v := range o.xml {
		o.xml[k] = replace.Replace(v)
	}
	o.text = strings.TrimSuffix(replace.Replace(o.text+"\n"), "\n")
}

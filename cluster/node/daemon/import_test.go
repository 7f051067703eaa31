package daemon

import (
	"strings"
	"testing"
	"time"
)

func TestImport(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (string, int) {
		var out strings.Builder
		status := ClusterCommand(t.Context(), append([]string{"import", "--state-dir", dir}, args...), Streams{Out: &out, Err: &out})
		return out.String(), status
	}
	out, status := run("../corosync/testdata/knet.conf", "--dry-run")
	if status != 0 || !strings.Contains(out, "node beta at 192.0.2.12 and 198.51.100.12") || !strings.Contains(out, "note: ") {
		t.Errorf("dry run: %d\n%s", status, out)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a dry run made a node")
	}
	if out, status = run("../corosync/testdata/knet.conf"); status == 0 || !strings.Contains(out, "--node NAME") {
		t.Errorf("a host that is not in the file: %d\n%s", status, out)
	}
	if out, status = run("../corosync/testdata/old.conf", "--node", "192.0.2.21"); status == 0 || !strings.Contains(out, "needs a name") {
		t.Errorf("a cluster without a name: %d\n%s", status, out)
	}
	if out, status = run("../corosync/testdata/knet.conf", "--node", "beta"); status != 0 || !strings.Contains(out, "gcrm cluster join 192.0.2.12 --token TOKEN --node alpha --address 192.0.2.11,198.51.100.11") {
		t.Errorf("import: %d\n%s", status, out)
	}
	s, err := Load(dir)
	if err != nil || s.Cluster != "shop" || s.Name != "beta" || len(s.Addresses) != 2 || s.DetectionMilliseconds != (5650*time.Millisecond).Milliseconds() {
		t.Errorf("%+v, %v", s, err)
	}
}

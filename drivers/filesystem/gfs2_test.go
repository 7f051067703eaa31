package filesystem

import (
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/gfs2"
)

func TestLockTableOfTheCluster(t *testing.T) {
	for _, c := range []struct {
		protocol, table string
		journals        int
		rc              drivers.RC
		want            string
	}{
		{"lock_dlm", "cluster1:kvm1", 2, drivers.OK, ""},
		{"lock_dlm", "other:kvm1", 2, drivers.NotConfigured, "tunegfs2 -o locktable=cluster1:kvm1 /dev/x"},
		{"lock_dlm", "cluster1", 2, drivers.NotConfigured, "locktable=cluster1:NAME"},
		{"lock_nolock", "", 1, drivers.NotConfigured, "tunegfs2 -o lockproto=lock_dlm"},
		{"lock_dlm", "cluster1:kvm1", 0, drivers.NotConfigured, "no journals"},
	} {
		s := shared{gfs2.Superblock{Protocol: c.protocol, Table: c.table}, c.journals}
		if res := s.fits(target{device: "/dev/x"}, "cluster1"); res.RC != c.rc || !strings.Contains(res.Reason, c.want) {
			t.Errorf("%+v: %+v", c, res)
		}
	}
}

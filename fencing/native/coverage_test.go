package native

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/fencing/methodtest"
)

// row is how one method is tested.
type row struct {
	// counterpart is what stands at the other end, and real the test that works
	// with it in order.
	counterpart, real string
	// wrong is the test of the five situations (methodtest.Run): its sub-tests
	// are the columns of this table.
	wrong string
}

// coverage is the table of all native methods. Tests are named by package and
// function.
func coverage() map[string]row {
	table := map[string]row{
		"fence_virt":         {"fence_virtd, TCP", "xvm.TestTCPWithFenceVirtd", "xvm.TestVirtGoesWrong"},
		"fence_xvm":          {"fence_virtd, multicast", "xvm.TestMulticastWithFenceVirtd", "xvm.TestXVMGoesWrong"},
		"fence_virsh":        {"libvirtd with its test hypervisor, behind OpenSSH", "virsh.TestOverSSH", "virsh.TestVirshGoesWrong"},
		"fence_ipmilan":      {"ipmi_sim", "ipmilan.TestWithIpmiSim", "ipmilan.TestIpmilanGoesWrong"},
		"fence_redfish":      {"a fake: Debian has none", "redfish.TestPower", "redfish.TestRedfishGoesWrong"},
		"fence_apc_snmp":     {"snmpd", "snmp.TestWithSnmpd", "snmp.TestSNMPGoesWrong"},
		"apcsmart":           {"a fake at a pseudo-terminal", "apcsmart.TestPower", "apcsmart.TestSmartGoesWrong"},
		"fence_kdump":        {"fence_kdump_send", "kdump.TestRealSender", "kdump.TestKdumpGoesWrong"},
		"fence_sbd":          {"sbd on a loop device", "sbd.TestDiskOfTheRealSBD", "sbd.TestSBDGoesWrong"},
		"fence_watchdog":     {"a fake of the kernel's driver; the real one in the lab", "watchdog.TestDevice", "watchdog.TestWatchdogGoesWrong"},
		"fence_ssh":          {"OpenSSH, whose daemon does not do what it is told", "laboratory.TestSSHGoesWrong", "laboratory.TestSSHGoesWrong"},
		"fence_manual":       {"nobody", "laboratory.TestManualWaits", "laboratory.TestManualGoesWrong"},
		"fence_null":         {"nothing", "laboratory.TestNothingHereProves", "laboratory.TestNullGoesWrong"},
		"fence_ifmib":        {"snmpd", "snmp.TestVendors", "snmp.TestSNMPGoesWrong"},
		"fence_ibmblade":     {"snmpd", "snmp.TestVendors", "snmp.TestSNMPGoesWrong"},
		"fence_intelmodular": {"snmpd", "snmp.TestVendors", "snmp.TestSNMPGoesWrong"},
	}
	// Names of the same with other defaults, and vendors that differ by a table.
	for like, names := range map[string]string{
		"fence_ipmilan": "fence_idrac fence_ilo3 fence_ilo4 fence_ilo5 fence_imm",
		"fence_ssh":     "ssh external/ssh", "fence_null": "null", "fence_manual": "meatware",
		"fence_ifmib": "fence_tripplite_snmp fence_eaton_snmp fence_ipdu fence_emerson",
	} {
		for name := range strings.FieldsSeq(names) {
			table[name] = table[like]
		}
	}
	return table
}

// TestCoverage: every native method is in the table, and what the table names is
// there and tests all situations.
func TestCoverage(t *testing.T) {
	table, methods := coverage(), Methods(nil)
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		r, ok := table[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
			continue
		}
		// Tests are in the method's own package.
		owner := fmt.Sprintf("%T", methods[name])
		owner = strings.TrimPrefix(owner[:strings.IndexByte(owner, '.')], "*")
		for _, test := range []string{r.real, r.wrong} {
			pkg, function, _ := strings.Cut(test, ".")
			if pkg != owner {
				t.Errorf("%s is of package %s, its test is %s", name, owner, test)
			}
			body := source(t, pkg, function)
			if body == nil {
				t.Errorf("%s: the test %s is not there", name, test)
				continue
			}
			if test == r.wrong && !mentions(body, "Run", "WrongPassword", "Timeout", "Garbage", "AlreadyOff", "GoneMidway") {
				t.Errorf("%s: %s does not test all of %q", name, test, methodtest.Situations)
			}
		}
		t.Logf("%-22s %-50s %s, %s", name, r.counterpart, r.real, r.wrong)
	}
	for name := range table {
		if methods[name] == nil {
			t.Errorf("%s is in the table, and is no native method", name)
		}
	}
}

// source finds a function in the tests of a package beside this one.
func source(t *testing.T, pkg, function string) (found *ast.FuncDecl) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == function && fn.Recv == nil {
				found = fn
			}
		}
	}
	return found
}

// mentions reports whether a function uses all of the names of methodtest.
func mentions(fn *ast.FuncDecl, names ...string) bool {
	used := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "methodtest" {
				used[s.Sel.Name] = true
			}
		}
		return true
	})
	for _, n := range names {
		if !used[n] {
			return false
		}
	}
	return true
}

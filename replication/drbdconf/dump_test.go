package drbdconf

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// drbdadm84 is the parser of DRBD 8.4 in Debian's drbd-utils.
const drbdadm84 = "/usr/lib/drbd/drbdadm-84"

var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}

// sharedDir finds the folder of reference material beside the repository.
func sharedDir(t testing.TB, sub string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", sub)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("reference material is not here: %v", err)
	}
	return dir
}

func load(t testing.TB, path string) *Config {
	t.Helper()
	cfg, err := Load(OS(), path)
	if err != nil {
		t.Fatal(err.(ErrorList).Detail())
	}
	return cfg
}

func dump(t testing.TB, cfg *Config, node Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := cfg.Dump(&b, node); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestDumpOfReferenceSamples compares with recorded output of drbdadm.
func TestDumpOfReferenceSamples(t *testing.T) {
	for _, c := range []struct{ dir, conf, dump, node string }{
		{"reference/drbd-samples", "tut83.conf", "tut83.dump", "alice"},
		{"reference/drbd-samples", "new84.conf", "new84.dump", "alice"},
	} {
		dir := sharedDir(t, c.dir)
		want, err := os.ReadFile(filepath.Join(dir, c.dump))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, c.conf))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := Parse(OS(), c.conf, string(text))
		if err != nil {
			t.Fatal(err.(ErrorList).Detail())
		}
		if diff := cmp.Diff(string(want), dump(t, cfg, Node{Name: c.node})); diff != "" {
			t.Errorf("%s (-drbdadm +gcrm):\n%s", c.conf, diff)
		}
	}
	// The lab's dump has no head, since its global section was empty.
	dir := sharedDir(t, "lab/samples/drbd84")
	want, err := os.ReadFile(filepath.Join(dir, "drbdadm-dump.txt"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "r0.res"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse(OS(), "/etc/drbd.d/r0.res", string(text))
	if err != nil {
		t.Fatal(err.(ErrorList).Detail())
	}
	_, body, _ := strings.Cut(dump(t, cfg, Node{Name: "node1"}), "\n")
	if diff := cmp.Diff(string(want), body); diff != "" {
		t.Errorf("r0.res (-drbdadm +gcrm):\n%s", diff)
	}
}

// TestDumpMatchesDrbdadm runs the real parser on every file of testdata/accepted.
func TestDumpMatchesDrbdadm(t *testing.T) {
	if _, err := os.Stat(drbdadm84); err != nil {
		t.Skipf("DRBD 8.4's drbdadm is not installed (apt-get install drbd-utils): %v", err)
	}
	files, _ := filepath.Glob("testdata/accepted/*.conf")
	if len(files) < 10 {
		t.Fatalf("only %d files in testdata/accepted", len(files))
	}
	for _, file := range files {
		for _, node := range []string{"alice", "charlie", "nobody"} {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".conf")+"/"+node, func(t *testing.T) {
				abs, err := filepath.Abs(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, xml := range []bool{false, true} {
					what := "dump"
					if xml {
						what = "dump-xml"
					}
					cmd := exec.CommandContext(t.Context(), drbdadm84, "-c", abs, what)
					cmd.Env = append(os.Environ(), "__DRBD_NODE__="+node)
					var stderr strings.Builder
					cmd.Stderr = &stderr
					want, err := cmd.Output()
					if err != nil {
						t.Fatalf("drbdadm refuses the file: %v\n%s", err, stderr.String())
					}
					var got bytes.Buffer
					cfg := load(t, abs)
					if xml {
						err = cfg.DumpXML(&got, Node{Name: node, Addresses: loopback})
					} else {
						err = cfg.Dump(&got, Node{Name: node, Addresses: loopback})
					}
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(string(want), got.String()); diff != "" {
						t.Errorf("%s (-drbdadm +gcrm):\n%s", what, diff)
					}
				}
			})
		}
	}
}

// TestDumpLoadsAgain checks that the printed form means the same.
func TestDumpLoadsAgain(t *testing.T) {
	files, _ := filepath.Glob("testdata/accepted/*.conf")
	for _, file := range files {
		first := load(t, file)
		again, err := Parse(OS(), first.Path, first.String())
		if err != nil {
			t.Errorf("%s: the dump does not load:\n%s\n%s", file, err.(ErrorList).Detail(), first)
			continue
		}
		if diff := cmp.Diff(semantics(first), semantics(again), ignorePlaces...); diff != "" {
			t.Errorf("%s changed in print and read (-first +again):\n%s", file, diff)
		}
	}
}

var ignorePlaces = []cmp.Option{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmpopts.IgnoreFields(Option{}, "Pos", "Text"), cmpopts.IgnoreFields(Address{}, "Pos"),
	cmpopts.IgnoreFields(Resource{}, "Pos", "Volumes", "IgnoreOn"), cmpopts.IgnoreFields(Host{}, "Pos"),
	cmpopts.IgnoreFields(Volume{}, "Pos"), cmpopts.IgnoreUnexported(Volume{}), cmpopts.IgnoreFields(ProxyHost{}, "Pos"),
}

// semantics is what must survive printing: dump leaves out disk options that hosts
// inherit from a volume of the resource, as drbdadm does.
func semantics(c *Config) []*Resource { return c.Resources }

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "gcrm"

// room is a row of the table in ARCHITECTURE.md.
type room struct {
	name    string
	imports []string // rooms it may import
	all     bool     // it may import everything but what imports has
}

// readRooms reads the table of rooms.
func readRooms(t *testing.T, path string) []room {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rooms []room
	row := regexp.MustCompile("^\\| `([^`]+)` \\|[^|]*(?:\\|[^|]*)*\\| ([^|]*) \\|$")
	for s := bufio.NewScanner(f); s.Scan(); {
		m := row.FindStringSubmatch(s.Text())
		if m == nil || m[1] == "testdata" {
			continue
		}
		r := room{name: m[1]}
		what, isAll := strings.CutPrefix(strings.TrimSpace(m[2]), "everything")
		r.all = isAll
		what = strings.TrimPrefix(strings.TrimSpace(what), "but ")
		if what != "nothing of ours" {
			r.imports = strings.FieldsFunc(strings.ReplaceAll(what, " and ", ","), func(c rune) bool { return c == ',' || c == ' ' })
		}
		rooms = append(rooms, r)
	}
	if len(rooms) < 10 {
		t.Fatalf("only %d rooms found in the table of %s", len(rooms), path)
	}
	return rooms
}

// roomOf finds the room of a package, the longest name that fits.
func roomOf(rooms []room, pkg string) *room {
	rel := strings.TrimPrefix(pkg, module+"/")
	var best *room
	for i := range rooms {
		n := rooms[i].name
		if (rel == n || strings.HasPrefix(rel, n+"/")) && (best == nil || len(n) > len(best.name)) {
			best = &rooms[i]
		}
	}
	return best
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func listPackages(t *testing.T, root string, args ...string) []goPackage {
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// testSupport are folders whose packages only serve the tests of others; they
// may look at more rooms than their own.
func testSupport(rel string) bool {
	return slices.ContainsFunc(strings.Split(rel, "/"), func(part string) bool { return strings.HasSuffix(part, "test") })
}

// TestImportsRunDownwards checks the imports of every package against the
// table in ARCHITECTURE.md.
func TestImportsRunDownwards(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command: ", err)
	}
	root := filepath.Join("..", "..")
	rooms := readRooms(t, filepath.Join(root, "ARCHITECTURE.md"))
	for _, p := range listPackages(t, root, "./...") {
		rel := strings.TrimPrefix(p.ImportPath, module+"/")
		from := roomOf(rooms, p.ImportPath)
		if testSupport(rel) {
			continue
		}
		if from == nil {
			t.Errorf("package %s belongs to no room of ARCHITECTURE.md", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			to := roomOf(rooms, imp)
			switch {
			case to == nil:
				t.Errorf("%s imports %s, which belongs to no room", p.ImportPath, imp)
			case to == from:
			case from.all && to.name != "cmd/gcrm" && !slices.Contains(from.imports, to.name):
			case !from.all && slices.ContainsFunc(from.imports, func(r string) bool { return to.name == r || strings.HasPrefix(to.name, r+"/") }):
			default:
				t.Errorf("%s (room %s) imports %s (room %s): the table says %v, %s", p.ImportPath, from.name, imp, to.name, from.all, strings.Join(from.imports, ", "))
			}
		}
	}
}

// thirdParty says which rooms may import a module of others.
var thirdParty = map[string][]string{
	"github.com/chzyer/readline":             {"shell"},
	"github.com/olekukonko/tablewriter":      {"shell"},
	"github.com/fatih/color":                 {"shell"},
	"github.com/schollz/progressbar/v3":      {"shell"},
	"golang.org/x/term":                      {"shell", "cmd/gcrm"},
	"github.com/alecthomas/participle/v2":    {"grammar", "replication"},
	"github.com/hashicorp/raft":              {"cluster/consensus"},
	"github.com/hashicorp/go-hclog":          {"cluster/consensus"},
	"go.etcd.io/bbolt":                       {"cluster/consensus"},
	"github.com/vishvananda/netlink":         {"drivers"},
	"github.com/vishvananda/netns":           {"drivers"},
	"github.com/coreos/go-systemd/v22":       {"drivers"},
	"github.com/godbus/dbus/v5":              {"drivers"},
	"golang.org/x/sys":                       {"shell", "cmd/gcrm", "drivers", "cluster", "fencing", "replication"},
	"github.com/google/go-cmp":               {}, // tests
	"github.com/cockroachdb/datadriven":      {},
	"github.com/rogpeppe/go-internal":        {},
	"pgregory.net/rapid":                     {},
	"github.com/bougou/go-ipmi":              {"fencing"},
	"github.com/gosnmp/gosnmp":               {"fencing"},
	"github.com/anishathalye/porcupine":      {},
	"golang.org/x/net":                       {"drivers"},
	"golang.org/x/crypto":                    {"cluster"},
	"github.com/mattn/go-isatty":             {},
	"github.com/hashicorp/go-metrics":        {"cluster/consensus"},
	"github.com/hashicorp/go-metrics/compat": {"cluster/consensus"},
}

// TestThirdPartyPackagesStayInTheirRooms checks that a package of others is
// imported by its room only, and in the shell readline by one file.
func TestThirdPartyPackagesStayInTheirRooms(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command: ", err)
	}
	root := filepath.Join("..", "..")
	rooms := readRooms(t, filepath.Join(root, "ARCHITECTURE.md"))
	std := map[string]bool{}
	for _, p := range listPackages(t, root, "std") {
		std[p.ImportPath] = true
	}
	for _, p := range listPackages(t, root, "./...") {
		from := roomOf(rooms, p.ImportPath)
		rel := strings.TrimPrefix(p.ImportPath, module+"/")
		if from == nil || testSupport(rel) {
			continue
		}
		for _, imp := range p.Imports {
			if std[imp] || imp == "C" || strings.HasPrefix(imp, module+"/") {
				continue
			}
			home, known := "", false
			for m := range thirdParty {
				if (imp == m || strings.HasPrefix(imp, m+"/")) && len(m) > len(home) {
					home, known = m, true
				}
			}
			if !known {
				t.Errorf("%s imports %s, which no room is known to need", p.ImportPath, imp)
				continue
			}
			if !slices.ContainsFunc(thirdParty[home], func(r string) bool { return from.name == r || strings.HasPrefix(from.name, r+"/") }) {
				t.Errorf("%s imports %s, which belongs to %s", p.ImportPath, imp, strings.Join(thirdParty[home], ", "))
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(root, "shell", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(`"github.com/chzyer/readline"`)) {
			users = append(users, filepath.Base(f))
		}
	}
	if !slices.Equal(users, []string{"terminal.go"}) {
		t.Errorf("readline is imported by %v, want terminal.go only", users)
	}
}

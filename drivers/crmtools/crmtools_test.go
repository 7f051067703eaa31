package crmtools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/ocf"
)

// TestMain serves the commands to agent scripts run by the tests: their
// attributes lie in files of a folder the environment names.
func TestMain(m *testing.M) {
	if dir := os.Getenv("GCRM_SOCKET"); dir != "" && filepath.Base(os.Args[0]) != "crmtools.test" {
		back := folder(dir)
		os.Exit(Main(filepath.Base(os.Args[0]), os.Args[1:], Environment{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr,
			Connect: func(context.Context) (Backend, error) { return back, nil }}))
	}
	os.Exit(m.Run())
}

// folder is a backend whose attributes are files.
type folder string

func (d folder) LocalNode(context.Context) (Node, error) {
	return Node{Name: "kvm1-cr", ID: "2", Online: true}, nil
}
func (d folder) Nodes(context.Context) ([]Node, error) {
	return []Node{{"kvm0-cr", "1", false}, {"kvm1-cr", "2", true}}, nil
}
func (d folder) Quorate(context.Context) (bool, error) { return true, nil }

func (d folder) path(a Attribute) string {
	return filepath.Join(string(d), fmt.Sprintf("%d %s%s %s", a.Section, a.Node, a.Resource, a.Name))
}

func (d folder) Located(_ context.Context, resource string) ([]Place, error) {
	switch resource {
	case "nobody":
		return nil, fmt.Errorf("resource nobody: %w", ErrNoResource)
	case "idle":
		return nil, nil
	}
	return []Place{{"kvm0-cr", true}, {"kvm1-cr", false}}, nil
}

func (d folder) Attribute(_ context.Context, a Attribute) (string, bool, error) {
	if a.Node == "nobody" {
		return "", false, fmt.Errorf("node nobody: %w", ErrNoNode)
	}
	raw, err := os.ReadFile(d.path(a))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	return string(raw), err == nil, err
}

func (d folder) SetAttribute(_ context.Context, a Attribute, value *string, _ time.Duration) error {
	if value == nil {
		if err := os.Remove(d.path(a)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(d.path(a), []byte(*value), 0o600)
}

func (d folder) Status(_ context.Context, words []string) (string, error) {
	return fmt.Sprintln("status", words), nil
}

func (d folder) Query(_ context.Context, q Query) ([]string, error) {
	switch q.XPath {
	case "//nothing":
		return nil, nil
	case "//two":
		return []string{"<a/>\n", "<b/>\n"}, nil
	}
	return []string{fmt.Sprintf("<asked>%+v</asked>\n", q)}, nil
}

func (d folder) Fence(_ context.Context, node, action string) error {
	if node == "nobody" {
		return fmt.Errorf("node nobody: %w", ErrNoNode)
	}
	return os.WriteFile(filepath.Join(string(d), "fenced"), []byte(node+" "+action), 0o600)
}

func run(back Backend, env map[string]string, line string) (int, string, string) {
	var stdout, stderr bytes.Buffer
	words := strings.Fields(line)
	rc := Main(words[0], words[1:], Environment{Getenv: func(n string) string { return env[n] }, Stdout: &stdout, Stderr: &stderr,
		Connect: func(context.Context) (Backend, error) {
			if back == nil {
				return nil, errors.New("connection refused")
			}
			return back, nil
		}})
	return rc, stdout.String(), stderr.String()
}

// The outputs and codes were recorded with Pacemaker 2.1.5 where a CIB file
// could serve, and are those of its sources otherwise.
func TestConversation(t *testing.T) {
	back := folder(t.TempDir())
	agent := map[string]string{"OCF_RESOURCE_INSTANCE": "db", "OCF_RESKEY_CRM_meta_on_node": "kvm1-cr"}
	for _, c := range []struct {
		line string
		rc   int
		out  string
	}{
		{"crm_attribute -n foo -G", 105, ""},
		{"crm_attribute -n foo -G -d 5", 0, "scope=crm_config  name=foo value=5\n"},
		{"crm_attribute -n foo -v bar", 0, ""},
		{"crm_attribute -n foo -G", 0, "scope=crm_config  name=foo value=bar\n"},
		{"crm_attribute --name foo --query --quiet", 0, "bar\n"},
		{"crm_attribute -t crm_config -n foo -Gq", 0, "bar\n"},
		{"crm_attribute -n foo", 0, "scope=crm_config  name=foo value=bar\n"},
		{"crm_attribute -n foo -D", 0, ""},
		{"crm_attribute -n foo -D", 0, ""},
		{"crm_attribute -N kvm0-cr -n rack -v a", 0, ""},
		{"crm_attribute -t nodes -N kvm0-cr -n rack -G", 0, "scope=nodes  name=rack value=a\n"},
		{"crm_attribute -N kvm1-cr -n rack -G", 105, ""},
		{"crm_attribute -N kvm1-cr -n cpu -z -v 4", 0, ""},
		{"crm_attribute -N kvm1-cr -n cpu -z -G", 0, "scope=nodes  name=cpu value=4\n"},
		{"crm_attribute -N nobody -n rack -G", 68, ""},
		// Resources: what VirtualDomain, Xen and drbd ask for.
		{"crm_resource -Q -r vm -z -g cpu", 0, ""},
		{"crm_resource -r vm -z -p cpu -v 2", 0, ""},
		{"crm_resource -Q -r vm -z -g cpu", 0, "2\n"},
		{"crm_resource -r vm -g cpu", 0, ""},
		{"crm_resource --resource=vm --utilization --delete-parameter=cpu", 0, ""},
		{"crm_resource -Q -r vm -z -g cpu", 0, ""},
		{"crm_resource -m -p target-role -v Stopped", 0, ""},
		{"crm_resource -r db -m -g target-role", 0, "Stopped\n"},
		{"crm_resource --resource ms --locate", 0, "resource ms is running on: kvm0-cr Master\nresource ms is running on: kvm1-cr \n"},
		{"crm_resource -QWr ms", 0, "kvm0-cr\nkvm1-cr\n"},
		{"crm_resource -W -r idle", 0, ""},
		{"crm_resource -W -r nobody", 105, ""},
		{"crm_resource -r vm -p cpu", 64, ""},
		{"crm_resource -r vm --move", 64, ""},
		{"crm_resource -r vm", 64, ""},
		// Promotion scores, in every spelling.
		{"crm_master -Q -l reboot -v 10000", 0, ""},
		{"crm_attribute -p -G", 0, "scope=status  name=master-db value=10000\n"},
		{"crm_attribute -p db -Gq", 0, "10000\n"},
		{"crm_attribute --promotion=db -q", 0, "10000\n"},
		{"crm_master -q -l reboot -G", 0, "10000\n"},
		{"crm_master -G", 105, ""}, // for ever, which is another attribute
		{"crm_attribute -p -v -INFINITY", 0, ""},
		{"attrd_updater -n master-db -Q", 0, `name="master-db" host="kvm1-cr" value="-INFINITY"` + "\n"},
		{"crm_master -r other -l reboot -v 3", 0, ""},
		{"crm_attribute -p other -q", 0, "3\n"},
		{"crm_master -l reboot -D", 0, ""},
		{"crm_attribute -p -G", 105, ""},
		{"crm_master -N kvm0-cr -l reboot -v 7", 0, ""},
		{"crm_attribute -p -N kvm0-cr -q", 0, "7\n"},
		// Other transient attributes.
		{"attrd_updater -n pingd -B 1000 -d 5s", 0, ""},
		{"attrd_updater -n pingd -U 2000 -N kvm0-cr -S status", 0, ""},
		{"attrd_updater -n pingd -Q", 0, `name="pingd" host="kvm1-cr" value="1000"` + "\n"},
		{"attrd_updater -n pingd -Q -A", 0, `name="pingd" host="kvm0-cr" value="2000"` + "\n" + `name="pingd" host="kvm1-cr" value="1000"` + "\n"},
		{"attrd_updater -p -n w-gtid -U 0-1-2", 0, ""},
		{"attrd_updater -p -N kvm1-cr -n w-gtid -Q", 0, `name="w-gtid" host="kvm1-cr" value="0-1-2"` + "\n"},
		{"attrd_updater -p -n w-gtid -D", 0, ""},
		{"attrd_updater -D -n pingd", 0, ""},
		{"attrd_updater -n pingd -Q", 105, ""},
		// Nodes.
		{"crm_node -n", 0, "kvm1-cr\n"},
		{"crm_node -i", 0, "2\n"},
		{"crm_node -l", 0, "1 kvm0-cr lost\n2 kvm1-cr member\n"},
		{"crm_node -p", 0, "kvm1-cr \n"},
		{"crm_node -q", 0, "1\n"},
		{"crm_node -l -p", 0, "kvm1-cr \n"}, // as rabbitmq-server-ha asks
		{"crm_node -pl", 0, "1 kvm0-cr lost\n2 kvm1-cr member\n"},
		{"crm_node -N 1", 0, "kvm0-cr\n"},
		{"crm_node -N 9", 105, ""},
		// What shows the cluster, and the document.
		{"crm_mon -1", 0, "status []\n"},
		{"crm_mon -1 --output-as=xml", 0, "status [xml]\n"},
		{"crm_mon --as-xml -1rn", 0, "status [inactive bynode xml]\n"},
		{"crm_mon -1Afotc -L -m 3 -RD", 0, "status [attributes failcounts ops timing tickets bans detail noheaders fencing]\n"},
		{"crm_mon -1 --fence-history=1", 0, "status []\n"},
		{"crm_mon -1 --fence-history=0", 64, ""},
		{"crm_mon -1 -L cli-ban-", 64, ""},
		{"crm_mon -s", 0, "status [simple]\n"},
		{"crm_mon -1 --output-as=poem", 64, ""},
		{"crm_mon -d", 64, ""},
		{"crm_mon -1 -i soon", 64, ""},
		{"cibadmin -Q", 0, "<asked>{Section: XPath: Bare:false}</asked>\n"},
		{"cibadmin --query --scope nodes -l -n", 0, "<asked>{Section:nodes XPath: Bare:true}</asked>\n"},
		{"cibadmin -Q --xpath //two", 0, "<xpath-query>\n<a/>\n<b/>\n</xpath-query>\n"},
		{"cibadmin -Q --xpath //nothing", 105, ""},
		{"cibadmin --delete --xpath //two", 64, ""},
		{"stonith_admin --reboot kvm0-cr --tag controld", 0, ""},
		{"stonith_admin -F nobody", 68, ""},
		{"stonith_admin -B a -F b", 64, ""},
		{"pacemakerd -$", 0, "Pacemaker 2.1.5\ngcrm serves the commands agents use\n"},
		// Mistakes.
		{"crm_attribute --bogus", 64, ""},
		{"crm_attribute -G", 64, ""},
		{"crm_attribute -n x -l soon -G", 64, ""},
		{"crm_attribute -n x -v", 64, ""},
		{"crm_attribute -n x -P y", 64, ""},
		{"attrd_updater -n x", 64, ""},
		{"attrd_updater -n x -U 1 -d soon", 64, ""},
		{"crm_node", 64, ""},
		{"crm_node -n extra", 64, ""},
		{"pacemakerd", 64, ""},
	} {
		rc, out, errout := run(back, agent, c.line)
		if rc != c.rc || out != c.out {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q", c.line, rc, out, errout, c.rc, c.out)
		}
		if noted := strings.Contains(errout, "not found for") || strings.Contains(errout, "NOT running"); (rc != 0 || noted) != (errout != "") {
			t.Errorf("%s: exit %d with %q on stderr", c.line, rc, errout)
		}
	}
}

// TestMonitorInTheBackground: Debian's agent starts crm_mon in the background,
// finds it by its number, and ends it.
func TestMonitorInTheBackground(t *testing.T) {
	name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "ClusterMon"}
	agent, _, err := ocf.NewFinder("").Find(name)
	if err != nil {
		t.Skip("the package resource-agents is not installed: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	page, pid := filepath.Join(dir, "status.html"), filepath.Join(dir, "pid")
	s := agenttest.Subject{Agent: agent, Name: name, Resource: "mon", Node: agenttest.NewNode(t, "kvm1-cr"),
		Params: map[string]string{"pidfile": pid, "htmlfile": page, "update": "1000", "extra_options": "-n -r",
			"user": ""}} // su - would take the environment of the test away
	s.Node.HelperDir, s.Node.Socket = t.TempDir(), t.TempDir()
	if err := drivers.InstallHelpers(s.Node.HelperDir, self); err != nil {
		t.Fatal(err)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.OK)
	t.Cleanup(func() { // if the test fails before the stop
		if text, err := os.ReadFile(pid); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
	})
	s.Want(t, drivers.Monitor, drivers.OK)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if text, _ := os.ReadFile(page); string(text) == "status [inactive bynode html]\n" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the page has %q", text)
		}
	}
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(page); err == nil {
			break // it goes on
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

func TestWithoutDaemonOrAgent(t *testing.T) {
	if rc, _, errout := run(nil, nil, "crm_attribute -n foo -G"); rc != 102 || !strings.Contains(errout, "does not answer: connection refused") {
		t.Errorf("%d %s", rc, errout)
	}
	if rc, out, _ := run(nil, map[string]string{drivers.EnvNode: "n1"}, "crm_node -n"); rc != 0 || out != "n1\n" {
		t.Errorf("%d %s", rc, out)
	}
	if rc, _, _ := run(folder(t.TempDir()), nil, "crm_master -v 1"); rc != 1 {
		t.Errorf("crm_master outside an agent: %d", rc)
	}
}

func TestBundlesAndShortenedNames(t *testing.T) {
	f, rest, err := parseFlags([]string{"-Gq", "-nfoo", "-l=reboot", "--upd", "-5", "word", "--", "-x"}, attributeOptions())
	if err != nil || !f.has("query") || !f.has("quiet") || f["name"] != "foo" || f["lifetime"] != "reboot" || f["update"] != "-5" ||
		strings.Join(rest, " ") != "word -x" {
		t.Errorf("%v %q %v", f, rest, err)
	}
	for _, bad := range [][]string{{"--q=x"}, {"--quiet=x"}, {"-n"}, {"-k"}} {
		if _, _, err := parseFlags(bad, attributeOptions()); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// Debian's Stateful agents keep their score through these commands.
func TestScriptsReachTheClusterThroughTheHelpers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, provider := range []string{"heartbeat", "pacemaker"} {
		t.Run(provider, func(t *testing.T) {
			name := drivers.Name{Class: "ocf", Provider: provider, Type: "Stateful"}
			agent, _, err := ocf.NewFinder("").Find(name)
			if err != nil {
				t.Skip(err)
			}
			attributes := t.TempDir()
			s := agenttest.Subject{Agent: agent, Name: name, Resource: "db", Node: agenttest.NewNode(t, "kvm1-cr"),
				Params: map[string]string{"state": filepath.Join(t.TempDir(), "state")}, Promotable: true,
				Meta: map[string]string{"clone": "0", "clone_max": "2", "master_max": "1", "promoted_max": "1"}}
			s.Node.HelperDir, s.Node.Socket = t.TempDir(), attributes
			if err := drivers.InstallHelpers(s.Node.HelperDir, self); err != nil {
				t.Fatal(err)
			}
			score := func() string {
				v, _, _ := folder(attributes).Attribute(t.Context(), Attribute{Section: Transient, Node: "kvm1-cr", Name: "master-db"})
				return v
			}
			s.Want(t, drivers.Start, drivers.OK)
			if score() != "5" {
				t.Errorf("score after start %q", score())
			}
			s.Want(t, drivers.Promote, drivers.OK)
			if score() != "10" {
				t.Errorf("score after promote %q", score())
			}
			s.Want(t, drivers.Monitor, drivers.RunningPromoted)
			s.Want(t, drivers.Demote, drivers.OK)
			s.Want(t, drivers.Stop, drivers.OK)
			if provider == "pacemaker" && score() != "" {
				t.Errorf("score after stop %q", score())
			}
		})
	}
}

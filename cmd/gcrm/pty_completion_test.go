package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A whole configuration from the empty prompt to commit: of every keyword,
// agent, parameter, operation and value that the shell can know, only the
// shortest unambiguous letters are typed, and TAB writes the rest. Ids and
// values of the user's own are typed in full.
func TestConsoleCompletesAWholeConfiguration(t *testing.T) {
	dir := t.TempDir()
	c := startConsole(t, dir, "--cib", "cib.xml")
	prompt := "gcrm(cib.xml)# "
	c.expect(prompt)
	for _, step := range []struct{ keys, line string }{
		{"conf\t", "configure "},
		{"nod\tnode1 a\tst\tof\t", "node node1 attributes standby=off "},
		{"nod\tnode2 u\tmem\t4096", "node node2 utilization memory=4096"},
		{"rsc_te\ttm ocf\th\tDumm\tp\tst\t/run/tm", "rsc_template tm ocf:heartbeat:Dummy params state=/run/tm"},
		{"pri\tfs ocf\th\tFiles\tp\tdev\t/dev/sdz dir\t/srv fst\text4 op\tmo\tinterval=\ttim\t\tm\ttarg\tSta\t",
			"primitive fs ocf:heartbeat:Filesystem params device=/dev/sdz directory=/srv fstype=ext4 op monitor interval=20s timeout=40s meta target-role=Started "},
		{"pri\tip ocf\th\tIPaddr2 pa\tip=192.0.2.1 cid\t24 op\tmo\tinterval=\ttim\t\top\tsta\ttim\t\t",
			"primitive ip ocf:heartbeat:IPaddr2 params ip=192.0.2.1 cidr_netmask=24 op monitor interval=10s timeout=20s op start timeout=20s "},
		{"pri\td ocf\tp\tSta\top\tmo\trol\tPr\tinterval=10s op\tmo\trol\tUn\tinterval=11s",
			"primitive d ocf:pacemaker:Stateful op monitor role=Promoted interval=10s op monitor role=Unpromoted interval=11s"},
		{"pri\tx @\t", "primitive x @tm "},
		{"grou\tweb f\ti\tm\treso\t100", "group web fs ip meta resource-stickiness=100"},
		{"cl\td-clone d\tm\tpromota\tt\tnotif\tt\t", "clone d-clone d meta promotable=true notify=true "},
		{"cl\tx-clone x\tm\tinterl\tt\t", "clone x-clone x meta interleave=true "},
		{"loc\tl1 w\tin\tnode1", "location l1 web inf: node1"},
		{"loc\tl2 w\trul\t-i\t#u\te\tnode2", "location l2 web rule -inf: #uname eq node2"},
		{"col\tc1 in\tw\td-clone:Pr\t", "colocation c1 inf: web d-clone:Promoted "},
		{"or\to1 M\td-clone:p\tweb:sta\tsy\tt\t", "order o1 Mandatory: d-clone:promote web:start symmetrical=true "},
		{"pro\tstonith-en\tf\tno-q\tst\t", "property stonith-enabled=false no-quorum-policy=stop "},
		{"rsc_d\tresource-s\t50", "rsc_defaults resource-stickiness=50"},
		{"op_\ttim\t30s", "op_defaults timeout=30s"},
		{"ve\t", "verify "},
		{"com\t", "commit "},
	} {
		c.typing(step.keys)
		c.expect(prompt + step.line)
		c.typing("\r")
		prompt = "gcrm(cib.xml)configure# "
		c.expect(prompt)
		c.from -= len(prompt)
	}
	c.typing("q\t")
	c.expect("quit ")
	c.typing("\r")
	c.expect("bye")
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if strings.Contains(c.text(), "ERROR") {
		t.Error("a completed line was refused")
	}
	b, err := os.ReadFile(filepath.Join(dir, "cib.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<rsc_colocation id="c1"`, `<rsc_order id="o1"`, `name="promotable" value="true"`, `template="tm"`, `name="stonith-enabled" value="false"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in the committed CIB", want)
		}
	}
}

// A quote that stays open goes on in the next line; the lines of a pasted block
// are commands, also behind one that asks; what is pasted without a line end
// waits to be edited.
func TestConsolePastedBlock(t *testing.T) {
	c := startConsole(t, t.TempDir(), "--cib", "cib.xml", "configure")
	c.expect("configure# ")
	c.typing("primitive a Dummy params \"state=/run/a\r")
	c.expect("quote> ")
	c.typing("b\" op monitor interval=10s\r")
	c.expect("configure# ")
	c.typing("show a\r")
	c.expect(`params state="/run/a b"`)
	c.expect("configure# ")
	c.typing("primitive 'x\r")
	c.expect("quote> ")
	c.typing("\x04")
	c.expect("No closing quotation")
	c.expect("configure# ")

	c.typing("\x1b[200~refresh\nprimitive b Dummy params \\\n\tstate=/run/b\nprimitive c Dummy \"params\nprimitive d Du\x1b[201~")
	c.expect("All changes will be dropped")
	c.expect("(y/n)? ")
	c.typing("y\r")
	c.expect("configure# primitive b Dummy params \\")
	c.expect("   >     state=/run/b")
	c.expect("configure# primitive c Dummy \"params")
	c.expect("quote> primitive d Du")
	c.typing("\x03")
	c.expect("configure# ")
	c.typing("\x1b[200~primitive e Dummy\nprimitive f Du\x1b[201~")
	c.expect("configure# primitive f Du")
	c.typing("m\t\r")
	c.expect("configure# primitive f Dum")
	c.typing("show\r")
	c.expect("primitive b Dummy \\")
	c.expect("primitive e Dummy")
	c.expect("configure# ")
	text := c.text()
	if show := text[strings.LastIndex(text, "configure# show"):]; strings.Contains(show, "primitive a") || strings.Contains(show, "primitive c") {
		t.Error("a line that was dropped is there")
	}
}

// A template asks for what it needs; the answers make one configuration.
func TestConsoleTemplate(t *testing.T) {
	dir := t.TempDir()
	c := startConsole(t, dir, "--cib", "cib.xml")
	c.expect("# ")
	c.typing("temp\tap\tvir\t\r")
	c.expect("template apply virtual-ip ")
	c.expect("id, id of the resource [vip]: ")
	c.typing("web-ip\r")
	c.expect("ip, the address: ")
	c.typing("192.0.2.300\r")
	c.expect("is not an address")
	c.typing("192.0.2.30\r")
	c.expect("netmask, ")
	c.typing("24\r")
	c.expect("nic, ")
	c.typing("\r")
	c.expect("this is staged")
	c.typing("configure commit\r")
	c.expect("# ")
	c.typing("configure show web-ip\r")
	c.expect("params ip=192.0.2.30 cidr_netmask=24")
	c.typing("quit\r")
	c.expect("bye")
	if b, err := os.ReadFile(filepath.Join(dir, "cib.xml")); err != nil || !strings.Contains(string(b), `id="web-ip"`) {
		t.Errorf("the template is not in the committed CIB: %v\n%s", err, b)
	}
}

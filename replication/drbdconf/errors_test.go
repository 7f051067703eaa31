package drbdconf

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

const twoHosts = `
  on alice { device /dev/drbd0; disk /dev/a; address 10.0.0.1:7788; meta-disk internal; }
  on bob { device /dev/drbd0; disk /dev/a; address 10.0.0.2:7788; meta-disk internal; }
`

func noFiles() Source {
	return Source{
		ReadFile: func(path string) ([]byte, error) { return nil, fs.ErrNotExist },
		Glob:     func(string) ([]string, error) { return nil, nil },
		RealPath: func(path string) (string, error) { return "", fs.ErrNotExist },
	}
}

func TestMistakes(t *testing.T) {
	res := func(body string) string { return "resource r {" + body + twoHosts + "}" }
	for _, c := range []struct{ name, text, want string }{
		{"option name", res("\n net { timout 5; }"), `c:2:8: unknown option "timout" in net (did you mean timeout?)`},
		{"old tutorial typo", res("\n net { after-sb-Opri disconnect; }"), `c:2:8: unknown option "after-sb-Opri" in net (did you mean after-sb-0pri?)`},
		{"wrong section", res("\n net { resync-rate 5M; }"), `c:2:8: unknown option "resync-rate" in net (it belongs into the disk section)`},
		{"range", res("\n net { timeout 50000; }"), `c:2:16: timeout 50000 => 50000 out of range [1..600]`},
		{"suffix", res("\n disk { resync-rate 10MB; }"), `c:2:21: resync-rate: "10MB" is not a number with an optional k, M, G or s`},
		{"enum", res("\n disk { fencing resource-and-stonit; }"), `c:2:17: fencing: unknown value "resource-and-stonit" (did you mean resource-and-stonith?)`},
		{"boolean", res("\n net { use-rle true; }"), `c:2:16: use-rle: "true" is neither yes nor no (write yes, no or nothing)`},
		{"missing semicolon", res("\n net {\n timeout 5\n ping-int 3; }"), `c:4:2: unexpected "ping-int" after timeout, a ';' belongs there (is a ';' missing at the end of the line before?)`},
		{"missing semicolon before brace", res("\n net { timeout 5 }"), `c:2:18: the statement before this '}' is not finished (put ';' before it)`},
		{"colon for semicolon", "resource r {\n on alice { address 10.0.1.232:7789:\n }}", `c:3:2: the statement before this '}' is not finished (put ';' before it)`},
		{"colon in the middle", res("\n floating 10.0.1.232:7789:;"), `c:2:26: unexpected ":" after floating, a ';' belongs there`},
		{"brace never closed", "resource r {\n net {\n", `c:2:6: this '{' is never closed (add the missing '}')`},
		{"brace too many", "resource r {" + twoHosts + "}\n}", `c:5:1: '}' without a '{' (remove it, or look for a section that ends too early above)`},
		{"open string", "resource \"r {", `c:1:10: string without its closing quote (close the string on the same line)`},
		{"full-width", res("\n net { timeout 5；}"), `c:2:17: '；' is not the ASCII character it looks like (type the plain ASCII character)`},
		{"unfinished", "global { }\nresource r\n\n", `c:2:11: the file ends inside a statement (a statement ends with ';' or a { block })`},
		{"top level", "resorce r { }", `c:1:1: unknown section "resorce" (did you mean resource?)`},
		{"option at top", "on alice { }", `c:1:1: unknown section "on" (it belongs into a resource section; is a '}' too many above?)`},
		{"host name as address", "resource r { on alice {\n address alice:7788; } }", `c:2:10: "alice" is not an IPv4 address (host names are not possible here, write the IP address)`},
		{"port", res("\n floating 10.0.0.9:77888;"), `c:2:20: port 77888 out of range [1..65535]`},
		{"no port", res("\n floating 10.0.0.9;"), `c:2:11: the address has no port (write IPV4:PORT or ipv6 [IPV6]:PORT)`},
		{"minor contradicts", res("\n device /dev/drbd3 minor 4;"), `c:2:26: minor 4 contradicts the name /dev/drbd3 (leave off either the name or the minor)`},
		{"second net", res("\n net { } net { }"), `c:2:10: a second net section in resource r (the first is at c:2:2; put the options into one section)`},
		{"second resource", res("") + "\nresource r { }", `c:5:10: a second resource "r" (the first is at c:1:1)`},
		{"same address", strings.ReplaceAll(res(""), "10.0.0.2", "10.0.0.1"), `c:3:44: a second use of the address 10.0.0.1:7788 (the first is at c:2:46)`},
		{"same minor", res("") + strings.NewReplacer("r {", "r2 {", "/dev/a", "/dev/b", ":7788", ":7789").Replace(res("")),
			`c:5:14: a second use of the minor number 0 on alice`},
		{"mixed volumes", res("\n volume 1 { device minor 4; }"), `has volume sections and a volume without one`},
		{"missing disk", "resource r { on alice { device minor 1; meta-disk internal; address 10.0.0.1:1; } }", `c:1:14: resource r, on alice: the disk is missing`},
		{"stacked", "resource r { stacked-on-top-of low { device minor 1; address 10.0.0.1:1; } }", `c:1:14: resource low, below r, is not defined`},
		{"become-primary-on", res("\n startup { become-primary-on alcie; }"), `c:2:12: become-primary-on: alcie is not a host of resource r (did you mean alice?)`},
		{"discard-my-data", res("\n net { discard-my-data; }"), `unknown option "discard-my-data" in net (it is given with the connect command, once)`},
		{"include", `include "/nowhere/x.res";`, `c:1:9: include /nowhere/x.res: file does not exist`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(noFiles(), "c", c.text)
			var list ErrorList
			if !errors.As(err, &list) {
				t.Fatalf("no error, want %s", c.want)
			}
			for _, e := range list {
				if strings.Contains(e.Error(), c.want) {
					return
				}
			}
			t.Errorf("got\n%v\nwant\n%s", err, c.want)
		})
	}
}

func TestAllMistakesAreReported(t *testing.T) {
	_, err := Parse(noFiles(), "c", `resource r {
	net { timout 5; ping-int x; protocol D; }
	disk { fencing no; }
	on alice { device /dev/foo; adress 10.0.0.1:7788; }
}`)
	var list ErrorList
	if !errors.As(err, &list) || len(list) != 6 {
		t.Fatalf("want 6 errors, got %d:\n%v", len(list), err)
	}
	want := "c:2:8: unknown option \"timout\" in net\n" +
		"    \tnet { timout 5; ping-int x; protocol D; }\n" +
		"    \t      ^~~~~~\n" +
		"    hint: did you mean timeout?\n"
	if got := list[0].Detail(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMistakeInIncludedFileNamesIt(t *testing.T) {
	fsys := fstest.MapFS{
		"etc/drbd.conf":     {Data: []byte(`include "drbd.d/*.res";`)},
		"etc/drbd.d/a.res":  {Data: []byte("resource a {\n  on x { }\n  nett { }\n}\n")},
		"etc/drbd.d/no.cfg": {Data: []byte("not read")},
	}
	src := Source{
		ReadFile: fsys.ReadFile,
		Glob:     func(p string) ([]string, error) { return fs.Glob(fsys, p) },
		RealPath: func(p string) (string, error) { return p, nil },
	}
	_, err := Load(src, "etc/drbd.conf")
	if err == nil || !strings.HasPrefix(err.Error(), `etc/drbd.d/a.res:3:3: unknown statement "nett" in resource a (did you mean net?)`) {
		t.Errorf("got %v", err)
	}
}

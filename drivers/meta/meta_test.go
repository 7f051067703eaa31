package meta

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

var sample = Agent{
	Name: "Sample", Version: "2.1", API: "1.1",
	Short: "A <sample> & more", Long: "Several lines,\nwith \"quotes\".",
	Params: []Param{
		{Name: "ip", Type: String, Required: true, Unique: true, Short: "address"},
		{Name: "count", Type: Integer, Default: "5", Reloadable: true, Short: "how many"},
		{Name: "force", Type: Boolean, Default: "no", Short: "hard"},
		{Name: "wait", Type: Time, Default: "5s", Short: "patience"},
		{Name: "mode", Type: Select, Options: []string{"a", "b"}, Default: "a", Short: "which"},
		{Name: "share", Type: Percentage, Default: "50%", Short: "part"},
		{Name: "state", Type: String, UniqueGroup: "state", ReplacedBy: "ip", Short: "old"},
	},
	Actions: []Action{
		{Name: "start", Timeout: 20 * time.Second},
		{Name: "monitor", Role: "Promoted", Timeout: 20 * time.Second, Interval: 10 * time.Second, Depth: 10},
		{Name: "meta-data", Timeout: 1500 * time.Millisecond},
	},
}

func TestXMLReadsBackAsTheSameTable(t *testing.T) {
	text := sample.XML()
	got, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := sample
	want.Params = nil
	for _, p := range sample.Params {
		p.Long = p.Short
		want.Params = append(want.Params, p)
	}
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("got  %+v\nwant %+v", got, &want)
	}
	for _, s := range []string{`default="5"`, `reloadable="1"`, `<replaced-with name="ip"/>`, `&lt;sample&gt; &amp; more`, `depth="10"`, `timeout="1500ms"`} {
		if !strings.Contains(text, s) {
			t.Errorf("XML lacks %s:\n%s", s, text)
		}
	}
}

func TestReadTellsEverythingThatIsWrong(t *testing.T) {
	_, problems := sample.Read(map[string]string{"count": "many", "force": "perhaps", "wait": "soon", "mode": "c",
		"share": "101", "iq": "1", "CRM_meta_timeout": "20000", "crm_feature_set": "3.16", "OCF_CHECK_LEVEL": "10"})
	var got []Fault
	for _, p := range problems {
		got = append(got, p.Fault)
	}
	if want := []Fault{Missing, Mistyped, Mistyped, Mistyped, Mistyped, Mistyped, Unknown}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v %s", got, Join(problems))
	}
	for _, s := range []string{"required parameter ip is not set", `parameter count: "many" is not a whole number`,
		`"c" is not one of a, b`, "Sample has no parameter iq"} {
		if !strings.Contains(Join(problems), s) {
			t.Errorf("%q is missing in %q", s, Join(problems))
		}
	}
}

func TestValues(t *testing.T) {
	v, problems := sample.Read(map[string]string{"ip": "10.0.0.1", "force": "ON", "wait": "90", "state": ""})
	if len(problems) > 0 {
		t.Fatal(Join(problems))
	}
	if v.String("ip") != "10.0.0.1" || v.Int("count") != 5 || !v.Bool("force") || v.Duration("wait") != 90*time.Second ||
		v.Int("share") != 50 || !v.Set("state") || v.Set("count") {
		t.Errorf("wrong values: %+v", v)
	}
	v, _ = sample.Read(map[string]string{"ip": "x", "count": "many"})
	if v.Int("count") != 5 {
		t.Errorf("a mistyped number should read as its default, got %d", v.Int("count"))
	}
	defer func() {
		if recover() == nil {
			t.Error("reading a parameter outside the table did not panic")
		}
	}()
	v.String("nothing")
}

func TestParseTime(t *testing.T) {
	for s, want := range map[string]time.Duration{"20": 20 * time.Second, "20s": 20 * time.Second, "250ms": 250 * time.Millisecond,
		"2min": 2 * time.Minute, "1.5h": 90 * time.Minute, " 3 s ": 3 * time.Second, "1d": 24 * time.Hour} {
		if got, err := ParseTime(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "s", "5 weeks", "-3s", "1.2.3s", "9999999999999h"} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}

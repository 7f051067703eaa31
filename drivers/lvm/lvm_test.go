package lvm

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// tools stand in for LVM's: they answer as LVM 2.03.16 did when this was
// recorded, and keep what they are told in files of the same folder. The
// kernel of a test machine need not have the device mapper.
const tools = `#!/bin/sh
D=@DIR@
tool=${0##*/}
echo "$tool $*" >> $D/log
for last; do :; done
vg=${last%/*}
act() { mkdir -p $D/sys/dm-0/dm $D/dev/$vg; echo LVM-abc > $D/sys/dm-0/dm/uuid; echo $vg-data > $D/sys/dm-0/dm/name; echo x > $D/dev/$vg/data; }
deact() { [ -e $D/busy ] && { echo "  Logical volume $vg/data in use." >&2; exit 5; }; rm -rf $D/sys/dm-0 $D/dev/$vg; }
case $tool in
vgs)
  [ "$vg" = vgnfs ] || { echo "  Volume group \"$vg\" not found" >&2; echo "  Cannot process volume group $vg" >&2; printf '  {\n "report": [ { "vg": [ ] } ] }\n'; exit 5; }
  cat <<END
  {
      "report": [
          {
              "vg": [
                  {"vg_name":"vgnfs", "vg_tags":"$(cat $D/tags)", "vg_systemid":"$(cat $D/systemid)", "vg_clustered":"", "vg_lock_type":"", "vg_missing_pv_count":"$(cat $D/missing)", "lv_count":"1", "vg_partial":""}
              ]
          }
      ]
  }
END
  ;;
lvs) echo "  data" ;;
lvmconfig)
  if [ -e $D/conf/${1##*/} ]; then cat $D/conf/${1##*/}; else echo "  Configuration node $1 not found" >&2; exit 5; fi ;;
lvm) echo "  system ID: node1" ;;
vgck) ;;
vgchange|lvchange)
  [ "$vg" = vgnfs ] || { echo "  Volume group \"$vg\" not found" >&2; exit 5; }
  case "$*" in
  *--deltag*) shift; : > $D/tags ;;
  *--addtag*) echo -n $2 > $D/tags ;;
  *--systemid*) echo -n node1 > $D/systemid ;;
  *--setautoactivation*) ;;
  *-aly*|*-ay*) [ -e $D/held ] || act ;;
  *-aln*|*-an*) deact ;;
  esac ;;
esac
`

type world struct {
	dir string
	t   *testing.T
}

func newWorld(t *testing.T) world {
	w := world{t.TempDir(), t}
	for _, d := range []string{"bin", "conf", "sys", "dev"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"vgs", "lvs", "lvm", "lvmconfig", "vgck", "vgchange", "lvchange"} {
		if err := os.WriteFile(filepath.Join(w.dir, "bin", tool), []byte(strings.ReplaceAll(tools, "@DIR@", w.dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.put("tags", "")
	w.put("systemid", "")
	w.put("missing", "0")
	return w
}

func (w world) put(name, text string) {
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w world) get(name string) string {
	raw, _ := os.ReadFile(filepath.Join(w.dir, name))
	return string(raw)
}

func (w world) remove(name string) { os.RemoveAll(filepath.Join(w.dir, name)) }

func (w world) subject(typ string, params map[string]string) agenttest.Subject {
	name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: typ}
	p := places{filepath.Join(w.dir, "sys"), filepath.Join(w.dir, "dev")}
	path := []string{filepath.Join(w.dir, "bin"), "/usr/bin", "/bin"}
	return agenttest.Subject{Agent: agents(p, path)[name], Name: name, Resource: "vg", Params: params, Node: agenttest.NewNode(w.t, "node1")}
}

func TestContract(t *testing.T) {
	for name, c := range map[string]struct {
		typ    string
		params map[string]string
	}{
		"LVM":                    {"LVM", map[string]string{"volgrpname": "vgnfs"}},
		"LVM exclusive":          {"LVM", map[string]string{"volgrpname": "vgnfs", "exclusive": "true"}},
		"LVM-activate tagging":   {"LVM-activate", map[string]string{"vgname": "vgnfs", "vg_access_mode": "tagging"}},
		"LVM-activate system_id": {"LVM-activate", map[string]string{"vgname": "vgnfs", "lvname": "data", "vg_access_mode": "system_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			switch {
			case strings.Contains(name, "system_id"):
				w.put("systemid", "node2")
				w.put("conf/system_id_source", "system_id_source=\"uname\"\n")
			case name != "LVM":
				w.put("conf/volume_list", "volume_list=[]\n")
			}
			s := w.subject(c.typ, c.params)
			s.Break = func(*testing.T) { w.remove("sys/dm-0"); w.remove("dev/vgnfs") }
			agenttest.Contract(t, s)
		})
	}
}

func TestMetadataAgreesWithTheScripts(t *testing.T) {
	for name, a := range Agents() {
		t.Run(name.Type, func(t *testing.T) { agenttest.SameAsScript(t, name, a, nil, nil) })
	}
}

func TestForeignTagIsTakenOver(t *testing.T) {
	w := newWorld(t)
	w.put("conf/volume_list", `volume_list=["vgroot","@other"]`)
	w.put("tags", "node2")
	s := w.subject("LVM", map[string]string{"volgrpname": "vgnfs", "exclusive": "true"})
	s.Want(t, drivers.Start, drivers.OK)
	if got := w.get("tags"); got != "pacemaker" {
		t.Errorf("tags %q", got)
	}
	if log := w.get("log"); !strings.Contains(log, "vgchange --deltag node2 vgnfs\nvgchange --addtag pacemaker vgnfs\n"+
		`vgchange -aly --config activation{volume_list=["@pacemaker"]} vgnfs`) {
		t.Error(log)
	}
	// Somebody takes the tag away under it.
	w.put("tags", "stranger")
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "without the cluster's tag pacemaker (it has stranger)") {
		t.Error(res.Reason)
	}
	// The tag stays, and the next start has nothing to write.
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Start, drivers.OK)
	w.put("log", "")
	s.Want(t, drivers.Stop, drivers.OK)
	if log := w.get("log"); log != "vgchange -aln vgnfs\n" {
		t.Errorf("stop: %s", log)
	}
	s.Want(t, drivers.Start, drivers.OK)
	if log := w.get("log"); strings.Contains(log, "tag ") || w.get("tags") != "pacemaker" {
		t.Errorf("tags %q, start: %s", w.get("tags"), log)
	}
}

// A node that comes back stops what it ran before it was lost. By then the group is
// active on another node, and its tag is that node's.
func TestStopLeavesTheTagOfAnotherNode(t *testing.T) {
	for typ, params := range map[string]map[string]string{
		"LVM":          {"volgrpname": "vgnfs", "exclusive": "true"},
		"LVM-activate": {"vgname": "vgnfs", "vg_access_mode": "tagging"},
	} {
		w := newWorld(t)
		w.put("conf/volume_list", "volume_list=[]\n")
		w.put("tags", "pacemaker")
		s := w.subject(typ, params)
		s.Want(t, drivers.Stop, drivers.OK)
		if got := w.get("tags"); got != "pacemaker" {
			t.Errorf("%s: tags after the stop %q", typ, got)
		}
		if strings.Contains(w.get("log"), "change") {
			t.Errorf("%s: the group was changed: %s", typ, w.get("log"))
		}
	}
}

func TestNothingIsActivatedWithoutTheGuard(t *testing.T) {
	for conf, want := range map[string]string{"": "no activation/volume_list", `volume_list=["@pacemaker"]`: `has "@pacemaker"`, `volume_list=["vgnfs"]`: `has "vgnfs"`} {
		w := newWorld(t)
		if conf != "" {
			w.put("conf/volume_list", conf)
		}
		for typ, rc := range map[string]drivers.RC{"LVM": drivers.GenericError, "LVM-activate": drivers.BadArgs} {
			params := map[string]string{"volgrpname": "vgnfs", "exclusive": "true"}
			if typ == "LVM-activate" {
				params = map[string]string{"vgname": "vgnfs", "vg_access_mode": "tagging"}
			}
			s := w.subject(typ, params)
			if res := s.Want(t, drivers.Start, rc); !strings.Contains(res.Reason, want) {
				t.Errorf("%s: %s", conf, res.Reason)
			}
			s.Want(t, drivers.Monitor, drivers.NotRunning)
		}
		if strings.Contains(w.get("log"), "change") {
			t.Errorf("%s: something was changed: %s", conf, w.get("log"))
		}
	}
}

func TestSystemIDIsTakenOver(t *testing.T) {
	w := newWorld(t)
	w.put("systemid", "node2")
	w.put("conf/system_id_source", `system_id_source="uname"`)
	s := w.subject("LVM-activate", map[string]string{"vgname": "vgnfs", "vg_access_mode": "system_id"})
	s.Want(t, drivers.Start, drivers.OK)
	if log := w.get("log"); w.get("systemid") != "node1" ||
		!strings.Contains(log, `vgchange -y --config local/extra_system_ids=["node2"] --systemid node1 vgnfs`+"\nvgchange --setautoactivation n vgnfs\nlvchange -ay vgnfs") {
		t.Error(log)
	}
	req := s.Request(drivers.Monitor)
	req.Params["OCF_CHECK_LEVEL"] = "10"
	if res := s.Agent.Run(t.Context(), req); res.RC != drivers.OK {
		t.Errorf("%+v", res)
	}
	w.remove("sys/dm-0")
	w.remove("dev/vgnfs")
	req = s.Request(drivers.Monitor)
	req.Interval = 10 * time.Second
	if res := s.Agent.Run(t.Context(), req); res.RC != drivers.GenericError {
		t.Errorf("recurring monitor of a vanished volume: %+v", res)
	}
}

func TestStopProvesThatNothingIsActive(t *testing.T) {
	for typ, params := range map[string]map[string]string{"LVM": {"volgrpname": "vgnfs"}, "LVM-activate": {"vgname": "vgnfs", "vg_access_mode": "system_id"}} {
		w := newWorld(t)
		w.put("systemid", "node1")
		w.put("conf/system_id_source", `system_id_source="uname"`)
		s := w.subject(typ, params)
		s.Want(t, drivers.Start, drivers.OK)
		w.put("busy", "")
		if res := s.Want(t, drivers.Stop, drivers.GenericError); !strings.Contains(res.Reason, "data") || !strings.Contains(res.Reason, "in use") {
			t.Errorf("%s: %s", typ, res.Reason)
		}
		s.Want(t, drivers.Monitor, drivers.OK)
		w.remove("busy")
		if typ == "LVM" { // the storage is gone, with the group still active
			s.Params = map[string]string{"volgrpname": "vgnope"}
			if err := os.Rename(filepath.Join(w.dir, "dev", "vgnfs"), filepath.Join(w.dir, "dev", "vgnope")); err != nil {
				t.Fatal(err)
			}
			if res := s.Want(t, drivers.Stop, drivers.GenericError); !strings.Contains(res.Reason, "vgnope is not to be seen any more, but its volumes data are active") {
				t.Error(res.Reason)
			}
			continue
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	s := w.subject("LVM", map[string]string{"volgrpname": "nope"})
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "volume group not found: nope") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	s.Params["volgrpname"] = "vgnfs"
	w.put("missing", "2")
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "2 physical volumes") {
		t.Error(res.Reason)
	}
	s.Params["partial_activation"] = "true"
	s.Want(t, drivers.Start, drivers.OK)
	if !strings.Contains(w.get("log"), "vgchange -aly --partial vgnfs") {
		t.Error(w.get("log"))
	}
	s.Want(t, drivers.Stop, drivers.OK)
	w.put("held", "")
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "not active after vgchange") {
		t.Error(res.Reason)
	}
	for _, c := range []struct {
		params, meta map[string]string
		rc           drivers.RC
		want         string
	}{
		{map[string]string{"vg_access_mode": "clvmd"}, nil, drivers.NotConfigured, "before 2.03"},
		{map[string]string{"vg_access_mode": "tagging", "activation_mode": "shared"}, nil, drivers.NotConfigured, "lvmlockd"},
		{map[string]string{"vg_access_mode": "system_id"}, nil, drivers.NotConfigured, "no system id"},
		{map[string]string{"vg_access_mode": "lvmlockd"}, nil, drivers.NotConfigured, "not shared"},
		{map[string]string{"vg_access_mode": "tagging", "lvname": "other"}, nil, drivers.NotConfigured, "no logical volume other"},
		{map[string]string{"vg_access_mode": "tagging"}, map[string]string{"clone_max": "2"}, drivers.NotConfigured, "activation_mode=shared"},
	} {
		w.put("missing", "0")
		c.params["vgname"] = "vgnfs"
		s := w.subject("LVM-activate", c.params)
		s.Meta = c.meta
		if res := s.Want(t, drivers.Start, c.rc); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%v: %s", c.params, res.Reason)
		}
	}
	bare := w.subject("LVM", map[string]string{"volgrpname": "vgnfs"})
	w.remove("bin/vgs")
	if res := bare.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, "program vgs is not installed") {
		t.Error(res.Reason)
	}
	bare.Want(t, drivers.Stop, drivers.OK)
}

func TestNames(t *testing.T) {
	for in, want := range map[string][2]string{"vg-lv": {"vg", "lv"}, "my--vg-my--lv": {"my-vg", "my-lv"}, "vg": {"vg", ""}} {
		if vg, lv := splitName(in); vg != want[0] || lv != want[1] {
			t.Errorf("%s: %s %s", in, vg, lv)
		}
	}
	if got := list(`["a", "@b" ]`); !reflect.DeepEqual(got, []string{"a", "@b"}) || list("[]") != nil {
		t.Errorf("%q", got)
	}
}

func FuzzSplitName(f *testing.F) {
	f.Add("a--b-c")
	f.Fuzz(func(t *testing.T, s string) {
		vg, lv := splitName(s)
		if len(vg)+len(lv) > len(s) {
			t.Errorf("%q became longer", s)
		}
	})
}

package apcsmart

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/fencing"
)

// fakeUPS answers at the other end of a pseudo-terminal.
type fakeUPS struct {
	mu       sync.Mutex
	on       bool
	down     bool // shutting down, in register 3
	grace    int  // index of values
	wake     int
	selected byte
	presses  map[byte]time.Time
	softDown bool // understands S
	silent   bool
	stuck    bool
	rubbish  bool
	dies     bool // with the output that it switches off
}

var graces, wakes = []string{"020", "180", "300", "000"}, []string{"060", "000"}

func (u *fakeUPS) answer(c byte) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	flag := func(b bool, v int) string {
		if !b {
			v = 0
		}
		return fmt.Sprintf("%02X\r\n", v)
	}
	if u.silent {
		return ""
	}
	if u.rubbish {
		return "%%%\r\n"
	}
	switch c {
	case 'Y':
		return "SM\r\n"
	case 'Q':
		return "08\r\n"
	case '~':
		return flag(!u.on, 0x41)
	case '8':
		return flag(u.down, 0x08)
	case 'p':
		u.selected = 'p'
		return graces[u.grace] + "\r\n"
	case 'r':
		u.selected = 'r'
		return wakes[u.wake] + "\r\n"
	case '-':
		if u.selected == 'p' {
			u.grace = (u.grace + 1) % len(graces)
		} else {
			u.wake = (u.wake + 1) % len(wakes)
		}
		return "OK\r\n"
	case 'S':
		if !u.softDown {
			return "NA\r\n"
		}
		return u.shutdown()
	case '@':
		return u.shutdown()
	case 'Z', 0x0e:
		if u.on == (c == 0x0e) {
			return "NA\r\n"
		}
		if t := u.presses[c]; !t.IsZero() && time.Since(t) > 30*time.Millisecond && time.Since(t) < 500*time.Millisecond && !u.stuck {
			u.on = c == 0x0e
			u.silent = u.dies
			delete(u.presses, c)
			return "OK\r\n"
		}
		u.presses[c] = time.Now()
	}
	return ""
}

func (u *fakeUPS) shutdown() string {
	if !u.stuck {
		time.AfterFunc(100*time.Millisecond, func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.down = true
		})
	}
	return "*"
}

// plug makes a pseudo-terminal with the UPS at one end and returns the other.
func (u *fakeUPS) plug(t *testing.T) string {
	t.Helper()
	u.presses = map[byte]time.Time{}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminal can be had: ", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	// An end that nobody has open gives errors at the other one.
	keep, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keep.Close() })
	tio, err := unix.IoctlGetTermios(int(keep.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	tio.Iflag, tio.Oflag, tio.Lflag = 0, 0, 0
	unix.IoctlSetTermios(int(keep.Fd()), unix.TCSETS, tio)
	go func() {
		b := make([]byte, 1)
		var zeros int
		for {
			if _, err := master.Read(b); err != nil {
				return
			}
			if b[0] == '@' {
				zeros = 3
				continue
			}
			if zeros > 0 {
				if zeros--; zeros > 0 {
					continue
				}
				b[0] = '@'
			}
			master.WriteString(u.answer(b[0]))
		}
	}()
	return path
}

func quick() *Method {
	m := New()
	m.pause, m.reply, m.between, m.poll = time.Millisecond, 1500*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	return m
}

func do(t *testing.T, m *Method, path, action string, params ...string) fencing.Outcome {
	p := map[string]string{"ttydev": path, "hostlist": "n1 n2", "power_timeout": "1", "stonith_status_sleep": "50ms"}
	for i := 0; i < len(params); i += 2 {
		p[params[i]] = params[i+1]
	}
	return m.Do(t.Context(), fencing.Call{Device: "ups", Action: action, Target: "N1", Plug: "N1", Params: p})
}

func TestPower(t *testing.T) {
	u := &fakeUPS{on: true, softDown: true, grace: 1}
	path := u.plug(t)
	for _, s := range []struct {
		action string
		power  fencing.Power
	}{{fencing.Monitor, 0}, {fencing.Status, fencing.PowerOn}, {fencing.Off, fencing.PowerOff}, {fencing.Status, fencing.PowerOff},
		{fencing.Off, fencing.PowerOff}, {fencing.On, fencing.PowerOn}, {fencing.Reboot, fencing.PowerOff}} {
		if o := do(t, quick(), path, s.action); o.Code != fencing.Succeeded || o.Power != s.power {
			t.Fatalf("%s: %+v", s.action, o)
		}
	}
	u.down = false
	if o := do(t, quick(), path, fencing.Reboot, "method", "onoff"); o.Code != fencing.Succeeded || u.down || !u.on {
		t.Errorf("off and on: %+v", o)
	}
	if u.grace != 1 || u.wake != 0 {
		t.Errorf("the settings were not restored: %s, %s", graces[u.grace], wakes[u.wake])
	}
	if o := do(t, quick(), path, fencing.List); !slices.Equal(o.Hosts, []string{"n1", "n2"}) {
		t.Errorf("list: %+v", o)
	}
}

func TestResetWithTheOtherCommand(t *testing.T) {
	u := &fakeUPS{on: true}
	if o := do(t, quick(), u.plug(t), fencing.Reboot); o.Code != fencing.Succeeded || o.Power != fencing.PowerOff {
		t.Errorf("outcome %+v", o)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		ups    *fakeUPS
		action string
		text   string
		params []string
	}{
		{"silent", &fakeUPS{silent: true}, fencing.Off, "does not answer", nil},
		{"rubbish", &fakeUPS{rubbish: true}, fencing.Off, "smart mode", nil},
		{"does nothing", &fakeUPS{on: true, stuck: true}, fencing.Off, "is on", nil},
		{"another's node", &fakeUPS{on: true}, fencing.Off, "hostlist", []string{"hostlist", "n7"}},
		{"no device", &fakeUPS{on: true}, fencing.Off, "no such file", []string{"ttydev", "/dev/nowhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if o := do(t, quick(), c.ups.plug(t), c.action, c.params...); o.Code != fencing.Failed || !strings.Contains(o.Text, c.text) || o.Hint == "" {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

func TestLineIsForOne(t *testing.T) {
	path := (&fakeUPS{on: true}).plug(t)
	f, err := openLine(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if o := do(t, quick(), path, fencing.Status); o.Code != fencing.Failed || !strings.Contains(o.Text, "somebody else") {
		t.Errorf("outcome %+v", o)
	}
}

package kdump

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/fencing"
)

func message(order binary.AppendByteOrder) []byte {
	return order.AppendUint32(order.AppendUint32(nil, magic), version)
}

func port(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port)
}

// send repeats a packet from an address of the loopback interface.
func send(t *testing.T, from, port string, packet []byte) {
	t.Helper()
	c, err := net.ListenPacket("udp4", from+":0")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := strconv.Atoi(port)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c.WriteTo(packet, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p})
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait(); c.Close() })
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name, from, node string
		packet           []byte
		ok               bool
	}{
		{"from the node", "127.0.0.2", "127.0.0.2", message(binary.LittleEndian), true},
		{"one of its addresses", "127.0.0.2", "127.0.0.9,127.0.0.2", message(binary.BigEndian), true},
		{"from another", "127.0.0.3", "127.0.0.2", message(binary.LittleEndian), false},
		{"rubbish", "127.0.0.2", "127.0.0.2", []byte("12345678"), false},
		{"too long", "127.0.0.2", "127.0.0.2", append(message(binary.LittleEndian), 0), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := port(t)
			send(t, c.from, p, c.packet)
			o := New().Do(t.Context(), fencing.Call{Action: fencing.Off, Params: map[string]string{"nodename": c.node, "ipport": p, "timeout": "1"}})
			if (o.Code == fencing.Succeeded) != c.ok {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

func TestTwoWaitAtOnePort(t *testing.T) {
	m, p := New(), port(t)
	send(t, "127.0.0.2", p, message(binary.LittleEndian))
	send(t, "127.0.0.3", p, message(binary.LittleEndian))
	var wg sync.WaitGroup
	for _, node := range []string{"127.0.0.2", "127.0.0.3"} {
		wg.Go(func() {
			if o := m.Do(t.Context(), fencing.Call{Action: fencing.Off, Target: node, Params: map[string]string{"ipport": p, "timeout": "3"}}); o.Code != fencing.Succeeded {
				t.Errorf("%s: %+v", node, o)
			}
		})
	}
	wg.Wait()
	if len(m.ports) != 0 {
		t.Error("the port is still open")
	}
}

func TestMonitor(t *testing.T) {
	m := New()
	for text, ok := range map[string]bool{"quiet crashkernel=256M ro\n": true, "quiet ro\n": false} {
		m.Cmdline = filepath.Join(t.TempDir(), "cmdline")
		os.WriteFile(m.Cmdline, []byte(text), 0o600)
		if o := m.Do(t.Context(), fencing.Call{Action: fencing.Monitor}); (o.Code == fencing.Succeeded) != ok {
			t.Errorf("%q: %+v", text, o)
		}
	}
	if o := m.Do(t.Context(), fencing.Call{Action: fencing.Off}); o.Code != fencing.Failed || !strings.Contains(o.Hint, "nodename") {
		t.Errorf("no node: %+v", o)
	}
}

// Anybody can send to the port.
func FuzzMessage(f *testing.F) {
	f.Add(message(binary.LittleEndian))
	f.Add(message(binary.BigEndian))
	f.Add([]byte("12345678"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if valid(b) && string(b) != string(message(binary.LittleEndian)) && string(b) != string(message(binary.BigEndian)) {
			t.Errorf("%x is taken for a message", b)
		}
	})
}

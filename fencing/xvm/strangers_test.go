package xvm

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gcrm/fencing"
)

// TestStrangersCallBack: anybody can connect to the port at which the answer
// of the host is waited for. That neither stands for an answer nor keeps the
// host's from being heard.
func TestStrangersCallBack(t *testing.T) {
	key := writeKey(t, "some secret")
	var strangers sync.WaitGroup
	asked := make(chan uint16, 64)
	port := fakeGroup(t, "some secret", func(r request, c net.Conn, n int) {
		b := byte(answerOff)
		switch r.Op {
		case OpHostList:
			c.Write([]byte{answerList})
			c.Write(encodeDomain(Domain{Name: "test"}))
			c.Write(make([]byte, recordSize))
			return
		}
		c.Write([]byte{b})
	}, func(r request) {
		// Before the host, and more than are heard at once.
		var open []net.Conn
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(r.Port)))
		for i := range 2 * maxCallers {
			c, err := net.Dial("tcp4", at)
			if err != nil {
				t.Errorf("stranger %d: %v", i, err)
				break
			}
			switch i % 4 {
			case 0: // says that all is done
				c.Write(make([]byte, 256))
			case 1: // answers with another key
				strangers.Go(func() { _ = respond(c, HashSHA256, []byte("a guess")); _ = challenge(c, HashSHA256, []byte("a guess")) })
			case 2:
				c.Close()
			}
			open = append(open, c)
		}
		asked <- r.Port
		strangers.Go(func() {
			for _, c := range open { // all are turned away, or left alone
				c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := io.Copy(io.Discard, c); err != nil {
					if n, ok := err.(net.Error); ok && n.Timeout() {
						t.Error("a stranger's connection stays open")
					}
				}
				c.Close()
			}
		})
	})
	goroutines := runtime.NumGoroutine()
	params := map[string]string{"ipport": strconv.Itoa(port), "key_file": key, "interface": "lo", "timeout": "60", "retrans": "100"}
	if o := ask(t, "fence_xvm", fencing.Status, params); o.Code != fencing.Succeeded || o.Power != fencing.PowerOff {
		t.Errorf("%+v", o)
	}
	if len(asked) == 0 {
		t.Error("nobody asked")
	}
	strangers.Wait()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines+2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// What a host answers, which has to have the key: no panic, a bounded list.
func FuzzAnswer(f *testing.F) {
	f.Add(slices.Concat(encodeDomain(Domain{Name: "vm", UUID: "u", On: true}), make([]byte, recordSize)))
	f.Add([]byte("HTTP/1.1 400 Bad Request"))
	f.Fuzz(func(t *testing.T, in []byte) {
		list, err := readDomains(bytes.NewReader(in))
		if len(list)*recordSize > len(in) {
			t.Errorf("%d machines in %d bytes", len(list), len(in))
		}
		for _, d := range list {
			if back, err := readDomains(bytes.NewReader(append(encodeDomain(d), make([]byte, recordSize)...))); err != nil || len(d.Name) < 64 && len(d.UUID) < 64 && (len(back) != 1 || back[0] != d) {
				t.Errorf("%+v became %+v, %v", d, back, err)
			}
		}
		stranger := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard}
		if challenge(stranger, HashSHA256, []byte("k")) == nil {
			t.Error("somebody without the key answered the challenge")
		}
		_ = err
	})
}

package xvm

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

func ask(t *testing.T, name, action string, params map[string]string, more ...string) fencing.Outcome {
	p := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return New(name).Do(ctx, fencing.Call{Device: "host", Action: action, Plug: "test", Target: "n1", Params: p})
}

// TestVirtGoesWrong: fence_virt over TCP with the real fence_virtd.
func TestVirtGoesWrong(t *testing.T) {
	key := writeKey(t, "some secret")
	port := realHost(t, "tcp", `address = "127.0.0.1"; family = "ipv4"; hash = "sha256"; auth = "sha256";`, key)
	params := map[string]string{"ipaddr": "127.0.0.1", "ipport": strconv.Itoa(port), "key_file": key, "timeout": "30", "power_timeout": "1"}
	at := func(addr string) []string {
		_, p, _ := net.SplitHostPort(addr)
		return []string{"ipport", p, "timeout", "1"}
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Hint: "key_file", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_virt", fencing.Off, params, "key_file", writeKey(t, "another"))
		}},
		methodtest.Timeout: {Hint: "fence_virtd", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_virt", fencing.Off, params, at(methodtest.Silent(t, "tcp", ""))...)
		}},
		methodtest.Garbage: {Hint: "hash and auth", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_virt", fencing.Off, params, at(methodtest.Silent(t, "tcp", "220 mail.example.org ESMTP, and what else there is to say to strangers, at length\r\n"))...)
		}},
		methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome {
			if o := ask(t, "fence_virt", fencing.Off, params); o.Code != fencing.Succeeded {
				t.Error(o)
			}
			defer ask(t, "fence_virt", fencing.On, params)
			return ask(t, "fence_virt", fencing.Off, params)
		}},
		methodtest.GoneMidway: {Text: "cannot be read", Hint: "fence_virtd runs", Do: func(t *testing.T) fencing.Outcome {
			r := methodtest.NewRelay(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			r.CutAfter(2) // the status before, and the order
			return ask(t, "fence_virt", fencing.Off, params, at(r.Addr)...)
		}},
	}, "some secret", "another")
}

// TestXVMGoesWrong: fence_xvm by multicast with the real fence_virtd, and a fake
// where that one cannot be made to go wrong.
func TestXVMGoesWrong(t *testing.T) {
	key := writeKey(t, "some secret")
	port := realHost(t, "multicast", `address = "225.0.0.12"; family = "ipv4"; interface = "lo"; hash = "sha256"; auth = "sha256";`, key)
	params := map[string]string{"ipport": strconv.Itoa(port), "key_file": key, "interface": "lo", "timeout": "30", "retrans": "5", "power_timeout": "1"}
	fake := func(t *testing.T, answer func(request, net.Conn, int)) []string {
		return []string{"ipport", strconv.Itoa(fakeGroup(t, "some secret", answer)), "timeout", "1"}
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		// A host drops what it cannot verify without a word.
		methodtest.WrongPassword: {Text: "no host answers", Hint: "its key", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_xvm", fencing.Off, params, "key_file", writeKey(t, "another"), "timeout", "2")
		}},
		methodtest.Timeout: {Hint: "fence_virtd", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_xvm", fencing.Off, params, fake(t, func(_ request, c net.Conn, _ int) { io.Copy(io.Discard, c) })...)
		}},
		methodtest.Garbage: {Text: "answer 72", Hint: "fence_virtd", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_xvm", fencing.Off, params, fake(t, func(_ request, c net.Conn, _ int) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n") })...)
		}},
		methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome {
			if o := ask(t, "fence_xvm", fencing.Off, params); o.Code != fencing.Succeeded {
				t.Error(o)
			}
			defer ask(t, "fence_xvm", fencing.On, params)
			return ask(t, "fence_xvm", fencing.Off, params)
		}},
		methodtest.GoneMidway: {Text: "cannot be read", Hint: "fence_virtd", Do: func(t *testing.T) fencing.Outcome {
			return ask(t, "fence_xvm", fencing.Off, params, fake(t, func(r request, c net.Conn, n int) {
				if n < 2 {
					c.Write([]byte{answerOK}) // on; the order is taken
				}
			})...)
		}},
	}, "some secret", "another")
}

// fakeGroup is a host that listens to multicast on the loopback interface. It
// answers the n-th question; from a function that writes nothing, the asker
// learns that the host has gone. What is given besides comes before it connects
// back.
func fakeGroup(t *testing.T, key string, answer func(r request, c net.Conn, n int), before ...func(request)) (port int) {
	t.Helper()
	port = freePort(t)
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenMulticastUDP("udp4", lo, &net.UDPAddr{IP: net.IPv4(225, 0, 0, 12), Port: port})
	if err != nil {
		t.Skip("SKIPPED: no multicast on the loopback interface: ", err)
	}
	t.Cleanup(func() { conn.Close() })
	if rc, err := conn.SyscallConn(); err == nil {
		rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1) })
	}
	go func() {
		b := make([]byte, 512)
		seen := map[uint32]bool{}
		for n := 0; ; {
			size, _, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			r, err := decode(b[:size], HashSHA256, []byte(key))
			if err != nil || seen[r.Seq] {
				continue
			}
			seen[r.Seq] = true
			for _, f := range before {
				f(r)
			}
			c, err := net.Dial("tcp4", net.JoinHostPort(r.Addr.String(), strconv.Itoa(int(r.Port))))
			if err != nil {
				continue
			}
			if respond(c, HashSHA256, []byte(key)) == nil && challenge(c, HashSHA256, []byte(key)) == nil {
				answer(r, c, n)
			}
			n++
			c.Close()
		}
	}()
	return port
}

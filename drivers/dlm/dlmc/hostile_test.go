package dlmc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/dlm"
)

// request is one as dlm_tool writes it.
func request(command uint32, name string) []byte {
	return header{Command: command, Name: name}.append(nil, nil)
}

// TestStrangers: everybody on a host can connect to these sockets. However many
// do and whatever they say, memory is bounded, and who asks is answered.
func TestStrangers(t *testing.T) {
	name := fmt.Sprintf("@gcrm-test-%d", os.Getpid())
	s, err := listen(Source{Report: func(context.Context) (dlm.Report, error) { return report(), nil }, Debug: func() string { return "log\n" }}, []string{name})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	goroutines := runtime.NumGoroutine()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range 2 * maxClients {
		c, err := net.Dial("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		switch i % 4 {
		case 1:
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"+strings.Repeat("x", headerSize))
		case 2:
			_, _ = c.Write(request(cmdLockspaces, "")[:headerSize/2])
		case 3:
			_, _ = c.Write(request(0xffffffff, strings.Repeat("x", nameSize)))
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines+maxClients+2 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	c, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(request(cmdDumpDebug, "")); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	answer := make([]byte, headerSize+4)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer[headerSize:]) != "log\n" {
		t.Errorf("%q, %v", answer, err)
	}
	for _, o := range open { // all are ended, not left waiting
		o.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, o); err != nil && os.IsTimeout(err) {
			t.Fatal("a stranger's connection stays open")
		}
	}
}

// Requests of any form: no panic, and an answer that is as long as it says.
func FuzzRequest(f *testing.F) {
	for c := range uint32(16) {
		f.Add(request(c, "kvm1"))
		f.Add(request(c, "nowhere"))
	}
	h := header{Command: cmdLockspaceNodes, Option: nodesNext, Data: 1, Name: "blocked"}
	f.Add(h.append(nil, nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := readHeader(bytes.NewReader(in))
		if err != nil {
			return
		}
		out := answer(h, report(), "what was logged\n")
		if h.Command == cmdDumpStatus { // records of their own, without a header
			if len(out) > 64<<10 {
				t.Errorf("%d bytes", len(out))
			}
			return
		}
		if len(out) < headerSize || len(out) > 64<<10 || binary.NativeEndian.Uint32(out[16:]) != uint32(len(out)) {
			t.Errorf("%+v: %d bytes, which say %d", h, len(out), binary.NativeEndian.Uint32(out[16:]))
		}
	})
}

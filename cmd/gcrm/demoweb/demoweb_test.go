package demoweb

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestServesUntilTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	var stdout, stderr bytes.Buffer
	if rc := Run(t.Context(), []string{"--listen", address}, "node2", &stdout, &stderr); rc != 1 ||
		!strings.Contains(stderr.String(), "address "+address+" is in use by another program") {
		t.Errorf("taken port: %d, %s", rc, stderr.String())
	}
	l.Close()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		done <- Run(ctx, []string{"--listen", address, "--page", "Hello there"}, "node2", io.Discard, io.Discard)
	}()
	var body string
	for range 100 {
		res, err := http.Get("http://" + address + "/")
		if err == nil {
			raw, _ := io.ReadAll(res.Body)
			res.Body.Close()
			body = string(raw)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if want := "Hello there\nserved by node2, process " + strconv.Itoa(os.Getpid()) + "\n"; body != want {
		t.Errorf("page %q, want %q", body, want)
	}
	cancel()
	if rc := <-done; rc != 0 {
		t.Errorf("orderly end gives %d", rc)
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"--port", "1"}, {"extra"}} {
		var stderr bytes.Buffer
		if rc := Run(t.Context(), args, "n", io.Discard, &stderr); rc != 2 || stderr.Len() == 0 {
			t.Errorf("%q: %d %s", args, rc, stderr.String())
		}
	}
	var stderr bytes.Buffer
	if rc := Run(t.Context(), []string{"--listen", "192.0.2.77:1"}, "n", io.Discard, &stderr); rc != 1 ||
		!strings.Contains(stderr.String(), "is not on this host") {
		t.Errorf("%d %s", rc, stderr.String())
	}
}

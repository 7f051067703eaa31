package daemon

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/ocf"
)

// A host says which agents serve where it has a script as well; a mistake ends the
// daemon before it does anything.
func TestAgentsOption(t *testing.T) {
	script := filepath.Join(ocf.DefaultRoot, "resource.d", "heartbeat", "IPaddr2")
	_, err := os.Stat(script)
	for list, native := range map[string]bool{"native": true, "script": false, "native,ocf:heartbeat:IPaddr2=script": false} {
		r, lerr := agentsOf(list)
		if lerr != nil {
			t.Fatalf("%q: %v", list, lerr)
		}
		native = native || err != nil // no such script on this host
		_, from, lerr := r.Lookup(drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "IPaddr2"})
		if lerr != nil || (from.Kind == "native") != native {
			t.Errorf("%q: %+v (%v), want native %v", list, from, lerr, native)
		}
	}
	var said bytes.Buffer
	if status := Command(t.Context(), []string{"--agents", "natve", "--state-dir", t.TempDir()}, nil, Streams{Out: io.Discard, Err: &said}); status == 0 || !strings.Contains(said.String(), `"natve" is neither script nor native`) {
		t.Errorf("status %d, said %q", status, &said)
	}
}

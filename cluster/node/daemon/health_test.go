package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// A disk that is about to be full is told, and one that is full too.
func TestHealthTellsOfTheDisk(t *testing.T) {
	t.Parallel() // it waits more than it works
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	h := newHost(t)
	if err := unix.Mount("none", h.dir, "tmpfs", 0, "size=40m,mode=0755"); err != nil {
		t.Skip("mounting is not allowed here: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(h.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if _, err := Init(InitOptions{StateDir: h.dir, Cluster: "c", Node: "n1", Address: freeAddress(t), Detection: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	h.run()
	c := h.client()
	members(t, c, "n1*")
	if out := problems(t, c); !strings.Contains(out, "MiB are free in "+h.dir) {
		t.Errorf("little space:\n%s", out)
	}
	f, err := os.Create(filepath.Join(h.dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	f.Close()
	// Whatever is written next fails.
	wait(t, "a full disk is told", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		c.Apply(ctx, cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "1", Name: "x", Value: strings.Repeat("x", 1<<20)}}}}})
		cancel()
		if out := problems(t, c); !strings.Contains(out, "cannot store its state") {
			return errors.New(out)
		}
		return nil
	})
	if err := os.Remove(filepath.Join(h.dir, "filler")); err != nil {
		t.Fatal(err)
	}
	wait(t, "it is well again", func() error {
		if out := problems(t, c); strings.Contains(out, "cannot store its state") || !strings.Contains(out, "MiB are free") {
			return errors.New(out)
		}
		return nil
	})
}

// problems are what "cluster health" would tell of the cluster and its nodes.
func problems(t *testing.T, c *client.HTTP) string {
	i, err := c.Info(t.Context())
	if err != nil {
		return err.Error()
	}
	mesh, err := c.Mesh(t.Context())
	if err != nil {
		return err.Error()
	}
	return strings.Join(i.Problems(mesh, time.Now()), "\n")
}

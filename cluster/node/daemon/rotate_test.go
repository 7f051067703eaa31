package daemon

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/client"
)

func (h *host) file(name string) string {
	b, err := os.ReadFile(filepath.Join(h.dir, pkiDir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

func (h *host) certificate() *x509.Certificate {
	block, _ := pem.Decode([]byte(h.file("node.pem")))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// Keys and authority are replaced while the cluster works; a node that is away
// holds it up, and does not lose its place.
func TestRotate(t *testing.T) {
	t.Parallel() // it waits more than it works
	hosts := cluster(t, 3, nil)
	id := filepath.Join(t.TempDir(), "id.pem")
	if out, status := hosts[0].command("admin-cert", "root", "--out", id); status != 0 {
		t.Fatal(out)
	}
	ca, key, leaf := hosts[1].file("ca.pem"), hosts[1].file("heartbeat.key"), hosts[1].certificate()
	if out, status := hosts[1].command("rotate"); status != 0 || !strings.Contains(out, "the old ones are gone") {
		t.Fatal(out)
	}
	if hosts[1].file("ca.pem") != ca {
		t.Error("the authority was replaced, too")
	}
	for _, h := range hosts { // a node takes the last step when it has the entry of the log
		wait(t, "the old heartbeat key is gone", func() error {
			if k := h.file("heartbeat.key"); k == key || strings.Count(k, "\n") != 1 || k != hosts[1].file("heartbeat.key") {
				return fmt.Errorf("it is %s", k)
			}
			return nil
		})
	}
	if hosts[1].certificate().SerialNumber.Cmp(leaf.SerialNumber) == 0 {
		t.Error("the node has its old certificate")
	}
	members(t, hosts[2].client(), "n1* n2* n3*")

	// The authority, with a node that is down at first.
	hosts[2].crash()
	members(t, hosts[0].client(), "n1* n2* (n3)*")
	c := hosts[0].client()
	wait(t, "the replacement waits for n3", func() error {
		i, err := c.Info(t.Context())
		if err == nil && i.Security.Replacing == "" {
			err = cmp.Or(c.Rotate(t.Context(), true), errors.New("it has begun"))
		}
		if err == nil && !slices.Equal(i.Security.Waits, []string{"n3"}) {
			err = fmt.Errorf("%+v", i.Security)
		}
		return err
	})
	if err := hosts[0].client().Rotate(t.Context(), true); err == nil || !strings.Contains(err.Error(), "being replaced already") {
		t.Errorf("a second replacement: %v", err)
	}
	if out := problems(t, c); !strings.Contains(out, "waits for n3") {
		t.Errorf("health:\n%s", out)
	}
	if hosts[0].file("ca.pem") != ca {
		t.Error("the new authority signs before every node knows it")
	}
	hosts[2].run()
	wait(t, "the authority is replaced", func() error {
		i, err := c.Info(t.Context())
		if err == nil && i.Security.Replacing != "" {
			err = fmt.Errorf("%+v", i.Security)
		}
		return err
	})
	members(t, hosts[2].client(), "n1* n2* n3*")
	for _, h := range hosts {
		wait(t, "the old authority is trusted no more", func() error {
			if h.file("ca.pem") == ca || h.file("ca-trusted.pem") != "" {
				return errors.New("it is trusted still")
			}
			return nil
		})
		block, _ := pem.Decode([]byte(h.file("ca.pem")))
		if authority, err := x509.ParseCertificate(block.Bytes); err != nil || h.certificate().CheckSignatureFrom(authority) != nil {
			t.Errorf("the node's certificate is not of the new authority: %v", err)
		}
	}
	// A token made before is of no use, and neither is an old identity.
	if c, err := client.DialTLS(hostAddress(t, hosts[0]), id, "test"); err == nil {
		if _, err := c.Info(t.Context()); err == nil {
			t.Error("an identity of the old authority is good")
		}
		c.Close()
	}
	// Nodes start on what is on their disks.
	for _, h := range hosts[:2] {
		h.crash()
		h.run()
		members(t, h.client(), "n1* n2* n3*")
	}
}

func hostAddress(t *testing.T, h *host) string {
	s, err := Load(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	return s.Addresses[0]
}

// Certificates that are good for seconds only are renewed while nodes run.
func TestCertificatesAreRenewed(t *testing.T) {
	t.Parallel() // it waits more than it works
	hosts := cluster(t, 2, func(h *host) { h.nodeLife = 8 * time.Second })
	for _, h := range hosts {
		first := h.certificate()
		wait(t, "the first certificate has ended", func() error {
			if left := time.Until(first.NotAfter); left > 0 {
				return fmt.Errorf("it is good for %v", left)
			}
			return nil
		})
		wait(t, "the certificate is renewed", func() error {
			if now := h.certificate(); !now.NotAfter.After(time.Now()) || now.SerialNumber.Cmp(first.SerialNumber) == 0 {
				return fmt.Errorf("it ends at %v", now.NotAfter)
			}
			return nil
		})
	}
	// Connections made now work.
	for _, h := range hosts {
		members(t, h.client(), "n1* n2*")
	}
	hosts[1].crash()
	hosts[1].run()
	members(t, hosts[1].client(), "n1* n2*")
}

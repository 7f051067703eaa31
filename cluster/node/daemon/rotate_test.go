package daemon

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/client"
)

// cluster starts hosts as one cluster.
func cluster(t *testing.T, n int, change func(*host)) []*host {
	t.Helper()
	var hosts []*host
	names := []string{"n1", "n2", "n3"}
	first := freeAddress(t)
	for i := range n {
		h := newHost(t)
		if change != nil {
			change(h)
		}
		if i == 0 {
			if _, err := Init(InitOptions{StateDir: h.dir, Cluster: "c", Node: names[0], Address: first, Detection: 600 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
		} else {
			token, err := hosts[0].client().Token(t.Context(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Join(t.Context(), JoinOptions{StateDir: h.dir, Node: names[i], Address: freeAddress(t), Contact: first, Token: token}); err != nil {
				t.Fatal(err)
			}
		}
		if h.nodeLife > 0 { // the first certificate is to be as short as the others
			for _, name := range []string{"node.pem", "node.key"} {
				if err := os.Remove(filepath.Join(h.dir, pkiDir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.run()
		hosts = append(hosts, h)
		members(t, h.client(), strings.Join(names[:i+1], "* ")+"*")
	}
	return hosts
}

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
	for _, h := range hosts {
		if k := h.file("heartbeat.key"); k == key || strings.Count(k, "\n") != 1 || k != hosts[0].file("heartbeat.key") {
			t.Errorf("heartbeat key: %s", k)
		}
	}
	if hosts[1].certificate().SerialNumber.Cmp(leaf.SerialNumber) == 0 {
		t.Error("the node has its old certificate")
	}
	members(t, hosts[2].client(), "n1* n2* n3*")

	// The authority, with a node that is down at first.
	hosts[2].crash()
	members(t, hosts[0].client(), "n1* n2* (n3)*")
	if err := hosts[0].client().Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	var info *client.Info
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if info, err = hosts[0].client().Info(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(info.Security.Waits) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing waits: %+v", info.Security)
		}
	}
	if err := hosts[0].client().Rotate(t.Context(), true); err == nil || !strings.Contains(err.Error(), "being replaced already") {
		t.Errorf("a second replacement: %v", err)
	}
	if out, _ := hosts[0].command("health"); !strings.Contains(out, "waits for n3") {
		t.Errorf("health:\n%s", out)
	}
	if hosts[0].file("ca.pem") != ca {
		t.Error("the new authority signs before every node knows it")
	}
	hosts[2].run()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		info, err := hosts[0].client().Info(t.Context())
		if err == nil && info.Security.Replacing == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not replaced: %+v, %v", info, err)
		}
	}
	members(t, hosts[2].client(), "n1* n2* n3*")
	for _, h := range hosts {
		if deadline := time.Now().Add(10 * time.Second); true {
			for h.file("ca-trusted.pem") != "" && time.Now().Before(deadline) {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if h.file("ca.pem") == ca || h.file("ca-trusted.pem") != "" {
			t.Error("the old authority is trusted still")
		}
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
	const life = 6 * time.Second
	hosts := cluster(t, 2, func(h *host) { h.nodeLife = life })
	first := hosts[0].certificate()
	serials := map[string]bool{}
	for end := time.Now().Add(2*life + time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		serials[hosts[0].certificate().SerialNumber.String()] = true
	}
	if len(serials) < 2 || hosts[0].certificate().NotAfter.Before(first.NotAfter) {
		t.Errorf("%d certificates in %v", len(serials), 2*life)
	}
	// Connections made now work.
	for _, h := range hosts {
		members(t, h.client(), "n1* n2*")
	}
	hosts[1].crash()
	hosts[1].run()
	members(t, hosts[1].client(), "n1* n2*")
	if bytes.Equal(first.Raw, hosts[0].certificate().Raw) {
		t.Error("the certificate is the first one still")
	}
}

package methodtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// SSHD is OpenSSH's daemon on loopback, with keys of its own. It lets one key
// in, for the user of the test, and runs nothing but the command that it was
// started with.
type SSHD struct {
	Port, User string
	// Key is the private key that it knows, Stranger one that it does not.
	Key, Stranger string
	// KnownHosts tells its host key.
	KnownHosts string

	process *os.Process
}

// StartSSHD starts it, or skips the test where it is not installed. The command
// runs in a shell, with what the client asked for in SSH_ORIGINAL_COMMAND.
func StartSSHD(t *testing.T, command string) *SSHD {
	t.Helper()
	program, err := exec.LookPath("sshd")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
			t.Skip("SKIPPED: the counterpart sshd is not installed (package openssh-server)")
		}
		program = "/usr/sbin/sshd"
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("SKIPPED: ssh is not installed (package openssh-client)")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if me.Uid == "0" {
		// The daemon insists on this folder, which the service makes otherwise.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip("SKIPPED: ", err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string, mode os.FileMode) string {
		if err := os.WriteFile(path(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	_, host := newKey(t)
	hostPublic := write("host", host.private, 0o600)
	_, client := newKey(t)
	_, stranger := newKey(t)
	write("authorized", "restrict,pty "+client.public+"\n", 0o600)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	s := &SSHD{Port: port, User: me.Username, Key: write("key", client.private, 0o600), Stranger: write("stranger", stranger.private, 0o600),
		KnownHosts: write("known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s\n", port, host.public), 0o600)}
	conf := write("conf", fmt.Sprintf(`ListenAddress 127.0.0.1:%s
HostKey %s
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile %s
ForceCommand %s
`, port, hostPublic, path("authorized"), write("command", "#!/bin/sh\n"+command+"\n", 0o755)), 0o600)
	cmd := exec.Command(program, "-D", "-e", "-f", conf)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		s.Freeze(false)
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("sshd says:\n%s", out.String())
		}
	})
	Until(t, "sshd listens", func() bool {
		select {
		case <-ended:
			t.Skipf("SKIPPED: sshd does not run here: %s", out.String())
		default:
		}
		c, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return s
}

// Freeze lets it take connections and answer none, or go on.
func (s *SSHD) Freeze(yes bool) {
	signal := unix.SIGCONT
	if yes {
		signal = unix.SIGSTOP
	}
	_ = s.process.Signal(signal)
}

type key struct{ private, public string }

// newKey makes a key in the format of OpenSSH, unencrypted.
func newKey(t *testing.T) (ed25519.PublicKey, key) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	blob := append(text([]byte("ssh-ed25519")), text(public)...)
	check := []byte{1, 2, 3, 4, 1, 2, 3, 4}
	secret := append(append(append(append(check, blob...), text(private)...), text(nil)...), 1)
	for pad := byte(1); len(secret)%8 != 0; {
		pad++
		secret = append(secret, pad)
	}
	all := append([]byte("openssh-key-v1\x00"), text([]byte("none"))...)
	all = append(append(all, text([]byte("none"))...), text(nil)...)
	all = append(append(append(all, 0, 0, 0, 1), text(blob)...), text(secret)...)
	return public, key{private: string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: all})),
		public: "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob)}
}

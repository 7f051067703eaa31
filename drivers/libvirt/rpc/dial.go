package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SocketDir is where daemons of this host listen.
const SocketDir = "/run/libvirt"

// NoDaemonError says that no libvirt daemon listens on this host.
type NoDaemonError struct{ Tried []string }

func (e *NoDaemonError) Error() string {
	return fmt.Sprintf("no libvirt daemon listens on this host (looked for %s): install libvirt-daemon-system and start its socket unit", strings.Join(e.Tried, ", "))
}

// Dial connects to the daemon of a libvirt URI and opens its hypervisor.
func Dial(ctx context.Context, uri string, o Options) (*Conn, error) {
	a, err := ParseAddress(uri)
	if err != nil {
		return nil, err
	}
	stream, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	c := NewConn(stream, o)
	if err := c.Open(ctx, a.Remote); err != nil {
		c.Close()
		return nil, fmt.Errorf("open %s: %w", a, err)
	}
	return c, nil
}

// String names the address for administrators.
func (a Address) String() string {
	remote := a.Remote
	if remote == "" {
		remote = "the hypervisor of this host"
	}
	switch {
	case a.Host != "":
		return remote + " on " + a.Host + " by " + a.Transport
	case a.Query.Get("socket") != "":
		return remote + " at " + a.Query.Get("socket")
	}
	return remote
}

func (a Address) connect(ctx context.Context) (io.ReadWriteCloser, error) {
	var dialer net.Dialer
	switch a.Transport {
	case "unix":
		sockets := a.Sockets(SocketDir)
		for _, path := range sockets {
			conn, err := dialer.DialContext(ctx, "unix", path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("libvirt daemon at %s: %w", path, err)
			}
			return conn, nil
		}
		return nil, &NoDaemonError{Tried: sockets}
	case "tcp":
		conn, err := dialer.DialContext(ctx, "tcp", a.HostPort())
		if err != nil {
			return nil, fmt.Errorf("libvirt daemon of %s (is listen_tcp set, or libvirtd-tcp.socket started there?): %w", a.Host, err)
		}
		return conn, nil
	case "tls":
		return a.dialTLS(ctx)
	}
	return dialCommand(a.SSHCommand(SocketDir))
}

// dialTLS connects with the certificates of libvirt's usual places.
func (a Address) dialTLS(ctx context.Context) (io.ReadWriteCloser, error) {
	ca, cert, key := "/etc/pki/CA/cacert.pem", "/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"
	if dir := a.Query.Get("pkipath"); dir != "" {
		ca, cert, key = filepath.Join(dir, "cacert.pem"), filepath.Join(dir, "clientcert.pem"), filepath.Join(dir, "clientkey.pem")
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("certificate authority for libvirt over tls: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate for libvirt over tls: %w", err)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: a.Host,
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.Query.Get("no_verify") == "1"}}
	conn, err := dialer.DialContext(ctx, "tcp", a.HostPort())
	if err != nil {
		return nil, fmt.Errorf("libvirt daemon of %s over tls: %w", a.Host, err)
	}
	// One byte says that the daemon took our certificate.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var verdict [1]byte
	if _, err := io.ReadFull(conn, verdict[:]); err != nil || verdict[0] != 1 {
		conn.Close()
		return nil, fmt.Errorf("libvirt daemon of %s refuses the client certificate %s (%v)", a.Host, cert, err)
	}
	return conn, nil
}

// command is a connection over the input and output of a program.
type command struct {
	io.Reader
	io.WriteCloser
	out    io.Closer
	cmd    *exec.Cmd
	stderr *tail
	said   chan struct{} // closed when the program's error output ended
}

func dialCommand(argv []string) (io.ReadWriteCloser, error) {
	c := &command{cmd: exec.Command(argv[0], argv[1:]...), stderr: &tail{}, said: make(chan struct{})}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	complaints, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.Reader, c.WriteCloser, c.out = out, in, out
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("way to the libvirt daemon: %w", err)
	}
	go func() {
		defer close(c.said)
		_, _ = io.Copy(c.stderr, complaints)
	}()
	return c, nil
}

// Read tells what the program complained of when its output ends.
func (c *command) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		err = c.complaint(err)
	}
	return n, err
}

// Write tells what the program complained of when it reads no more.
func (c *command) Write(b []byte) (int, error) {
	n, err := c.WriteCloser.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = c.complaint(err)
	}
	return n, err
}

// complaint is the program's last line, if it left one: it comes by another
// pipe than the end of the connection, so it is waited for, though not for
// longer than something the program left behind holds that pipe.
func (c *command) complaint(err error) error {
	select {
	case <-c.said:
	case <-time.After(time.Second):
	}
	if text := c.stderr.text(); text != "" {
		return fmt.Errorf("%s: %s", c.cmd.Args[0], text)
	}
	return err
}

// Close ends the program and what it started.
func (c *command) Close() error {
	err := c.WriteCloser.Close()
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
	c.out.Close()
	go func() { _ = c.cmd.Wait() }()
	return err
}

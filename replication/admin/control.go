package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Call is a command to the process of a resource.
type Call struct {
	Command string `json:"command"`
	Force   bool   `json:"force,omitempty"`
	Discard bool   `json:"discard_my_data,omitempty"`
	Stop    bool   `json:"stop,omitempty"`    // of down: end the keeper, too
	Sectors uint64 `json:"sectors,omitempty"` // of resize: 0 for all there is
	Clean   bool   `json:"assume_clean,omitempty"`
	Volume  *int   `json:"volume,omitempty"` // one of several; nil for all
}

// Answer is what came of it. Events get one for every change.
type Answer struct {
	Error  string  `json:"error,omitempty"`
	Code   int     `json:"code,omitempty"` // exit code
	Status *Status `json:"status,omitempty"`
}

// Folder is where the sockets and state files of the processes lie.
type Folder string

// DefaultFolder is the one of the host.
const DefaultFolder Folder = "/run/gcrm/volume"

// Control is the socket for commands, NBD the one for clients of the device, State
// what the process was told to be, Log where a process in the background writes.
func (f Folder) Control(resource string) string { return filepath.Join(string(f), resource+".sock") }
func (f Folder) NBD(resource string) string     { return filepath.Join(string(f), resource+".nbd") }
func (f Folder) State(resource string) string   { return filepath.Join(string(f), resource+".state") }
func (f Folder) Log(resource string) string     { return filepath.Join(string(f), resource+".log") }

// Mount is the FUSE file of a volume, by its Name.
func (f Folder) Mount(volume string) string {
	return filepath.Join(string(f), strings.ReplaceAll(volume, "/", ":")+".fuse")
}

// ShouldRun tells whether a process of this boot was told to serve the resource and
// not told to stop: if none answers, one is on its way.
func (f Folder) ShouldRun(resource string) bool {
	b, err := os.ReadFile(f.State(resource))
	var w wanted
	return err == nil && json.Unmarshal(b, &w) == nil && w.Boot == bootID()
}

// ErrNotRunning says that no process serves the resource.
var ErrNotRunning = errors.New("no process serves the resource; gcrm volume up starts one")

// Client talks to the process of a resource.
type Client struct {
	c  net.Conn
	in *json.Decoder
}

// Dial connects to the process of a resource.
func (f Folder) Dial(resource string) (*Client, error) {
	c, err := net.Dial("unix", f.Control(resource))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, fmt.Errorf("%s: %w", resource, ErrNotRunning)
	}
	if err != nil {
		return nil, err
	}
	return &Client{c, json.NewDecoder(c)}, nil
}

// Close ends the conversation.
func (c *Client) Close() error { return c.c.Close() }

// Do gives a command and waits for the answer.
func (c *Client) Do(ctx context.Context, call Call) (*Answer, error) {
	stop := context.AfterFunc(ctx, func() { c.c.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewEncoder(c.c).Encode(call); err != nil {
		return nil, fmt.Errorf("%s: %w", call.Command, err)
	}
	return c.Next()
}

// Next waits for the next answer of events.
func (c *Client) Next() (*Answer, error) {
	var a Answer
	if err := c.in.Decode(&a); err != nil {
		return nil, fmt.Errorf("the process of the resource went away: %w", err)
	}
	return &a, nil
}

// Call is Dial, Do and Close.
func (f Folder) Call(ctx context.Context, resource string, call Call) (*Answer, error) {
	c, err := f.Dial(resource)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(ctx, call)
}

// allowed tells whether whoever is at the other end of a unix socket may give
// commands.
func allowed(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		ok = err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
	})
	return err == nil && ok
}

// listenPrivate makes a socket that replaces one a dead process left.
func listenPrivate(path string) (*net.UnixListener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: another process listens", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	unix.Umask(old)
	return l, err
}

// serveControl answers commands until the listener is closed.
func serveControl(l *net.UnixListener, answer func(Call, func(Answer) bool)) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		if !allowed(c) {
			c.Close()
			continue
		}
		go func() {
			defer c.Close()
			in := bufio.NewReaderSize(c, 4096)
			out := json.NewEncoder(c)
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				var call Call
				if err := json.Unmarshal(line, &call); err != nil {
					out.Encode(Answer{Error: "not a command: " + err.Error(), Code: exitUsage})
					return
				}
				answer(call, func(a Answer) bool { return out.Encode(a) == nil })
			}
		}()
	}
}

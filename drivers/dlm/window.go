package dlm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Questions that the control process answers.
const (
	askReport  = "report"
	askJournal = "journal"
	askGiveUp  = "give up: "
)

const windowLimit = 10 * time.Second

// OpenWindow answers questions on the control process's socket, which is root's.
func OpenWindow(f Folder, c *Control, j *Journal) (io.Closer, error) {
	if err := f.Make(); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", f.Socket())
	if err != nil {
		return nil, fmt.Errorf("socket of the lock manager's control: %w", err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(windowLimit))
				_ = answer(conn, c, j) // who asked is gone
			}()
		}
	}()
	return l, nil
}

// reply is an answer on the socket.
type reply struct {
	Error   string  `json:",omitempty"`
	Report  *Report `json:",omitempty"`
	Journal string  `json:",omitempty"`
}

func answer(conn net.Conn, c *Control, j *Journal) error {
	line, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	if err != nil {
		return err
	}
	var r reply
	question := strings.TrimSpace(line)
	if why, ok := strings.CutPrefix(question, askGiveUp); ok {
		c.GiveUp(why)
		return json.NewEncoder(conn).Encode(r)
	}
	switch question {
	case askReport:
		ctx, cancel := context.WithTimeout(context.Background(), windowLimit)
		defer cancel()
		report, err := c.Report(ctx)
		if err != nil {
			r.Error = err.Error()
		} else {
			r.Report = &report
		}
	case askJournal:
		r.Journal = j.Text()
	default:
		r.Error = "unknown question"
	}
	return json.NewEncoder(conn).Encode(r)
}

// ErrNotRunning says that the lock manager has no control process here.
var ErrNotRunning = errors.New("the lock manager is not controlled on this node: no resource with the agent ocf:pacemaker:controld runs here")

// Report asks the control process of the folder how it is.
func (f Folder) Report(ctx context.Context) (Report, error) {
	r, err := f.ask(ctx, askReport)
	if err == nil && r.Report == nil {
		err = errors.New("the lock manager's control gave no answer")
	}
	if err != nil {
		return Report{}, err
	}
	return *r.Report, nil
}

// Journal returns the last part of the control process's log.
func (f Folder) Journal(ctx context.Context) (string, error) {
	r, err := f.ask(ctx, askJournal)
	return r.Journal, err
}

// GiveUp makes the control process end although lockspaces are in use, so that
// the node is fenced.
func (f Folder) GiveUp(ctx context.Context, why string) error {
	_, err := f.ask(ctx, askGiveUp+strings.ReplaceAll(why, "\n", " "))
	return err
}

// ask asks the control process.
func (f Folder) ask(ctx context.Context, question string) (reply, error) {
	var r reply
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", f.Socket())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return r, ErrNotRunning
	}
	if err != nil {
		return r, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(windowLimit))
	if _, err := io.WriteString(conn, question+"\n"); err != nil {
		return r, err
	}
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return r, fmt.Errorf("the lock manager's control does not answer: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// Journal keeps the last part of a log.
type Journal struct {
	mu   sync.Mutex
	text []byte
}

const journalLimit = 256 << 10

// Write implements io.Writer.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, p...)
	if over := len(j.text) - journalLimit; over > journalLimit/4 {
		j.text = append([]byte(nil), j.text[over:]...)
	}
	return len(p), nil
}

// Text is what is kept.
func (j *Journal) Text() string {
	if j == nil {
		return ""
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

package apcsmart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/fencing"
)

// line is a serial line to a UPS: characters are sent slowly, answers end with
// a line feed, and a lone star is an answer of its own.
type line struct {
	port  io.ReadWriteCloser
	pause time.Duration // after each character
	reply time.Duration // how long an answer may take
	in    chan byte
	errs  chan error
}

// openLine opens a serial device for this program alone: 2400 baud, 8N1, raw.
func openLine(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	fail := func(what string, err error) (*os.File, error) {
		f.Close()
		return nil, fmt.Errorf("%s: %s: %w", path, what, err)
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return fail("serial line", err)
	}
	var inner error
	err = rc.Control(func(fd uintptr) {
		if inner = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); inner != nil {
			inner = fmt.Errorf("somebody else uses the line: %w", inner)
			return
		}
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			inner = err
			return
		}
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B2400
		t.Ispeed, t.Ospeed = unix.B2400, unix.B2400
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		if inner = unix.IoctlSetTermios(int(fd), unix.TCSETS, t); inner == nil {
			inner = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIOFLUSH)
		}
	})
	if err = errors.Join(err, inner); err != nil {
		return fail("serial line", err)
	}
	return f, nil
}

func newLine(port io.ReadWriteCloser) *line {
	l := &line{port: port, pause: 50 * time.Millisecond, reply: 3 * time.Second, in: make(chan byte, 256), errs: make(chan error, 1)}
	go func() {
		b := make([]byte, 64)
		for {
			n, err := port.Read(b)
			for _, c := range b[:n] {
				select {
				case l.in <- c:
				default: // nobody reads: the line talks rubbish
				}
			}
			if err != nil {
				l.errs <- err
				return
			}
		}
	}()
	return l
}

// ask sends a command and returns the answer.
func (l *line) ask(ctx context.Context, command string) (string, error) {
	for len(l.in) > 0 { // what came unasked
		<-l.in
	}
	for i := range len(command) {
		if _, err := l.port.Write([]byte{command[i]}); err != nil {
			return "", err
		}
		if !fencing.Sleep(ctx, l.pause) {
			return "", ctx.Err()
		}
	}
	timer := time.NewTimer(l.reply)
	defer timer.Stop()
	var answer strings.Builder
	for {
		select {
		case c := <-l.in:
			switch {
			case c == '\r':
			case c == '\n':
				return answer.String(), nil
			case c == '*' && answer.Len() == 0:
				return "*", nil
			case answer.Len() > 64:
				return "", errors.New("the UPS talks without an end")
			default:
				answer.WriteByte(c)
			}
		case err := <-l.errs:
			return "", err
		case <-timer.C:
			return "", errSilent
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

var errSilent = errors.New("the UPS does not answer")

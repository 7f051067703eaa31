package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"gcrm/cluster/client"
)

// An AuditLog keeps who did what, from where, when, and what came of it: one
// JSON object a line, in a file that is replaced when it is full. It is not
// replicated: each node tells what was asked of it.
type AuditLog struct {
	path string
	log  *slog.Logger
	// limit is the size at which a file is full; files older ones are kept.
	limit int64
	files int

	mu   sync.Mutex
	file *os.File
	size int64
}

const (
	auditLimit = 4 << 20
	auditFiles = 4
)

// OpenAuditLog opens the log in a file, which is made if it is missing.
func OpenAuditLog(path string, log *slog.Logger) (*AuditLog, error) {
	a := &AuditLog{path: path, log: log, limit: auditLimit, files: auditFiles}
	return a, a.open()
}

func (a *AuditLog) open() error {
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("audit log: %w", err)
	}
	a.file, a.size = f, st.Size()
	return nil
}

// Close closes the file.
func (a *AuditLog) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

// Record appends an entry. What cannot be written, to a full disk for example,
// goes to the daemon's log instead.
func (a *AuditLog) Record(e client.AuditEntry) {
	if a == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		a.mu.Lock()
		err = a.append(append(line, '\n'))
		a.mu.Unlock()
	}
	if err != nil {
		a.log.Error("the audit log could not be written", "entry", string(line), "err", err)
	}
}

func (a *AuditLog) append(line []byte) error {
	if a.file == nil {
		return fs.ErrClosed
	}
	if a.size > 0 && a.size+int64(len(line)) > a.limit {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	n, err := a.file.Write(line)
	a.size += int64(n)
	if err == nil {
		err = a.file.Sync()
	}
	return err
}

func (a *AuditLog) name(i int) string {
	if i == 0 {
		return a.path
	}
	return a.path + "." + strconv.Itoa(i)
}

func (a *AuditLog) rotate() error {
	for i := a.files - 1; i >= 0; i-- {
		if err := os.Rename(a.name(i), a.name(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	old := a.file
	if err := a.open(); err != nil {
		return err
	}
	return old.Close()
}

// Last returns the last entries, the latest last.
func (a *AuditLog) Last(n int) ([]client.AuditEntry, error) {
	if a == nil || n <= 0 {
		return []client.AuditEntry{}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []client.AuditEntry
	for i := 0; i <= a.files && len(all) < n; i++ {
		b, err := os.ReadFile(a.name(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var entries []client.AuditEntry
		lines := bufio.NewScanner(bytes.NewReader(b))
		lines.Buffer(nil, auditLimit)
		for lines.Scan() {
			var e client.AuditEntry
			if json.Unmarshal(lines.Bytes(), &e) == nil { // a torn line is skipped
				entries = append(entries, e)
			}
		}
		all = append(entries, all...)
	}
	return append([]client.AuditEntry{}, all[max(0, len(all)-n):]...), nil
}

func (s *Server) auditList(r *http.Request) (any, error) {
	n := 100
	if text := r.FormValue("last"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			return nil, malformed(fmt.Errorf("last: %q is no number of entries", text))
		}
	}
	return s.trail.Last(n)
}

// recorder keeps what a handler answered.
type recorder struct {
	http.ResponseWriter
	err  string
	what string
}

// Unwrap gives access to the writer's other abilities.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type recorderKey struct{}

// note says for the audit log what a request is about.
func note(r *http.Request, what string) {
	if rec, ok := r.Context().Value(recorderKey{}).(*recorder); ok {
		rec.what = what
	}
}

// maxWhat bounds what one entry says.
const maxWhat = 2000

// audited records requests that change something.
func (s *Server) audited(r route, next http.Handler) http.Handler {
	if !r.changes {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rec := &recorder{ResponseWriter: w, what: r.help}
		begin := time.Now()
		next.ServeHTTP(rec, req.WithContext(context.WithValue(req.Context(), recorderKey{}, rec)))
		id := identityOf(req)
		if len(rec.what) > maxWhat {
			rec.what = rec.what[:maxWhat] + "..."
		}
		e := client.AuditEntry{Time: begin, Node: s.node, User: id.User, UID: id.UID, Via: id.Via, From: id.From,
			Request: r.method + " " + r.path, What: rec.what, Result: "done", Error: rec.err, Milliseconds: time.Since(begin).Milliseconds()}
		if rec.err != "" {
			e.Result = "failed"
		}
		s.trail.Record(e)
		level := slog.LevelInfo
		if r.need == administer || rec.err != "" {
			level = slog.LevelWarn
		}
		s.log.Log(req.Context(), level, "request", "user", e.User, "via", e.Via, "from", e.From, "what", e.What, "result", e.Result, "err", e.Error)
	})
}

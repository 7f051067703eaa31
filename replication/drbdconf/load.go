package drbdconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// Source is the file system Load reads from. Every field must be set.
type Source struct {
	// ReadFile gives the content of a file.
	ReadFile func(path string) ([]byte, error)
	// Glob lists the files matching a shell pattern, sorted.
	Glob func(pattern string) ([]string, error)
	// RealPath gives one canonical name per file, to include each file only once.
	RealPath func(path string) (string, error)
}

// OS is the host's file system.
func OS() Source {
	return Source{
		ReadFile: os.ReadFile,
		Glob:     filepath.Glob,
		RealPath: func(path string) (string, error) {
			abs, err := filepath.Abs(path)
			if err != nil {
				return "", err
			}
			return filepath.EvalSymlinks(abs)
		},
	}
}

// DefaultFiles are the places drbdadm of DRBD 8.4 looks for its configuration, in
// its order; the first that exists is used.
func DefaultFiles() []string {
	return []string{"/etc/drbd-84.conf", "/etc/drbd-83.conf", "/etc/drbd-82.conf", "/etc/drbd-08.conf", "/etc/drbd.conf"}
}

// maxIncludeDepth stops chains of includes; a file is never read twice anyway.
const maxIncludeDepth = 16

// Load reads path and its includes from src. The error is an ErrorList.
func Load(src Source, path string) (*Config, error) {
	l := newLoader(src)
	l.file(path, 0, nil)
	return l.finish(path)
}

// Parse reads configuration text. Includes are resolved through src relative to
// the directory of name; name appears in messages.
func Parse(src Source, name, text string) (*Config, error) {
	l := newLoader(src)
	l.text(name, text, 0)
	return l.finish(name)
}

type loader struct {
	*interpreter
	src  Source
	seen map[string]bool
}

func newLoader(src Source) *loader {
	return &loader{src: src, seen: map[string]bool{}, interpreter: newInterpreter()}
}

func (l *loader) finish(path string) (*Config, error) {
	l.cfg.Path = path
	// A file that could not be parsed would only cause complaints about what is
	// missing in it.
	if len(l.p.errs) == 0 {
		l.check()
	}
	if len(l.p.errs) > 0 {
		sortByPlace(l.p.errs)
		return nil, l.p.errs
	}
	l.cfg.Warnings = l.p.warnings
	return l.cfg, nil
}

func (l *loader) file(path string, depth int, from *word) {
	fail := func(err error) {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		if from != nil {
			l.p.errorf(from.Pos, from.width(), "", "include %s: %v", path, err)
			return
		}
		l.p.errs = append(l.p.errs, &Error{File: path, Msg: err.Error()})
	}
	real, err := l.src.RealPath(path)
	if err != nil {
		fail(err)
		return
	}
	if l.seen[real] {
		return
	}
	l.seen[real] = true
	text, err := l.src.ReadFile(path)
	if err != nil {
		fail(err)
		return
	}
	l.text(path, string(text), depth)
}

func (l *loader) text(name, text string, depth int) {
	doc := parseText(l.p, name, text)
	if doc == nil {
		return
	}
	for _, it := range doc.Items {
		if it.Skip != nil {
			continue
		}
		if it.Stmt.Words[0].Bare == "include" {
			l.include(name, it.Stmt, depth)
			continue
		}
		l.topLevel(it.Stmt)
	}
}

func (l *loader) include(file string, s *statement, depth int) {
	if s.Body != nil || len(s.Words) != 2 || !s.Words[1].isName() {
		l.p.errorf(s.Pos, len("include"), `write include "PATTERN";`, "malformed include")
		return
	}
	w := s.Words[1]
	if depth >= maxIncludeDepth {
		l.p.errorf(w.Pos, w.width(), "", "includes are nested more than %d deep", maxIncludeDepth)
		return
	}
	pattern := w.text()
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(file), pattern)
	}
	if !strings.ContainsAny(pattern, "*?[") {
		l.file(pattern, depth+1, w)
		return
	}
	matches, err := l.src.Glob(pattern)
	if err != nil {
		l.p.errorf(w.Pos, w.width(), "", "include %s: %v", pattern, err)
		return
	}
	slices.Sort(matches)
	for _, m := range matches {
		l.file(m, depth+1, w)
	}
}

// where names a position in a message.
func where(pos lexer.Position) string {
	return fmt.Sprintf("%s:%d:%d", pos.Filename, pos.Line, pos.Column)
}

package shell

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

func reportVerb() *Verb {
	return &Verb{Name: "report", Help: "Pack what is needed to understand a problem into one file, without passwords.",
		Long: "It has the configuration as text and XML, the status, what verify says, the plan, what happened,\n" +
			"members and links, and this host's journal of the daemon (the last 12 hours, or since -f TIME).\n" +
			"Values of parameters whose names speak of secrets are replaced by stars everywhere.",
		Example: "report problem.tar.gz", Args: []Arg{any0("option", argFile)}, Observes: true, run: runReport}
}

// secretGlobs are the names of attributes that do not leave the host.
func secretGlobs() []string {
	return []string{"*passw*", "*secret*", "*token*", "*communit*", "*credential*", "*key", "*key_*", "login"}
}

// archive is a compressed tar file in the making.
type archive struct {
	gz     *gzip.Writer
	tar    *tar.Writer
	folder string
	now    time.Time
	// secrets are replaced in everything that is added.
	secrets *strings.Replacer
}

func (a *archive) add(name, text string) error {
	text = a.secrets.Replace(text)
	h := &tar.Header{Name: path.Join(a.folder, name), Mode: 0o600, Size: int64(len(text)), ModTime: a.now}
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.WriteString(a.tar, text)
	return err
}

func runReport(ctx context.Context, s *Session, c *call) error {
	file, from := "", s.cfg.Now().Add(-12*time.Hour).Format("2006-01-02 15:04:05")
	for i := 0; i < len(c.words); i++ {
		switch w := c.words[i].Text; {
		case (w == "-f" || w == "--from") && i+1 < len(c.words):
			i++
			from = c.words[i].Text
		case strings.HasPrefix(w, "-") || file != "":
			return problemf("%s: what is %s?", c.path, w).at(c.at(i)).hinting("it may be -f TIME and the name of a file")
		default:
			file = w
		}
	}
	if file == "" {
		file = "gcrm-report-" + s.cfg.Now().Format("20060102-150405") + ".tar.gz"
	}
	doc, err := s.current(ctx)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return problemf("%s: %v", c.path, err).hinting("name a file that does not exist")
	}
	err = s.writeReport(ctx, out, strings.TrimSuffix(path.Base(file), ".tar.gz"), doc, from)
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(file)
		return err
	}
	s.msg.info("%s was written; look at it before you give it away", file)
	return nil
}

func (s *Session) writeReport(ctx context.Context, out io.Writer, folder string, doc *cib.CIB, from string) error {
	a := &archive{gz: gzip.NewWriter(out), folder: folder, now: s.cfg.Now(), secrets: secretsOf(doc)}
	a.tar = tar.NewWriter(a.gz)
	files := []struct {
		name string
		text func() (string, error)
	}{
		{"configuration.crm", func() (string, error) {
			return grammar.Print(doc, grammar.PrintOptions{Obscure: secretGlobs(), SetIDs: true}), nil
		}},
		{"cib.xml", func() (string, error) { return obscureXML(doc.Root, secretGlobs()).String(), nil }},
		{"status.txt", func() (string, error) { return s.captured(ctx, "status", "full") }},
		{"verify.txt", func() (string, error) { return s.captured(ctx, "verify") }},
		{"plan.txt", func() (string, error) { return s.captured(ctx, "simulate") }},
		{"history.txt", func() (string, error) { return s.captured(ctx, "history", "log") }},
		{"members.txt", func() (string, error) { return s.captured(ctx, "membership", "status") }},
		{"links.txt", func() (string, error) { return s.captured(ctx, "membership", "links") }},
		{"journal.txt", func() (string, error) { return journal(ctx, from) }},
	}
	for _, f := range files {
		if _, live := s.cluster.(client.Linker); !live && (f.name == "members.txt" || f.name == "links.txt") {
			continue
		}
		text, err := f.text()
		if err != nil {
			text += fmt.Sprintf("(not complete: %v)\n", err)
		}
		if err := a.add(f.name, text); err != nil {
			return err
		}
	}
	return errors.Join(a.tar.Close(), a.gz.Close())
}

// captured runs a command and returns what it prints.
func (s *Session) captured(ctx context.Context, args ...string) (string, error) {
	var b bytes.Buffer
	cfg := s.cfg
	cfg.Out, cfg.Err, cfg.Format, cfg.Display, cfg.Interactive = &b, &b, "text", Display{}, false
	t := NewSession(cfg)
	t.cluster, t.catalog = s.cluster, s.catalog
	t.run(ctx, &sourceLine{line: grammar.ReadArguments("", args)})
	return b.String(), ctx.Err()
}

// secretsOf finds the secret values of a configuration, to be removed wherever
// they turn up. Short ones would take harmless text with them.
func secretsOf(doc *cib.CIB) *strings.Replacer {
	var pairs []string
	doc.Configuration().Walk(func(e *cib.Element) bool {
		if v := e.Get("value"); e.Name == "nvpair" && len(v) >= 6 && isObscured(e.Get("name"), secretGlobs()) {
			pairs = append(pairs, v, "******")
		}
		return true
	})
	return strings.NewReplacer(pairs...)
}

// journal reads what the daemon told the journal of this host.
func journal(ctx context.Context, from string) (string, error) {
	program, err := exec.LookPath("journalctl")
	if err != nil {
		return "", errors.New("this host has no journal")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--no-pager", "-o", "short-iso", "-t", "gcrm", "-u", "gcrm", "--since", from).CombinedOutput()
	assigned := regexp.MustCompile(`(?i)((?:passw|secret|token|communit|credential)[a-z0-9_-]*["']?\s*[=:]\s*)\S+`)
	return assigned.ReplaceAllString(string(out), "${1}******"), err
}

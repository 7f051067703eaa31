package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"

	"gcrm/grammar"
)

// Interact is the prompt: it reads commands from a terminal until the user
// leaves. The exit status of the program is 0 then, whatever failed before.
func (s *Session) Interact(ctx context.Context, in, out *os.File) error {
	rd, err := newTerminal(in, out, s.historyFile(), s.color)
	if err != nil {
		return err
	}
	defer rd.Close()
	// Ctrl-C between two prompts must not end the program.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	return s.converse(ctx, rd)
}

// converse runs the prompt on any line reader.
func (s *Session) converse(ctx context.Context, rd lineReader) error {
	s.cfg.Interactive = true
	complete := func(line string, pos int) []Candidate { return s.Complete(ctx, line, pos) }
	s.cfg.Ask = func(prompt string) (string, error) {
		rd.SetCompleter(nil)
		defer rd.SetCompleter(complete)
		return rd.Answer(prompt)
	}
	s.cfg.AskHidden = func(prompt string) (string, error) {
		rd.SetCompleter(nil)
		defer rd.SetCompleter(complete)
		return rd.AnswerHidden(prompt)
	}
	rd.SetCompleter(complete)
	for !s.quit {
		text, err := s.readCommand(rd)
		switch {
		case errors.Is(err, errInterrupt):
			continue // Ctrl-C abandons the line, not the session
		case errors.Is(err, io.EOF):
			s.printf("\n")
			if stay, err := s.settleChanges(ctx); err == nil && !stay {
				return nil
			}
			continue
		case err != nil:
			return err
		}
		line := grammar.ReadCommand("", text)
		if len(line.Words) == 0 && line.Err == nil {
			continue
		}
		if !holdsSecret(text) {
			rd.Remember(line.Text)
		}
		s.interruptible(ctx, func(ctx context.Context) { s.runTyped(ctx, line, text) })
	}
	return nil
}

// RunLine runs one line as the prompt does: it may enter a level, and edits
// stay staged until a line commits them. It reports whether it succeeded.
func (s *Session) RunLine(ctx context.Context, text string) bool {
	return s.runTyped(ctx, grammar.ReadCommand("", text), text)
}

func (s *Session) runTyped(ctx context.Context, line grammar.Line, text string) bool {
	ok := s.run(ctx, &sourceLine{line: line, text: text})
	s.where = nil
	return ok
}

// readCommand reads one command with its continuation lines: behind a backslash,
// and within quotes, where the end of the line counts as a blank.
func (s *Session) readCommand(rd lineReader) (string, error) {
	prompt := s.color.prompt(strings.TrimRight(s.Prompt(), " ")) + " "
	text, err := rd.ReadLine(prompt)
	if err != nil {
		return "", err
	}
	for !strings.HasPrefix(strings.TrimSpace(text), "#") {
		if grammar.NeedsMore(text) {
			more, err := rd.ReadLine("   > ")
			if err != nil {
				return "", err
			}
			text += "\n" + more
			continue
		}
		if grammar.ReadCommand("", text).Err == nil {
			break
		}
		more, err := rd.ReadLine("quote> ")
		if errors.Is(err, io.EOF) {
			break // the open quote is told as the mistake it is
		} else if err != nil {
			return "", err
		}
		text += " \\\n" + more
	}
	return text, nil
}

// interruptible runs f so that Ctrl-C ends it and not the program.
func (s *Session) interruptible(ctx context.Context, f func(context.Context)) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	f(ctx)
}

// secretPattern matches assignments whose values must not stay in a history file.
const secretPattern = `(?i)(passw|secret|token|community|credential|\bkey)[a-z0-9_-]*\s*=|\bsecret\b`

func holdsSecret(line string) bool { return regexp.MustCompile(secretPattern).MatchString(line) }

// historyFile is where the history lives: below the user's XDG state folder.
func (s *Session) historyFile() string {
	dir := s.cfg.Environ("XDG_STATE_HOME")
	if dir == "" {
		home := s.cfg.Environ("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "gcrm", "history")
}

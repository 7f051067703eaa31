package shell

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/chzyer/readline"
	"golang.org/x/term"
)

// lineReader reads lines that a person types. The rest of the shell knows the
// terminal only by this interface.
type lineReader interface {
	// ReadLine prompts and returns a line without its end. The error is
	// io.EOF at the end of input and errInterrupt after Ctrl-C.
	ReadLine(prompt string) (string, error)
	// Answer is ReadLine for a question: what was pasted as further commands
	// is no answer. Ctrl-C drops those too.
	Answer(prompt string) (string, error)
	// AnswerHidden is Answer without showing what is typed.
	AnswerHidden(prompt string) (string, error)
	// Remember adds a line to the history.
	Remember(line string)
	// SetCompleter says what TAB does; nil switches it off.
	SetCompleter(c completer)
	Close() error
}

// completer returns what can be typed at a place of a line.
type completer func(line string, pos int) []Candidate

// errInterrupt says that the line was abandoned with Ctrl-C.
var errInterrupt = errors.New("interrupted")

// terminal is a lineReader on a real terminal, made by readline. It must not
// be made for anything else: readline fails on pipes.
type terminal struct {
	rl     *readline.Instance
	pasted *pasteReader
	in     *os.File
	out    *os.File
	mu     sync.Mutex
	comp   completer
	color  palette
	last   string // last remembered line
	cooked *term.State
}

// newTerminal opens a terminal with its history in a file (none if empty).
func newTerminal(in, out *os.File, historyFile string, color palette) (*terminal, error) {
	if !fileIsTerminal(in) || !fileIsTerminal(out) {
		return nil, errors.New("the prompt needs a terminal")
	}
	t := &terminal{in: in, out: out, color: color, pasted: newPasteReader(readline.NewCancelableStdin(in))}
	cfg := &readline.Config{
		Stdin:                  t.pasted,
		Stdout:                 out,
		Stderr:                 out,
		HistoryLimit:           1000,
		DisableAutoSaveHistory: true,
		HistorySearchFold:      true,
		InterruptPrompt:        "^C",
		EOFPrompt:              "",
		AutoComplete:           t,
		FuncGetWidth:           func() int { w, _ := terminalSize(out); return w },
		FuncIsTerminal:         func() bool { return true },
		FuncMakeRaw:            t.makeRaw,
		FuncExitRaw:            t.exitRaw,
	}
	if historyFile != "" && prepareHistory(historyFile) == nil {
		cfg.HistoryFile = historyFile
	}
	rl, err := readline.NewEx(cfg)
	if err != nil {
		return nil, err
	}
	t.rl = rl
	return t, nil
}

// prepareHistory makes the history file readable for its owner only.
func prepareHistory(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Bracketed paste is switched on while a line is edited.
const pasteOn, pasteOff = "\x1b[?2004h", "\x1b[?2004l"

func (t *terminal) makeRaw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cooked != nil {
		return nil
	}
	st, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return err
	}
	t.cooked = st
	_, err = io.WriteString(t.out, pasteOn)
	return err
}

func (t *terminal) exitRaw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cooked == nil {
		return nil
	}
	_, _ = io.WriteString(t.out, pasteOff)
	err := term.Restore(int(t.in.Fd()), t.cooked)
	t.cooked = nil
	return err
}

func (t *terminal) ReadLine(prompt string) (string, error) {
	line, whole := t.pasted.next()
	if whole {
		_, err := io.WriteString(t.out, prompt+line+"\n")
		return line, err
	}
	return t.edit(prompt, line)
}

func (t *terminal) Answer(prompt string) (string, error) { return t.edit(prompt, "") }

func (t *terminal) AnswerHidden(prompt string) (string, error) {
	b, err := t.rl.ReadPassword(prompt)
	if errors.Is(err, readline.ErrInterrupt) {
		t.pasted.forget()
		return "", errInterrupt
	}
	return string(b), err
}

// edit lets the user edit a line that begins as given.
func (t *terminal) edit(prompt, line string) (string, error) {
	t.rl.SetPrompt(prompt)
	var err error
	if line == "" {
		line, err = t.rl.Readline()
	} else if err = t.makeRaw(); err == nil {
		// The library shows the line before it would do so itself: a key
		// pressed then, Ctrl-C above all, belongs to the line already.
		line, err = t.rl.ReadlineWithDefault(line)
	}
	if errors.Is(err, readline.ErrInterrupt) {
		t.pasted.forget()
		return "", errInterrupt
	}
	return line, err
}

func (t *terminal) Remember(line string) {
	if line == "" || line == t.last {
		return
	}
	t.last = line
	_ = t.rl.SaveHistory(line) // a history that cannot be written is no reason to stop
}

func (t *terminal) SetCompleter(c completer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.comp = c
}

func (t *terminal) Close() error { return t.rl.Close() }

// Do implements readline's completion. It never gives readline more than one
// candidate, because its own menu shows no descriptions and fails on narrow
// screens: what all candidates share is inserted; if they share nothing more,
// they are listed above the prompt.
func (t *terminal) Do(line []rune, pos int) ([][]rune, int) {
	t.mu.Lock()
	comp := t.comp
	t.mu.Unlock()
	if comp == nil {
		return nil, 0
	}
	pos = max(0, min(pos, len(line)))
	typed := string(line[:pos])
	candidates := comp(string(line), len(typed))
	insert := commonInsert(typed, candidates)
	if insert != "" {
		return [][]rune{[]rune(insert)}, 0
	}
	if len(candidates) > 0 {
		width, height := terminalSize(t.out)
		text := candidateList(candidates, width, height-2, t.color)
		_, _ = io.WriteString(t.rl.Stdout(), text)
	}
	return nil, 0
}

package shell

import (
	"io"
	"os"
	"os/exec"
	"strings"
)

// page writes text, through a pager if it is longer than the screen of a
// person who sits there.
func (s *Session) page(text string) error {
	f, ok := s.msg.out.(*os.File)
	if !ok || !s.cfg.Interactive || s.batch || !fileIsTerminal(f) {
		_, err := io.WriteString(s.msg.out, text)
		return err
	}
	_, height := terminalSize(f)
	pager := s.cfg.Environ("PAGER")
	if pager == "" {
		pager = "less -R"
	}
	if strings.Count(text, "\n") < height-1 || pager == "cat" || s.cfg.Environ("TERM") == "dumb" {
		_, err := io.WriteString(s.msg.out, text)
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", pager)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), f, os.Stderr
	if err := cmd.Run(); err != nil {
		// No pager, or one that was left early: the text must not be lost
		// in the former case.
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() == 127 {
			_, err := io.WriteString(s.msg.out, text)
			return err
		}
	}
	return nil
}

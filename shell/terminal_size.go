package shell

import (
	"os"

	"golang.org/x/term"
)

func fileIsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// terminalSize returns width and height of a terminal, or 80 and 24 where
// they are unknown or too small to be true.
func terminalSize(f *os.File) (width, height int) {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w < 20 {
		w = 80
	}
	if err != nil || h < 5 {
		h = 24
	}
	return w, h
}

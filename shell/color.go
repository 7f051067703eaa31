package shell

import (
	"os"
	"strings"

	"github.com/fatih/color"
)

// Display says how output looks.
type Display struct {
	Color     bool
	Uppercase bool // emphasis by capitals, for terminals without colour
}

// ParseDisplay reads the value of -D: plain, color, color-always, uppercase,
// or several with commas. terminal tells whether the streams are terminals;
// noColor whether NO_COLOR is set. color is the default on a terminal.
func ParseDisplay(s string, terminal, noColor bool) (Display, error) {
	d := Display{Color: terminal && !noColor}
	for part := range strings.SplitSeq(s, ",") {
		switch strings.TrimSpace(part) {
		case "":
		case "plain":
			d.Color = false
		case "color":
			d.Color = terminal
		case "color-always":
			d.Color = true
		case "uppercase":
			d.Uppercase = true
		default:
			return d, problemf("unknown display %q", part).hinting("use plain, color, color-always or uppercase")
		}
	}
	return d, nil
}

// palette are the colours of the shell; the zero value is plain.
type palette struct {
	d *Display
}

func (p palette) paint(s string, attrs ...color.Attribute) string {
	if p.d == nil || !p.d.Color {
		return s
	}
	c := color.New(attrs...)
	c.EnableColor()
	return c.Sprint(s)
}

func (p palette) upper(s string) string {
	if p.d != nil && p.d.Uppercase {
		return strings.ToUpper(s)
	}
	return s
}

func (p palette) info(s string) string   { return p.paint(s, color.FgBlue, color.Bold) }
func (p palette) warn(s string) string   { return p.paint(s, color.FgYellow, color.Bold) }
func (p palette) bad(s string) string    { return p.paint(s, color.FgRed, color.Bold) }
func (p palette) good(s string) string   { return p.paint(s, color.FgGreen) }
func (p palette) dim(s string) string    { return p.paint(s, color.Faint) }
func (p palette) bold(s string) string   { return p.paint(s, color.Bold) }
func (p palette) prompt(s string) string { return p.paint(s, color.FgGreen, color.Bold) }

// Colours of the configuration's text.
func (p palette) keyword(s string) string   { return p.upper(p.paint(s, color.FgYellow)) }
func (p palette) ident(s string) string     { return p.paint(s, color.Bold) }
func (p palette) attrName(s string) string  { return p.paint(s, color.FgCyan) }
func (p palette) attrValue(s string) string { return p.paint(s, color.FgRed) }
func (p palette) reference(s string) string { return p.paint(s, color.FgGreen) }
func (p palette) score(s string) string     { return p.paint(s, color.FgMagenta) }

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && fileIsTerminal(f)
}

package shell

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// table is a list with a header line, for people; machines get JSON.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// render writes the table: bold headers in colour, two blanks between columns.
func (t *table) render(w io.Writer, color palette) error {
	var b bytes.Buffer
	tab := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Symbols: tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off},
				Lines:      tw.Lines{ShowHeaderLine: tw.Off},
			},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
	)
	bold := make([]any, len(t.header))
	for i, h := range t.header {
		bold[i] = color.bold(h)
	}
	tab.Header(bold...)
	if err := tab.Bulk(t.rows); err != nil {
		return err
	}
	if err := tab.Render(); err != nil {
		return err
	}
	for line := range strings.SplitSeq(strings.TrimRight(b.String(), "\n"), "\n") {
		if _, err := io.WriteString(w, strings.TrimRight(line, " ")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// objects turns the rows into one JSON object each, keyed by the header.
func (t *table) objects() []map[string]string {
	out := make([]map[string]string, 0, len(t.rows))
	for _, r := range t.rows {
		m := map[string]string{}
		for i, h := range t.header {
			if i < len(r) {
				m[strings.ToLower(strings.ReplaceAll(h, " ", "_"))] = r[i]
			}
		}
		out = append(out, m)
	}
	return out
}

// writeTable writes a table in the format that was asked for.
func (s *Session) writeTable(t *table) error {
	if s.cfg.Format == "json" {
		return s.writeJSON(t.objects())
	}
	return t.render(s.msg.out, s.color)
}

func (s *Session) writeJSON(v any) error {
	e := json.NewEncoder(s.msg.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeValue writes one value: alone for people, under its name for machines.
func (s *Session) writeValue(name, value string) error {
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]string{name: value})
	}
	s.printf("%s\n", value)
	return nil
}

// columns writes names beside each other as the width allows; one a line when
// nobody looks.
func (s *Session) columns(names []string) {
	f, ok := s.msg.out.(*os.File)
	if !ok || !fileIsTerminal(f) {
		for _, n := range names {
			s.printf("%s\n", n)
		}
		return
	}
	width, _ := terminalSize(f)
	widest := 1
	for _, n := range names {
		widest = max(widest, len(n)+2)
	}
	per := max(1, width/widest)
	for i, n := range names {
		s.printf("%s", n)
		if (i+1)%per == 0 || i == len(names)-1 {
			s.printf("\n")
		} else {
			s.printf("%s", strings.Repeat(" ", widest-len(n)))
		}
	}
}

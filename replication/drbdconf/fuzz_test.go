package drbdconf

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse: any text is refused with positions inside of the text, or accepted and
// then its dump is accepted with the same dump.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/accepted/*.conf")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("resource r { skip { } }")
	f.Add("skip { { } } skip x { \" }")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Parse(noFiles(), "c", text)
		if err != nil {
			for _, e := range err.(ErrorList) {
				if e.Line < 1 || e.Column < 1 || e.Msg == "" {
					t.Errorf("error without a place: %+v", e)
				}
				_ = e.Detail()
			}
			return
		}
		first := cfg.String()
		again, err := Parse(noFiles(), "c", first)
		if err != nil {
			t.Fatalf("the dump does not load: %v\n%s", err, first)
		}
		// The comment about where a resource is defined moves, and timeouts that equal
		// the documented defaults are not printed.
		again.Global = cfg.Global
		for i, r := range again.Resources {
			r.Pos = cfg.Resources[i].Pos
		}
		if second := again.String(); second != first {
			t.Errorf("the dump changes:\n%s\n---\n%s", first, second)
		}
	})
}

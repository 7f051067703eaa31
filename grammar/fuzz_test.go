package grammar

import (
	"os"
	"path/filepath"
	"testing"

	"gcrm/cib"
)

// FuzzLanguage feeds arbitrary texts to both readers: nothing panics, every
// mistake has a place, and whatever is accepted prints to a text that is read
// back to the same configuration.
func FuzzLanguage(f *testing.F) {
	scripts, _ := filepath.Glob(filepath.Join("..", "testdata", "tutorials", "*.crm"))
	cases, _ := filepath.Glob(filepath.Join(corpus, "cases", "*.crm"))
	scripts = append(scripts, cases...)
	for _, s := range scripts {
		if b, err := os.ReadFile(s); err == nil {
			f.Add(string(b))
		}
	}
	f.Add("primitive a Dummy params \\\n\tstate=\"x y\" op monitor interval=10s\ngroup g a\nlocation l g 100: n1\n")
	f.Add("colocation c inf: ( a b:Master [ x sequential=true ] )")
	f.Add("xml <primitive id=\"p\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"/>")
	f.Add("alert a /x select attributes { b } to { c meta d=e }\nproperty rule #uname eq x a=b\n# comment\nnode 1: n:remote")
	f.Fuzz(func(t *testing.T, text string) {
		e := NewEdit(cib.New(), nil)
		for _, l := range ReadScript("fuzz", text) {
			if len(l.Words) > 0 {
				Expect(l.Words)
				Expect(l.Words[:len(l.Words)-1])
			}
			st, err := Parse(l, Command)
			if err == nil {
				_, err = e.Apply(st)
			}
			checkPlace(t, err)
		}
		loaded := NewEdit(e.CIB, nil)
		_, err := Load(loaded, Update, "fuzz", text)
		checkPlace(t, err)
		for _, p := range cib.CheckSchema(loaded.CIB, "") {
			if p.Severity == cib.Error {
				return
			}
		}
		checkRoundTrip(t, loaded.CIB)
	})
}

func checkPlace(t *testing.T, err error) {
	var list Errors
	switch e := err.(type) {
	case nil:
		return
	case *Error:
		list = Errors{e}
	case Errors:
		list = e
	default:
		t.Fatalf("unexpected error type %T", err)
	}
	for _, e := range list {
		if e.Pos.Line < 1 || e.Pos.Column < 1 || e.Msg == "" {
			t.Fatalf("error without a place: %#v", e)
		}
		e.Excerpt()
	}
}

package grammar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSmoke(t *testing.T) {
	files, _ := filepath.Glob("../../shared/conformance/crmsh/cases/*.crm")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, l := range ReadScript(filepath.Base(f), string(b)) {
			if len(l.Words) > 0 && IsStatement(l.Words[0].Text) {
				st, err := Parse(l, Command)
				if err != nil {
					t.Logf("%v\n%s", err, err.(*Error).Excerpt())
				} else if strings.Contains(f, "XX") {
					t.Logf("%+v", st.Body)
				}
			}
		}
	}
}

package api

import (
	"math"
	"strings"
	"testing"
)

// Values of labels are escaped, labels and families come in order, and a sample
// is there once.
func TestExposition(t *testing.T) {
	f := families{}
	f.add("b", "two\nlines", 1, "z", `a"b\c`+"\n\xff", "a", "1")
	f.add("b", "two\nlines", 2, "a", "1", "z", `a"b\c`+"\n\xff")
	f.send("a", "bytes", "counter", math.Inf(1), nil)
	f.add("c", "big", 1.5e20)
	var b strings.Builder
	if err := f.write(&b); err != nil {
		t.Fatal(err)
	}
	want := `# HELP ha_cluster_a bytes
# TYPE ha_cluster_a counter
ha_cluster_a +Inf
# HELP ha_cluster_b two\nlines
# TYPE ha_cluster_b gauge
ha_cluster_b{a="1",z="a\"b\\c\n�"} 1
# HELP ha_cluster_c big
# TYPE ha_cluster_c gauge
ha_cluster_c 1.5e+20
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

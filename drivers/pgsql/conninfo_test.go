package pgsql

import (
	"slices"
	"testing"
)

func TestWithoutPassword(t *testing.T) {
	for conninfo, want := range map[string][]string{
		"":                                     {""},
		"sslmode=require":                      {"sslmode=require"},
		"password=geheim sslmode=require":      {"sslmode=require", "PGPASSWORD=geheim"},
		`sslmode=require password='a \'b\\ c'`: {"sslmode=require", `PGPASSWORD=a 'b\ c`},
		"sslpassword=x passfile=/p":            {"sslpassword=x passfile=/p"},
	} {
		words, env := withoutPassword(conninfo)
		if got := append([]string{words}, env...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", conninfo, got, want)
		}
	}
}

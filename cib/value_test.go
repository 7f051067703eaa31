package cib

import (
	"math"
	"testing"
	"time"
)

func TestScore(t *testing.T) {
	for in, want := range map[string]int{
		"0": 0, "-5": -5, "+7": 7, "INFINITY": Infinity, "+INFINITY": Infinity, "-INFINITY": -Infinity,
		"99999999": Infinity, "-99999999999999999999999": -Infinity, "99999999999999999999999": Infinity,
	} {
		if got, err := ParseScore(in); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "1.5", "inf", "x", "--1"} {
		if got, err := ParseScore(in); err == nil {
			t.Errorf("%q accepted as %d", in, got)
		}
	}
	for _, c := range [][3]int{{Infinity, -Infinity, -Infinity}, {5, Infinity, Infinity},
		{999999, 999999, Infinity}, {3, -5, -2}, {-999999, -2, -Infinity}} {
		if got := AddScores(c[0], c[1]); got != c[2] {
			t.Errorf("%d + %d = %d, want %d", c[0], c[1], got, c[2])
		}
	}
	if FormatScore(Infinity) != "INFINITY" || FormatScore(-Infinity-3) != "-INFINITY" || FormatScore(-12) != "-12" {
		t.Error("format")
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"10": 10 * time.Second, "10s": 10 * time.Second, "5min": 5 * time.Minute, "100ms": 100 * time.Millisecond,
		"1500us": time.Millisecond, "2h": 2 * time.Hour, "3HR": 3 * time.Hour, " 7 sec ": 7 * time.Second,
		"1.9s": time.Second, "PT5M": 5 * time.Minute, "P1DT2H": 26 * time.Hour, "P1W": 168 * time.Hour,
		"P1Y2M": 425 * 24 * time.Hour, "PT1H2M3S": time.Hour + 2*time.Minute + 3*time.Second, "0": 0,
		"99999999999999999999": time.Duration(math.MaxInt64).Truncate(time.Millisecond),
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "s", "-5s", "5 parsecs", "P", "PT", "P5", "PT5Y", "P1H", ".5s"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q accepted as %v", in, got)
		}
	}
	for _, d := range []time.Duration{0, time.Millisecond, 90 * time.Second, 5 * time.Minute, 36 * time.Hour, 1500 * time.Millisecond} {
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Errorf("%v is written %q and read %v, %v", d, FormatDuration(d), got, err)
		}
	}
}

func TestBool(t *testing.T) {
	for in, want := range map[string]string{"TRUE": "true", "on": "true", "Y": "true", "1": "true",
		"False": "false", "off": "false", "n": "false", "0": "false", "": "", "2": "", "maybe": ""} {
		v, ok := ParseBool(in)
		got := map[[2]bool]string{{true, true}: "true", {false, true}: "false", {false, false}: ""}[[2]bool{v, ok}]
		if got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

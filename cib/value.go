package cib

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Infinity is the score that outweighs all others. Scores are clamped to
// ±Infinity.
const Infinity = 1000000

// ParseScore reads a score: an integer, INFINITY, +INFINITY or -INFINITY.
// Values beyond ±[Infinity] are clamped. (The words red, yellow and green
// depend on cluster options and are the scheduler's business.)
func ParseScore(s string) (int, error) {
	switch s {
	case "INFINITY", "+INFINITY":
		return Infinity, nil
	case "-INFINITY":
		return -Infinity, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
			if strings.HasPrefix(s, "-") {
				return -Infinity, nil
			}
			return Infinity, nil
		}
		return 0, fmt.Errorf("%q is not a score (an integer, INFINITY or -INFINITY)", s)
	}
	return int(max(-Infinity, min(Infinity, n))), nil
}

// FormatScore writes a score as Pacemaker does.
func FormatScore(n int) string {
	switch {
	case n >= Infinity:
		return "INFINITY"
	case n <= -Infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(n)
}

// AddScores adds with Pacemaker's rules for infinity: -INFINITY wins over
// everything, then INFINITY; finite sums are clamped.
func AddScores(a, b int) int {
	switch {
	case a <= -Infinity || b <= -Infinity:
		return -Infinity
	case a >= Infinity || b >= Infinity:
		return Infinity
	}
	return max(-Infinity, min(Infinity, a+b))
}

// ParseBool reads a boolean in any spelling of the CIB: true on yes y 1, or
// false off no n 0, in any case. ok is false for everything else.
func ParseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "on", "yes", "y", "1":
		return true, true
	case "false", "off", "no", "n", "0":
		return false, true
	}
	return false, false
}

// IsTrue reports whether s is a boolean that is true.
func IsTrue(s string) bool {
	v, _ := ParseBool(s)
	return v
}

// ParseDuration reads a time as the CIB writes them: a number with an
// optional unit (us usec ms msec s sec m min h hr, in any case; none means
// seconds), whose decimals are cut off, or an ISO 8601 duration ("PT5M").
// Precision is a millisecond; what does not fit is cut to the longest
// Duration.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "P") {
		return parseISODuration(s)
	}
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.') {
		end++
	}
	number, _, _ := strings.Cut(s[:end], ".")
	if number == "" {
		return 0, durationError(s)
	}
	var unit time.Duration
	switch strings.ToLower(strings.TrimSpace(s[end:])) {
	case "", "s", "sec":
		unit = time.Second
	case "us", "usec":
		unit = time.Microsecond
	case "ms", "msec":
		unit = time.Millisecond
	case "m", "min":
		unit = time.Minute
	case "h", "hr":
		unit = time.Hour
	default:
		return 0, durationError(s)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return saturate(n, unit).Truncate(time.Millisecond), nil
}

func durationError(s string) error {
	return fmt.Errorf("%q is not a time (a number with a unit as 10s, 5min, 100ms, or an ISO 8601 duration as PT5M)", s)
}

func saturate(n int64, unit time.Duration) time.Duration {
	if n > math.MaxInt64/int64(unit) {
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}

// parseISODuration reads P[nY][nM][nW][nD][T[nH][nM][nS]]; a year counts 365
// days and a month 30.
func parseISODuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	var total time.Duration
	rest, inTime, fields := s[1:], false, 0
	for rest != "" {
		if rest[0] == 'T' && !inTime {
			inTime, rest = true, rest[1:]
			continue
		}
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 0 || i == len(rest) {
			return 0, durationError(s)
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		if err != nil {
			n = math.MaxInt64
		}
		var unit time.Duration
		switch {
		case rest[i] == 'Y' && !inTime:
			unit = 365 * day
		case rest[i] == 'M' && !inTime:
			unit = 30 * day
		case rest[i] == 'W' && !inTime:
			unit = 7 * day
		case rest[i] == 'D' && !inTime:
			unit = day
		case rest[i] == 'H' && inTime:
			unit = time.Hour
		case rest[i] == 'M' && inTime:
			unit = time.Minute
		case rest[i] == 'S' && inTime:
			unit = time.Second
		default:
			return 0, durationError(s)
		}
		d := saturate(n, unit)
		if total > math.MaxInt64-d {
			total = math.MaxInt64
		} else {
			total += d
		}
		rest = rest[i+1:]
		fields++
	}
	if fields == 0 {
		return 0, durationError(s)
	}
	return total, nil
}

// FormatDuration writes a duration for a CIB in the largest of the units ms, s,
// min and h that keeps it whole: "90s", "5min", "1500ms", "0s".
func FormatDuration(d time.Duration) string {
	switch {
	case d%time.Second != 0:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d != 0 && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d != 0 && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "min"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

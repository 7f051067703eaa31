package scheduler

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// parseBool reads a Pacemaker boolean.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "on", "yes", "y", "1":
		return true, true
	case "false", "off", "no", "n", "0":
		return false, true
	}
	return false, false
}

func isTrue(s string) bool {
	v, _ := parseBool(s)
	return v
}

// boolOr reads a boolean, with a value for what is absent or not a boolean.
func boolOr(s string, def bool) bool {
	if v, ok := parseBool(s); ok {
		return v
	}
	return def
}

// leadingInt reads the integer a string starts with.
func leadingInt(s string) (n int64, rest string, ok bool) {
	if n, ok := digits(s); ok {
		return n, "", true
	}
	s = strings.TrimSpace(s)
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == start {
		return 0, s, false
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil {
		if s[0] == '-' {
			n = math.MinInt64
		} else {
			n = math.MaxInt64
		}
	}
	return n, s[i:], true
}

// digits reads a number that is nothing but digits and not too long, as nearly
// all are.
func digits(s string) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// score reads a score; health colours need the engine's options.
func (e *engine) score(s string) (int, bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "red":
		return e.opt.healthRed, true
	case "yellow":
		return e.opt.healthYellow, true
	case "green":
		return e.opt.healthGreen, true
	}
	return parseScore(s)
}

func parseScore(s string) (int, bool) {
	s = strings.TrimSpace(s)
	switch {
	case strings.EqualFold(s, "INFINITY"), strings.EqualFold(s, "+INFINITY"):
		return infinity, true
	case strings.EqualFold(s, "-INFINITY"):
		return -infinity, true
	}
	n, _, ok := leadingInt(s)
	if !ok {
		return 0, false
	}
	return int(max(-infinity, min(infinity, n))), true
}

func scoreText(v int) string {
	switch {
	case v >= infinity:
		return "INFINITY"
	case v <= -infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(v)
}

// parseDuration reads a duration in milliseconds: a number with a unit
// (seconds without one), or an ISO 8601 duration.
func parseDuration(s string) (ms int64, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	if s[0] == 'P' {
		var d isoDuration
		if !d.parse(s) {
			return 0, false
		}
		base := time.Unix(0, 0).UTC()
		return d.addTo(base, 1).Sub(base).Milliseconds(), true
	}
	n, rest, ok := leadingInt(s)
	if !ok {
		return 0, false
	}
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimLeft(rest[1:], "0123456789")
	}
	rest = strings.TrimSpace(rest)
	mul, div := int64(1000), int64(1)
	lower := strings.ToLower(rest)
	switch {
	case lower == "":
	case strings.HasPrefix(lower, "ms"):
		mul = 1
	case strings.HasPrefix(lower, "us"):
		mul, div = 1, 1000
	case strings.HasPrefix(lower, "s"):
	case strings.HasPrefix(lower, "m"):
		mul = 60 * 1000
	case strings.HasPrefix(lower, "h"):
		mul = 3600 * 1000
	default:
		return 0, false
	}
	if n > math.MaxInt64/mul {
		return math.MaxInt64, true
	}
	return n * mul / div, true
}

// parseInterval reads an operation's interval; what is invalid counts as 0.
func parseInterval(s string) int64 {
	ms, ok := parseDuration(s)
	if !ok || ms < 0 {
		return 0
	}
	return ms
}

// secondsOf rounds milliseconds to seconds, at least 1 for what is not zero.
func secondsOf(ms int64) int64 {
	if ms == 0 {
		return 0
	}
	return max(1, (ms+500)/1000)
}

func epochOf(s string) int64 {
	n, _, ok := leadingInt(s)
	if !ok {
		return 0
	}
	return n
}

func intOf(s string, def int) int {
	n, _, ok := leadingInt(s)
	if !ok {
		return def
	}
	return int(max(math.MinInt32, min(math.MaxInt32, n)))
}

func itoa(n int) string { return strconv.Itoa(n) }

// opKey is the key of an operation.
func opKey(rsc, task string, interval int64) string {
	if interval == 0 {
		return rsc + "_" + task + "_0"
	}
	return rsc + "_" + task + "_" + strconv.FormatInt(interval, 10)
}

func notifyKey(rsc, typ, task string) string { return rsc + "_" + typ + "_notify_" + task + "_0" }

// parseOpKey splits an operation key from the right.
func parseOpKey(key string) (rsc, task string, interval int64, ok bool) {
	i := strings.LastIndexByte(key, '_')
	if i <= 0 {
		return
	}
	n, err := strconv.ParseInt(key[i+1:], 10, 64)
	if err != nil || n < 0 {
		return
	}
	rest := key[:i]
	for _, t := range []string{taskMigrateTo, taskMigrateFrom} {
		if r, found := strings.CutSuffix(rest, "_"+t); found && r != "" {
			return r, t, n, true
		}
	}
	j := strings.LastIndexByte(rest, '_')
	if j <= 0 {
		return
	}
	rsc, task = rest[:j], rest[j+1:]
	for _, m := range []string{"_confirmed-pre_notify", "_confirmed-post_notify", "_pre_notify", "_post_notify"} {
		if r, found := strings.CutSuffix(rsc, m); found && r != "" {
			return r, m[1:] + "_" + task, n, true
		}
	}
	return rsc, task, n, true
}

// stripInstance removes ":digits" from the end of an id.
func stripInstance(id string) string {
	i := len(id)
	for i > 0 && id[i-1] >= '0' && id[i-1] <= '9' {
		i--
	}
	if i > 0 && i < len(id) && id[i-1] == ':' {
		return id[:i-1]
	}
	return id
}

func instanceNumber(id string) int {
	base := stripInstance(id)
	if len(base) == len(id) {
		return -1
	}
	n, err := strconv.Atoi(id[len(base)+1:])
	if err != nil {
		return -1
	}
	return n
}

// compareNames orders node names: digit runs compare as numbers, letters
// without case.
func compareNames(a, b string) int {
	i, j := 0, 0
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for i < len(a) && j < len(b) {
		if digit(a[i]) && digit(b[j]) {
			si, sj := i, j
			for i < len(a) && digit(a[i]) {
				i++
			}
			for j < len(b) && digit(b[j]) {
				j++
			}
			x, y := strings.TrimLeft(a[si:i], "0"), strings.TrimLeft(b[sj:j], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			if i-si != j-sj {
				return (i - si) - (j - sj)
			}
			continue
		}
		x, y := lowerByte(a[i]), lowerByte(b[j])
		if x != y {
			return int(x) - int(y)
		}
		i++
		j++
	}
	return (len(a) - i) - (len(b) - j)
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// compareVersions orders dotted versions part by part.
func compareVersions(a, b string) int {
	x, y := strings.FieldsFunc(a, func(r rune) bool { return r == '.' || r == '-' }), strings.FieldsFunc(b, func(r rune) bool { return r == '.' || r == '-' })
	for i := range max(len(x), len(y)) {
		var m, n int64
		if i < len(x) {
			m, _, _ = leadingInt(x[i])
		}
		if i < len(y) {
			n, _, _ = leadingInt(y[i])
		}
		if m != n {
			if m < n {
				return -1
			}
			return 1
		}
	}
	return 0
}

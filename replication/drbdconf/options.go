package drbdconf

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// Option is one option as it was written, under its 8.4 name.
type Option struct {
	Name string
	// Text is the value as written, without quotes; for booleans yes or no.
	Text string
	// Number is the value of a numeric option in the option's unit (see optionSpec),
	// rounded up.
	Number uint64
	// Bare marks an option that has no value at all (stacked-timeouts).
	Bare bool
	// List is the value of become-primary-on, word by word.
	List []string
	Pos  lexer.Position
}

// Yes tells whether a boolean option is switched on.
func (o Option) Yes() bool { return o.Text == "yes" || o.Bare }

// Options are the options of one section in the order of the text. An option may
// occur twice; the last one counts, except in handlers, where the first does.
type Options []Option

// Last gives the option that counts, outside handlers.
func (o Options) Last(name string) (Option, bool) {
	for _, opt := range slices.Backward(o) {
		if opt.Name == name {
			return opt, true
		}
	}
	return Option{}, false
}

// First gives the option that counts in handlers.
func (o Options) First(name string) (Option, bool) {
	if i := slices.IndexFunc(o, func(opt Option) bool { return opt.Name == name }); i >= 0 {
		return o[i], true
	}
	return Option{}, false
}

// optionKind says what an option takes as its value.
type optionKind int

const (
	kindNumber  optionKind = iota // digits and an optional k, M, G or s
	kindBool                      // nothing, yes or no
	kindFlag                      // nothing
	kindEnum                      // one of a list of words
	kindText                      // any word or string
	kindHosts                     // one or more words
	kindIgnored                   // accepted with any value, no effect
)

// unit is what a number without suffix counts, in bytes.
type unit uint64

const (
	unitOne    unit = 1
	unitSector unit = 512
	unitKiB    unit = 1024
)

// optionSpec describes one option of one section.
type optionSpec struct {
	name     string
	kind     optionKind
	min, max uint64
	def      uint64 // default of a number, in units; 1 for yes
	unit     unit
	clamp    bool     // out of range is corrected by the driver, not refused
	words    []string // of an enum
	fold     bool     // enum words in any case; printed as in the list
	text     string   // default of an enum or a text
	maxLen   int      // bytes of a text
	hash     bool     // a text that names a hash algorithm
}

func number(name string, lo, hi, def uint64, u unit) optionSpec {
	return optionSpec{name: name, kind: kindNumber, min: lo, max: hi, def: def, unit: u}
}

func boolean(name string, def bool) optionSpec {
	s := optionSpec{name: name, kind: kindBool}
	if def {
		s.def = 1
	}
	return s
}

func enum(name string, words ...string) optionSpec {
	return optionSpec{name: name, kind: kindEnum, words: words, text: words[0]}
}

func text(name string, maxLen int) optionSpec {
	return optionSpec{name: name, kind: kindText, maxLen: maxLen}
}

func hashName(name string) optionSpec {
	return optionSpec{name: name, kind: kindText, maxLen: 63, hash: true}
}

// section is the name of an option section.
type section string

const (
	secOptions  section = "options"
	secNet      section = "net"
	secDisk     section = "disk"
	secStartup  section = "startup"
	secProxy    section = "proxy"
	secHandlers section = "handlers"
	secSyncer   section = "syncer"
)

// optionTable holds the options of 8.4 by section. Ranges, defaults and units are
// those of DRBD 8.4.11.
var optionTable = map[section][]optionSpec{
	secOptions: {
		text("cpu-mask", 31),
		enum("on-no-data-accessible", "io-error", "suspend-io"),
	},
	secNet: {
		{name: "protocol", kind: kindEnum, words: []string{"A", "B", "C"}, fold: true, text: "C"},
		number("timeout", 1, 600, 60, unitOne), // tenths of a second
		number("max-epoch-size", 1, 20000, 2048, unitOne),
		number("max-buffers", 32, 131072, 2048, unitOne),
		number("unplug-watermark", 1, 131072, 128, unitOne),
		number("connect-int", 1, 120, 10, unitOne),
		number("ping-int", 1, 120, 10, unitOne),
		number("ping-timeout", 1, 300, 5, unitOne), // tenths of a second
		number("sndbuf-size", 0, 10<<20, 0, unitOne),
		number("rcvbuf-size", 0, 10<<20, 0, unitOne),
		number("ko-count", 0, 200, 7, unitOne),
		boolean("allow-two-primaries", false),
		hashName("cram-hmac-alg"),
		text("shared-secret", 64),
		enum("after-sb-0pri", "disconnect", "discard-younger-primary", "discard-older-primary", "discard-zero-changes",
			"discard-least-changes", "discard-local", "discard-remote", "discard-node-"),
		enum("after-sb-1pri", "disconnect", "consensus", "violently-as0p", "discard-secondary", "call-pri-lost-after-sb"),
		enum("after-sb-2pri", "disconnect", "violently-as0p", "call-pri-lost-after-sb"),
		boolean("always-asbp", false),
		enum("rr-conflict", "disconnect", "violently", "call-pri-lost"),
		hashName("data-integrity-alg"),
		hashName("verify-alg"),
		hashName("csums-alg"),
		boolean("csums-after-crash-only", false),
		boolean("use-rle", true),
		boolean("tcp-cork", true),
		enum("on-congestion", "block", "pull-ahead", "disconnect"),
		number("congestion-fill", 0, 20971520, 0, unitSector),
		number("congestion-extents", 67, 65534, 1237, unitOne),
		number("socket-check-timeout", 0, 300, 0, unitOne), // tenths of a second
	},
	secDisk: {
		number("size", 0, 1<<41, 0, unitSector),
		{name: "on-io-error", kind: kindEnum, words: []string{"detach", "pass_on", "call-local-io-error"}, text: "detach"},
		enum("fencing", "dont-care", "resource-only", "resource-and-stonith"),
		boolean("disk-barrier", false),
		boolean("disk-flushes", true),
		boolean("disk-drain", true),
		boolean("md-flushes", true),
		number("resync-rate", 1, 4194304, 250, unitKiB),
		text("resync-after", 128),
		{name: "al-extents", kind: kindNumber, min: 67, max: 65534, def: 1237, unit: unitOne, clamp: true},
		boolean("al-updates", true),
		number("c-plan-ahead", 0, 300, 20, unitOne),   // tenths of a second
		number("c-delay-target", 1, 100, 10, unitOne), // tenths of a second
		number("c-fill-target", 0, 1<<20, 100, unitSector),
		number("c-max-rate", 250, 4194304, 102400, unitKiB),
		number("c-min-rate", 0, 4194304, 250, unitKiB),
		number("disk-timeout", 0, 6000, 0, unitOne), // tenths of a second
		enum("read-balancing", "prefer-local", "prefer-remote", "round-robin", "least-pending", "when-congested-remote",
			"32K-striping", "64K-striping", "128K-striping", "256K-striping", "512K-striping", "1M-striping"),
		number("rs-discard-granularity", 0, 1<<20, 0, unitOne),
		boolean("discard-zeroes-if-aligned", true),
		boolean("disable-write-same", false),
		number("max-bio-bvecs", 0, 128, 0, unitOne),
		{name: "use-bmbv", kind: kindBool},
	},
	secStartup: {
		number("wfc-timeout", 0, 300000, 0, unitOne),          // seconds, 0 waits for ever
		number("degr-wfc-timeout", 0, 300000, 0, unitOne),     // seconds
		number("outdated-wfc-timeout", 0, 300000, 0, unitOne), // seconds
		boolean("wait-after-sb", false),
		{name: "stacked-timeouts", kind: kindFlag},
		{name: "become-primary-on", kind: kindHosts},
	},
	secProxy: {
		text("memlimit", 0), text("read-loops", 0), text("compression", 0), text("bwlimit", 0),
		text("sndbuf-size", 0), text("rcvbuf-size", 0), text("ping-timeout", 0),
	},
	secHandlers: {
		text("pri-on-incon-degr", 0), text("pri-lost-after-sb", 0), text("pri-lost", 0), text("fence-peer", 0),
		text("unfence-peer", 0), text("local-io-error", 0), text("initial-split-brain", 0), text("split-brain", 0),
		text("before-resync-target", 0), text("after-resync-target", 0), text("before-resync-source", 0),
		text("out-of-sync", 0),
	},
}

// oldSpelling moves an 8.3 option to its 8.4 place.
type oldSpelling struct {
	to    section
	name  string
	value string // fixed value of a negation, else the written one
}

// oldSpellings by section and 8.3 name. A name with an empty target is accepted
// and dropped.
var oldSpellings = map[section]map[string]oldSpelling{
	secSyncer: {
		"rate": {to: secDisk, name: "resync-rate"}, "after": {to: secDisk, name: "resync-after"},
		"al-extents": {to: secDisk, name: "al-extents"}, "c-plan-ahead": {to: secDisk, name: "c-plan-ahead"},
		"c-delay-target": {to: secDisk, name: "c-delay-target"}, "c-fill-target": {to: secDisk, name: "c-fill-target"},
		"c-max-rate": {to: secDisk, name: "c-max-rate"}, "c-min-rate": {to: secDisk, name: "c-min-rate"},
		"verify-alg": {to: secNet, name: "verify-alg"}, "csums-alg": {to: secNet, name: "csums-alg"},
		"use-rle": {to: secNet, name: "use-rle"}, "cpu-mask": {to: secOptions, name: "cpu-mask"},
		"on-no-data-accessible": {to: secOptions, name: "on-no-data-accessible"},
		"delay-probe-volume":    {}, "delay-probe-interval": {}, "throttle-threshold": {}, "hold-off-threshold": {},
	},
	secDisk: {
		"no-disk-barrier": {to: secDisk, name: "disk-barrier", value: "no"},
		"no-disk-flushes": {to: secDisk, name: "disk-flushes", value: "no"},
		"no-disk-drain":   {to: secDisk, name: "disk-drain", value: "no"},
		"no-md-flushes":   {to: secDisk, name: "md-flushes", value: "no"},
	},
	secNet:      {"no-tcp-cork": {to: secNet, name: "tcp-cork", value: "no"}},
	secHandlers: {"outdate-peer": {to: secHandlers, name: "fence-peer"}},
}

// knownHashes are the algorithms the native engine has; the kernel may have more.
var knownHashes = []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "crc32c"}

func findSpec(sec section, name string) (optionSpec, bool) {
	for _, s := range optionTable[sec] {
		if s.name == name {
			return s, true
		}
	}
	return optionSpec{}, false
}

// optionNames lists what may be written in a section, for suggestions.
func optionNames(sec section) []string {
	var out []string
	for _, s := range optionTable[sec] {
		out = append(out, s.name)
	}
	for name := range oldSpellings[sec] {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// sectionOf finds the section that has an option of this name, for the hint about
// an option in the wrong place.
func sectionOf(name string) (section, bool) {
	for _, sec := range []section{secDisk, secNet, secOptions, secStartup, secHandlers} {
		if _, ok := findSpec(sec, name); ok {
			return sec, true
		}
	}
	return "", false
}

// parseNumber reads digits with an optional suffix and converts to units of u,
// rounding up.
func parseNumber(s string, u unit) (uint64, error) {
	digits, factor := s, uint64(u)
	if n := len(s); n > 0 {
		switch s[n-1] {
		case 'k', 'K':
			factor = 1 << 10
		case 'm', 'M':
			factor = 1 << 20
		case 'g', 'G':
			factor = 1 << 30
		case 's':
			factor = 512
		default:
			n++
		}
		digits = s[:n-1]
	}
	v, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || strings.HasPrefix(digits, "+") {
		return 0, fmt.Errorf("%q is not a number with an optional k, M, G or s", s)
	}
	hi, lo := bits.Mul64(v, factor)
	sum, carry := bits.Add64(lo, uint64(u)-1, 0)
	if hi+carry != 0 {
		return 0, fmt.Errorf("%s is too large", s)
	}
	return sum / uint64(u), nil
}

// value checks the written value of an option. The returned hint is for the error.
func (s optionSpec) value(written string) (Option, string, error) {
	o := Option{Name: s.name, Text: written}
	switch s.kind {
	case kindNumber:
		n, err := parseNumber(written, s.unit)
		if err != nil {
			return o, "", fmt.Errorf("%s: %w", s.name, err)
		}
		o.Number = n
		if (n < s.min || n > s.max) && !s.clamp {
			return o, "", fmt.Errorf("%s %s => %d out of range [%d..%d]", s.name, written, n, s.min, s.max)
		}
		o.Number = min(max(n, s.min), s.max)
	case kindBool:
		if written != "yes" && written != "no" {
			return o, "write yes, no or nothing", fmt.Errorf("%s: %q is neither yes nor no", s.name, written)
		}
	case kindEnum:
		for _, w := range s.words {
			if w == written || s.fold && strings.EqualFold(w, written) {
				o.Text = w
				return o, "", nil
			}
			if strings.HasSuffix(w, "-") && strings.HasPrefix(written, w) && len(written) > len(w) {
				return o, "", nil
			}
		}
		hint := didYouMean(written, s.words)
		if hint == "" {
			hint = "possible are " + strings.Join(s.words, ", ")
		}
		return o, hint, fmt.Errorf("%s: unknown value %q", s.name, written)
	case kindText:
		if s.maxLen > 0 && len(written) > s.maxLen {
			return o, "", fmt.Errorf("%s is %d bytes long, the limit is %d", s.name, len(written), s.maxLen)
		}
	}
	return o, "", nil
}

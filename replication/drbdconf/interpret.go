package drbdconf

import (
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// interpreter turns statements into the model.
type interpreter struct {
	p      *problems
	cfg    *Config
	global bool
}

func newInterpreter() *interpreter {
	// The timeouts are those drbdadm 9.22 really uses, not the 121 and 600 seconds of
	// its manual.
	return &interpreter{
		p: &problems{lines: map[string][]string{}},
		cfg: &Config{Global: Global{
			UsageCount: "ask", DialogRefresh: 1, CmdTimeoutShort: 5, CmdTimeoutMedium: 600, CmdTimeoutLong: 0,
		}},
	}
}

// topLevel reads one statement outside of all sections.
func (in *interpreter) topLevel(s *statement) {
	switch s.Words[0].Bare {
	case "global":
		in.globalSection(s)
	case "common":
		in.commonSection(s)
	case "resource":
		in.resource(s)
	default:
		name := s.Words[0].text()
		known := []string{"global", "common", "resource", "skip", "include"}
		hint := didYouMean(name, known)
		if _, ok := sectionOf(name); ok || slices.Contains([]string{"on", "device", "disk", "net", "syncer", "volume"}, name) {
			hint = "it belongs into a resource section; is a '}' too many above?"
		}
		in.p.errorf(s.Pos, s.Words[0].width(), hint, "unknown section %q", name)
	}
}

// plainBlock checks that a statement is NAME { ... } and gives its inside.
func (in *interpreter) plainBlock(s *statement) ([]*statement, bool) {
	if len(s.Words) > 1 {
		in.p.errorf(s.Words[1].Pos, s.Words[1].width(), "", "unexpected %q after %s, a '{' belongs there", s.Words[1].text(), s.Words[0].text())
		return nil, false
	}
	if s.Body == nil {
		in.p.errorf(s.Pos, s.Words[0].width(), "", "%s needs a block: %s { ... }", s.Words[0].text(), s.Words[0].text())
		return nil, false
	}
	return s.Body.Stmts, true
}

func (in *interpreter) globalSection(s *statement) {
	g := &in.cfg.Global
	stmts, ok := in.plainBlock(s)
	if !ok {
		return
	}
	if in.global {
		in.p.errorf(s.Pos, 6, "the first is at "+where(g.Pos), "a second global section")
		return
	}
	in.global, g.Pos, g.Written = true, s.Pos, true
	if len(in.cfg.Resources) > 0 {
		in.p.warnf(s.Pos, 6, "", "the global section should stand before all resources")
	}
	timeout := func(name string) optionSpec { return number(name, 0, 900, 0, unitOne) }
	numbers := map[string]struct {
		spec optionSpec
		to   *int
	}{
		"minor-count":        {number("minor-count", 1, 255, 32, unitOne), &g.MinorCount},
		"dialog-refresh":     {number("dialog-refresh", 0, 600, 1, unitOne), &g.DialogRefresh},
		"cmd-timeout-short":  {timeout("cmd-timeout-short"), &g.CmdTimeoutShort},
		"cmd-timeout-medium": {timeout("cmd-timeout-medium"), &g.CmdTimeoutMedium},
		"cmd-timeout-long":   {timeout("cmd-timeout-long"), &g.CmdTimeoutLong},
	}
	flags := map[string]*bool{"disable-ip-verification": &g.DisableIPVerification, "udev-always-use-vnr": &g.UdevAlwaysUseVNR}
	for _, st := range stmts {
		name := st.Words[0].Bare
		if n, ok := numbers[name]; ok {
			if o, ok := in.oneOption(st, n.spec); ok {
				*n.to = int(o.Number)
			}
			continue
		}
		if f, ok := flags[name]; ok {
			if _, ok := in.oneOption(st, optionSpec{name: name, kind: kindFlag}); ok {
				*f = true
			}
			continue
		}
		if name == "usage-count" {
			if o, ok := in.oneOption(st, enum(name, "ask", "yes", "no")); ok {
				g.UsageCount = o.Text
			}
			continue
		}
		known := []string{"usage-count"}
		for k := range numbers {
			known = append(known, k)
		}
		for k := range flags {
			known = append(known, k)
		}
		slices.Sort(known)
		in.p.errorf(st.Pos, st.Words[0].width(), didYouMean(st.Words[0].text(), known), "unknown option %q in global", st.Words[0].text())
	}
}

func (in *interpreter) commonSection(s *statement) {
	stmts, ok := in.plainBlock(s)
	if !ok {
		return
	}
	if in.cfg.Common != nil {
		in.p.errorf(s.Pos, 6, "the first is at "+where(in.cfg.Common.Pos), "a second common section")
		return
	}
	in.cfg.Common = &Common{Pos: s.Pos}
	seen := map[string]lexer.Position{}
	for _, st := range stmts {
		if in.optionSection(st, &in.cfg.Common.Sections, seen, "common") {
			continue
		}
		name := st.Words[0].text()
		hint := didYouMean(name, sectionNames)
		if slices.Contains(hostWords, name) || slices.Contains(volumeWords, name) {
			hint = "it belongs into a resource"
		}
		in.p.errorf(st.Pos, st.Words[0].width(), hint, "unknown statement %q in common", name)
	}
}

// sectionNames are the statements that common and resource share.
var sectionNames = []string{"protocol", "options", "net", "disk", "startup", "handlers", "syncer", "proxy"}

// optionSection reads a statement that common and resources have alike. It gives
// false when the statement is something else.
func (in *interpreter) optionSection(st *statement, to *Sections, seen map[string]lexer.Position, owner string) bool {
	name := st.Words[0].Bare
	if name == "protocol" {
		spec, _ := findSpec(secNet, "protocol")
		if o, ok := in.oneOption(st, spec); ok {
			to.Net = append(to.Net, o)
		}
		return true
	}
	sec := section(name)
	if optionTable[sec] == nil && sec != secSyncer {
		return false
	}
	if sec == secDisk && st.Body == nil {
		return false // disk PATH;
	}
	stmts, ok := in.plainBlock(st)
	if !ok {
		return true
	}
	if first, dup := seen[name]; dup {
		in.p.errorf(st.Pos, len(name), "the first is at "+where(first)+"; put the options into one section", "a second %s section in %s", name, owner)
		return true
	}
	seen[name] = st.Pos
	if sec == secSyncer {
		in.p.warnf(st.Pos, len(name), "write its options into disk, net and options", "the syncer section is of DRBD 8.3")
	}
	in.options(sec, stmts, to)
	return true
}

// options reads the statements of one option section into to.
func (in *interpreter) options(sec section, stmts []*statement, to *Sections) {
	target := map[section]*Options{
		secOptions: &to.Options, secNet: &to.Net, secDisk: &to.Disk,
		secStartup: &to.Startup, secProxy: &to.Proxy, secHandlers: &to.Handlers,
	}
	for _, st := range stmts {
		if sec == secProxy && st.Words[0].Bare == "plugin" {
			if inner, ok := in.plainBlock(st); ok {
				to.ProxyPlugin = in.pluginLines(inner)
			}
			continue
		}
		if sec == secProxy && st.Words[0].Bare == "compression" {
			if o, ok := in.wordsOption(st); ok {
				to.Proxy = append(to.Proxy, o)
			}
			continue
		}
		if o, dest, ok := in.option(sec, st); ok {
			*target[dest] = append(*target[dest], o)
		}
	}
}

// option reads one option of a section and says where its 8.4 place is. It gives
// false when there is nothing to keep.
func (in *interpreter) option(sec section, st *statement) (Option, section, bool) {
	w := st.Words[0]
	name := w.text()
	if spec, ok := findSpec(sec, name); ok && w.isName() {
		o, ok := in.oneOption(st, spec)
		if ok && spec.name == "use-bmbv" {
			in.p.warnf(w.Pos, w.width(), "remove it", "%s has no effect", name)
		}
		return o, sec, ok
	}
	if old, ok := oldSpellings[sec][name]; ok {
		return in.oldOption(sec, st, old)
	}
	hint := didYouMean(name, optionNames(sec))
	if other, ok := sectionOf(name); ok {
		hint = "it belongs into the " + string(other) + " section"
	}
	if sec == secNet && (name == "discard-my-data" || name == "tentative") {
		hint = "it is given with the connect command, once"
	}
	in.p.errorf(w.Pos, w.width(), hint, "unknown option %q in %s", name, sec)
	return Option{}, "", false
}

func (in *interpreter) oldOption(sec section, st *statement, old oldSpelling) (Option, section, bool) {
	w := st.Words[0]
	if old.to == "" {
		in.p.warnf(w.Pos, w.width(), "remove it", "%s has no effect", w.text())
		return Option{}, "", false
	}
	spec, _ := findSpec(old.to, old.name)
	if old.value == "" {
		o, ok := in.oneOption(st, spec)
		if ok && sec != secSyncer {
			in.p.warnf(w.Pos, w.width(), "write "+old.name, "%s is the spelling of DRBD 8.3", w.text())
		}
		return o, old.to, ok
	}
	if st.Body != nil || len(st.Words) > 1 {
		in.p.errorf(w.Pos, w.width(), "", "%s takes no value", w.text())
		return Option{}, "", false
	}
	in.p.warnf(w.Pos, w.width(), "write "+old.name+" "+old.value, "%s is the spelling of DRBD 8.3", w.text())
	return Option{Name: old.name, Text: old.value, Pos: w.Pos}, old.to, true
}

// oneOption reads NAME VALUE; as the spec wants it.
func (in *interpreter) oneOption(st *statement, spec optionSpec) (Option, bool) {
	w := st.Words[0]
	if st.Body != nil {
		in.p.errorf(st.Body.Pos, 1, "", "%s is an option, it has no block", w.text())
		return Option{}, false
	}
	args := st.Words[1:]
	o := Option{Name: spec.name, Pos: w.Pos}
	switch {
	case spec.kind == kindHosts:
		if len(args) == 0 {
			in.p.errorf(w.Pos, w.width(), "", "%s needs at least one host name", spec.name)
			return o, false
		}
		for _, a := range args {
			o.List = append(o.List, a.text())
		}
		o.Text = strings.Join(o.List, " ")
		return o, true
	case spec.kind == kindFlag && len(args) == 0:
		o.Bare = true
		return o, true
	case spec.kind == kindBool && len(args) == 0:
		o.Text = "yes"
		return o, true
	case spec.kind == kindFlag:
		in.p.errorf(args[0].Pos, args[0].width(), "write "+spec.name+";", "%s takes no value", spec.name)
		return o, false
	case len(args) == 0:
		in.p.errorf(w.Pos, w.width(), "", "%s needs a value", spec.name)
		return o, false
	case len(args) > 1 || !args[0].isName():
		in.tooMany(st, args, 1)
		return o, false
	}
	v, hint, err := spec.value(args[0].text())
	if err != nil {
		in.p.errorf(args[0].Pos, args[0].width(), hint, "%v", err)
		return o, false
	}
	v.Pos = w.Pos
	in.remarks(spec, v, args[0])
	return v, true
}

// remarks warns about values that are legal and probably not meant.
func (in *interpreter) remarks(spec optionSpec, o Option, w *word) {
	switch {
	case spec.clamp:
		if n, err := parseNumber(o.Text, spec.unit); err == nil && n != o.Number {
			in.p.warnf(w.Pos, w.width(), "", "%s %s is outside [%d..%d], %d is used", spec.name, o.Text, spec.min, spec.max, o.Number)
		}
	case spec.hash && o.Text != "" && !slices.Contains(knownHashes, o.Text):
		in.p.warnf(w.Pos, w.width(), didYouMean(o.Text, knownHashes), "%s: %q is no hash algorithm known here", spec.name, o.Text)
	}
}

// tooMany explains surplus words; the usual cause is a forgotten ';'.
func (in *interpreter) tooMany(st *statement, args []*word, wanted int) {
	w := args[0]
	if len(args) > wanted {
		w = args[wanted]
	}
	hint := ""
	if prev := st.Words[slices.Index(st.Words, w)-1]; w.Pos.Line > prev.Pos.Line {
		hint = "is a ';' missing at the end of the line before?"
	}
	in.p.errorf(w.Pos, w.width(), hint, "unexpected %q after %s, a ';' belongs there", w.text(), st.Words[0].text())
}

// wordsOption keeps all words of a statement as the value (proxy compression).
func (in *interpreter) wordsOption(st *statement) (Option, bool) {
	if st.Body != nil || len(st.Words) < 2 {
		in.p.errorf(st.Pos, st.Words[0].width(), "", "%s needs a value", st.Words[0].text())
		return Option{}, false
	}
	return Option{Name: st.Words[0].text(), Text: joinWords(st.Words[1:]), Pos: st.Pos}, true
}

// pluginLines keeps the lines of a proxy plugin section; they are the proxy's
// own language.
func (in *interpreter) pluginLines(stmts []*statement) []string {
	out := []string{}
	for _, st := range stmts {
		if st.Body != nil {
			in.p.errorf(st.Body.Pos, 1, "", "a plugin line has no block")
			continue
		}
		out = append(out, joinWords(st.Words))
	}
	return out
}

func joinWords(words []*word) string {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = w.text()
	}
	return strings.Join(parts, " ")
}

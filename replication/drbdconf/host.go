package drbdconf

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// Statements by where they may stand, for suggestions.
var (
	volumeWords = []string{"device", "disk", "meta-disk", "flexible-meta-disk"}
	hostWords   = []string{"address", "alternate-link-address", "options", "volume", "proxy"}
)

// maxVolume and maxMinor are the largest numbers the kernel has room for.
const (
	maxVolume = 65535
	maxMinor  = 1<<20 - 1
)

func (in *interpreter) resource(s *statement) {
	if len(s.Words) != 2 || !s.Words[1].isName() || s.Body == nil {
		in.p.errorf(s.Pos, s.Words[0].width(), "", "a resource is written: resource NAME { ... }")
		return
	}
	r := &Resource{Name: s.Words[1].text(), Pos: s.Pos}
	if r.Name == "" {
		in.p.errorf(s.Words[1].Pos, 2, "", "a resource needs a name")
	}
	if first := in.cfg.Resource(r.Name); first != nil {
		in.p.errorf(s.Words[1].Pos, s.Words[1].width(), "the first is at "+where(first.Pos), "a second resource %q", r.Name)
		return
	}
	in.cfg.Resources = append(in.cfg.Resources, r)
	seen := map[string]lexer.Position{}
	vols := volumeSet{owner: "resource " + r.Name}
	for _, st := range s.Body.Stmts {
		if in.optionSection(st, &r.Sections, seen, "resource "+r.Name) || in.volumeStatement(st, &vols) {
			continue
		}
		switch w := st.Words[0]; w.Bare {
		case "on", "stacked-on-top-of", "floating":
			in.host(r, st)
		case "ignore-on":
			if in.oneName(st) {
				in.p.warnf(st.Pos, w.width(), "leave the host out instead", "ignore-on is deprecated")
				r.IgnoreOn = append(r.IgnoreOn, st.Words[1].text())
			}
		default:
			known := slices.Concat(sectionNames, volumeWords, []string{"on", "floating", "stacked-on-top-of", "volume", "ignore-on"})
			hint := didYouMean(w.text(), known)
			if sec, ok := sectionOf(w.text()); ok {
				hint = "it belongs into the " + string(sec) + " section"
			} else if w.text() == "address" {
				hint = "it belongs into an on section"
			}
			in.p.errorf(st.Pos, w.width(), hint, "unknown statement %q in resource %s", w.text(), r.Name)
		}
	}
	r.Volumes = vols.list
}

// oneName checks a statement of the form WORD NAME;
func (in *interpreter) oneName(st *statement) bool {
	if st.Body != nil || len(st.Words) < 2 || !st.Words[1].isName() {
		in.p.errorf(st.Pos, st.Words[0].width(), "", "%s needs one name and a ';'", st.Words[0].text())
		return false
	}
	if len(st.Words) > 2 {
		in.tooMany(st, st.Words[1:], 1)
		return false
	}
	return true
}

func (in *interpreter) host(r *Resource, st *statement) {
	h := &Host{Pos: st.Pos}
	kind := st.Words[0].Bare
	switch kind {
	case "on":
		if st.Body == nil || len(st.Words) < 2 || slices.ContainsFunc(st.Words[1:], func(w *word) bool { return !w.isName() }) {
			in.p.errorf(st.Pos, 2, "", "a host is written: on NAME { ... }")
			return
		}
		for _, w := range st.Words[1:] {
			h.Names = append(h.Names, w.text())
		}
	case "floating":
		h.Kind = FloatingHost
		addr, ok := in.address(st, st.Words[1:], st.Body != nil)
		if !ok {
			return
		}
		h.Address = addr
	case "stacked-on-top-of":
		h.Kind = StackedHost
		if st.Body == nil || len(st.Words) != 2 || !st.Words[1].isName() {
			in.p.errorf(st.Pos, len(kind), "", "a stacked host is written: stacked-on-top-of RESOURCE { ... }")
			return
		}
		h.Lower = st.Words[1].text()
	}
	r.Hosts = append(r.Hosts, h)
	if st.Body != nil {
		in.hostBody(r, h, st)
	}
}

// title names a host in messages.
func (h *Host) title() string {
	switch h.Kind {
	case FloatingHost:
		return "floating " + h.Address.String()
	case StackedHost:
		return "stacked-on-top-of " + h.Lower
	}
	return "on " + strings.Join(h.Names, " ")
}

func (in *interpreter) hostBody(r *Resource, h *Host, st *statement) {
	vols := volumeSet{owner: h.title()}
	seen := map[string]lexer.Position{}
	once := func(s *statement, name string) bool {
		if first, dup := seen[name]; dup {
			in.p.errorf(s.Pos, s.Words[0].width(), "the first is at "+where(first), "a second %s in %s", name, h.title())
			return false
		}
		seen[name] = s.Pos
		return true
	}
	for _, s := range st.Body.Stmts {
		w := s.Words[0]
		switch w.Bare {
		case "address", "alternate-link-address":
			if h.Kind == FloatingHost && w.Bare == "address" {
				in.p.errorf(s.Pos, w.width(), "remove it", "a floating host has its address in its first line")
				continue
			}
			addr, ok := in.address(s, s.Words[1:], false)
			if !ok || !once(s, w.Bare) {
				continue
			}
			if w.Bare == "address" {
				h.Address = addr
			} else {
				h.AlternateLink = &addr
			}
		case "options":
			if inner, ok := in.plainBlock(s); ok && once(s, "options") {
				var to Sections
				in.options(secOptions, inner, &to)
				h.Options = to.Options
			}
		case "proxy":
			if once(s, "proxy") {
				h.Proxy = in.proxyHost(s)
			}
		default:
			if in.volumeStatement(s, &vols) {
				continue
			}
			known := slices.Concat(volumeWords, hostWords)
			hint := didYouMean(w.text(), known)
			if slices.Contains(sectionNames, w.text()) {
				hint = "it belongs into the resource, outside of the host"
			}
			in.p.errorf(s.Pos, w.width(), hint, "unknown statement %q in %s", w.text(), h.title())
		}
	}
	h.Volumes = vols.list
}

func (in *interpreter) proxyHost(st *statement) *ProxyHost {
	if st.Body == nil || len(st.Words) < 3 || st.Words[1].Bare != "on" {
		in.p.errorf(st.Pos, 5, "", "a proxy is written: proxy on NAME { inside ADDRESS; outside ADDRESS; }")
		return nil
	}
	ph := &ProxyHost{Pos: st.Pos}
	for _, w := range st.Words[2:] {
		ph.Names = append(ph.Names, w.text())
	}
	for _, s := range st.Body.Stmts {
		switch w := s.Words[0]; w.Bare {
		case "inside", "outside":
			if addr, ok := in.address(s, s.Words[1:], false); ok && w.Bare == "inside" {
				ph.Inside = addr
			} else if ok {
				ph.Outside = addr
			}
		case "options":
			if inner, ok := in.plainBlock(s); ok {
				var to Sections
				in.options(secProxy, inner, &to)
				ph.Options, ph.Plugin = to.Proxy, to.ProxyPlugin
			}
		default:
			in.p.errorf(s.Pos, w.width(), didYouMean(w.text(), []string{"inside", "outside", "options"}), "unknown statement %q in proxy", w.text())
		}
	}
	if ph.Inside.Port == 0 || ph.Outside.Port == 0 {
		in.p.errorf(st.Pos, 5, "", "a proxy needs an inside and an outside address")
	}
	return ph
}

// address reads [FAMILY] IP:PORT; a block may follow only for floating.
func (in *interpreter) address(st *statement, args []*word, blockOK bool) (Address, bool) {
	const form = "write IPV4:PORT or ipv6 [IPV6]:PORT"
	a := Address{Family: "ipv4", Pos: st.Pos}
	bad := func(w *word, hint, format string, v ...any) (Address, bool) {
		in.p.errorf(w.Pos, w.width(), hint, format, v...)
		return a, false
	}
	if st.Body != nil && !blockOK {
		in.p.errorf(st.Body.Pos, 1, "", "%s has no block", st.Words[0].text())
		return a, false
	}
	if len(args) > 0 && slices.Contains([]string{"ipv4", "ipv6", "ssocks", "sci", "sdp"}, args[0].Bare) {
		a.Family = strings.Replace(args[0].Bare, "sci", "ssocks", 1)
		args = args[1:]
	}
	if len(args) == 0 {
		return bad(st.Words[0], form, "%s without an address", st.Words[0].text())
	}
	w := args[0]
	var err error
	switch {
	case w.IPv6 != "":
		a.Host = strings.Trim(w.IPv6, "[]")
		a.IP, err = netip.ParseAddr(a.Host)
		if err != nil || a.IP.Is4() {
			return bad(w, "", "%s is not an IPv6 address", w.IPv6)
		}
		if a.Family != "ipv6" {
			return bad(w, "write ipv6 before it", "an IPv6 address needs the family")
		}
	case w.Bare != "":
		a.Host = w.Bare
		a.IP, err = netip.ParseAddr(a.Host)
		if err != nil || !a.IP.Is4() {
			return bad(w, "host names are not possible here, write the IP address", "%q is not an IPv4 address", w.Bare)
		}
		if a.Family == "ipv6" {
			return bad(w, "write ipv6 [ADDRESS]:PORT", "%q is not an IPv6 address in brackets", w.Bare)
		}
	default:
		return bad(w, form, "unexpected %q instead of an address", w.text())
	}
	if len(args) < 3 || args[1].Punct != ":" || args[2].Bare == "" {
		return bad(args[min(1, len(args)-1)], form, "the address has no port")
	}
	port, err := strconv.ParseUint(args[2].Bare, 10, 32)
	if err != nil || port < 1 || port > 65535 {
		return bad(args[2], "", "port %s out of range [1..65535]", args[2].Bare)
	}
	a.Port = int(port)
	if len(args) > 3 {
		in.tooMany(st, args, 3)
		return a, false
	}
	return a, true
}

// String is the address as dump prints it, without the family ipv4.
func (a Address) String() string {
	host := a.Host
	if a.Family == "ipv6" {
		host = "[" + host + "]"
	}
	s := host + ":" + strconv.Itoa(a.Port)
	if a.Family != "ipv4" {
		s = a.Family + " " + s
	}
	return s
}

// volumeSet gathers the volumes of one host or resource.
type volumeSet struct {
	owner string
	list  []*Volume
	// disks are the places of a volume's own disk statements, to find doubles.
	seen map[string]lexer.Position
}

func (vs *volumeSet) volume(n int, implicit bool, pos lexer.Position) *Volume {
	for _, v := range vs.list {
		if v.Number == n && v.Implicit == implicit {
			return v
		}
	}
	v := &Volume{Number: n, Implicit: implicit, Pos: pos}
	vs.list = append(vs.list, v)
	slices.SortStableFunc(vs.list, func(a, b *Volume) int { return cmp.Compare(a.Number, b.Number) })
	return v
}

func (vs *volumeSet) once(in *interpreter, v *Volume, what string, s *statement) bool {
	key := strconv.Itoa(v.Number) + "/" + what
	if vs.seen == nil {
		vs.seen = map[string]lexer.Position{}
	}
	if first, dup := vs.seen[key]; dup {
		in.p.errorf(s.Pos, s.Words[0].width(), "the first is at "+where(first), "a second %s in %s", what, vs.owner)
		return false
	}
	vs.seen[key] = s.Pos
	return true
}

// volumeStatement reads `volume N { ... }` or a statement of the implicit volume 0.
func (in *interpreter) volumeStatement(st *statement, vs *volumeSet) bool {
	w := st.Words[0]
	if w.Bare == "volume" {
		n, err := uint64(0), error(nil)
		if len(st.Words) == 2 {
			n, err = strconv.ParseUint(st.Words[1].Bare, 10, 32)
		}
		if len(st.Words) != 2 || st.Body == nil || err != nil || n > maxVolume {
			in.p.errorf(st.Pos, 6, "", "a volume is written: volume NUMBER { ... }, the number at most %d", maxVolume)
			return true
		}
		v := vs.volume(int(n), false, st.Pos)
		if !vs.once(in, v, "volume "+st.Words[1].Bare, st) {
			return true
		}
		for _, s := range st.Body.Stmts {
			if !slices.Contains(volumeWords, s.Words[0].Bare) {
				in.p.errorf(s.Pos, s.Words[0].width(), didYouMean(s.Words[0].text(), volumeWords), "unknown statement %q in volume %d", s.Words[0].text(), n)
				continue
			}
			in.volumeItem(s, v, vs)
		}
		return true
	}
	if !slices.Contains(volumeWords, w.Bare) {
		return false
	}
	in.volumeItem(st, vs.volume(0, true, st.Pos), vs)
	return true
}

func (in *interpreter) volumeItem(s *statement, v *Volume, vs *volumeSet) {
	switch w := s.Words[0]; w.Bare {
	case "device":
		if vs.once(in, v, "device", s) {
			in.device(s, v)
		}
	case "disk":
		if s.Body != nil {
			if inner, ok := in.plainBlock(s); ok && vs.once(in, v, "disk section", s) {
				var to Sections
				in.options(secDisk, inner, &to)
				v.DiskOptions = to.Disk
			}
			return
		}
		if in.oneName(s) && vs.once(in, v, "disk", s) {
			v.Disk = s.Words[1].text()
		}
	case "meta-disk", "flexible-meta-disk":
		if vs.once(in, v, "meta-disk", s) {
			in.metaDisk(s, v)
		}
	}
}

func (in *interpreter) metaDisk(s *statement, v *Volume) {
	args := s.Words[1:]
	if s.Body != nil || len(args) == 0 || !args[0].isName() {
		in.p.errorf(s.Pos, s.Words[0].width(), "", "%s needs internal or a device", s.Words[0].text())
		return
	}
	v.MetaDisk, v.MetaIndex = args[0].text(), MetaFlexible
	if args[0].Bare == "internal" {
		v.MetaIndex = MetaInternal
	}
	if s.Words[0].Bare == "flexible-meta-disk" {
		in.p.warnf(s.Pos, s.Words[0].width(), "write meta-disk", "flexible-meta-disk is the spelling of DRBD 8.3")
	}
	if len(args) == 1 {
		return
	}
	if len(args) != 4 || args[1].Punct != "[" || args[3].Punct != "]" || s.Words[0].Bare != "meta-disk" || v.MetaIndex == MetaInternal {
		in.tooMany(s, args, 1)
		return
	}
	n, err := strconv.ParseUint(args[2].Bare, 10, 16)
	if err != nil {
		in.p.errorf(args[2].Pos, args[2].width(), "", "%q is not an index of metadata", args[2].text())
		return
	}
	v.MetaIndex = MetaIndex(n)
}

// device reads NAME, NAME minor N, or minor N.
func (in *interpreter) device(s *statement, v *Volume) {
	args := s.Words[1:]
	if s.Body != nil || len(args) == 0 {
		in.p.errorf(s.Pos, 6, "", "write device /dev/drbdN; or device minor N;")
		return
	}
	var nameWord *word
	if args[0].Bare != "minor" || len(args) == 1 {
		nameWord = args[0]
		name := nameWord.text()
		if !strings.HasPrefix(name, "/") {
			name = "/dev/" + name
		}
		v.Device = name
		args = args[1:]
	}
	named := -1 // the minor in the name
	if nameWord != nil {
		rest, isDrbd := strings.CutPrefix(v.Device, "/dev/drbd")
		n, err := strconv.ParseUint(rest, 10, 32)
		switch {
		case isDrbd && strings.HasPrefix(rest, "_"):
		case isDrbd && err == nil && n <= maxMinor:
			named = int(n)
			v.Minor, v.HasMinor = named, true
		default:
			in.p.errorf(nameWord.Pos, nameWord.width(), "a name is /dev/drbdN, or /dev/drbd_NAME with minor N after it", "unusable device name %s", nameWord.text())
			return
		}
	}
	if len(args) == 0 {
		if named < 0 {
			in.p.errorf(nameWord.Pos, nameWord.width(), "write device "+nameWord.text()+" minor N;", "the device name has no minor number")
		}
		return
	}
	if args[0].Bare != "minor" || len(args) < 2 {
		in.tooMany(s, args, 0)
		return
	}
	n, err := strconv.ParseUint(args[1].Bare, 10, 32)
	switch {
	case err != nil || n > maxMinor:
		in.p.errorf(args[1].Pos, args[1].width(), "", "%q is not a minor number up to %d", args[1].text(), maxMinor)
	case named >= 0 && int(n) != named:
		in.p.errorf(args[1].Pos, args[1].width(), "leave off either the name or the minor", "minor %d contradicts the name %s", n, nameWord.text())
	case len(args) > 2:
		in.tooMany(s, args, 2)
	default:
		v.Minor, v.HasMinor = int(n), true
	}
}

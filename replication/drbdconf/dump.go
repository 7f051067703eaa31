package drbdconf

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Dump writes the configuration as `drbdadm dump` of DRBD 8.4 does on the given
// node; the node decides about the comments and about references to resources
// that it does not have.
func (c *Config) Dump(w io.Writer, node Node) error {
	b := bufio.NewWriter(w)
	d := dumper{w: b, cfg: c, node: node}
	d.line("# %s", c.Path)
	d.global()
	if c.Common != nil {
		d.line("common {")
		d.indent++
		d.sections(&c.Common.Sections, false)
		d.indent--
		d.line("}\n")
	}
	for _, r := range c.Resources {
		d.resource(r)
	}
	return b.Flush()
}

// String is the text form without knowledge of the node: nothing is left out.
func (c *Config) String() string {
	var b strings.Builder
	_ = c.Dump(&b, Node{}) // a strings.Builder does not fail
	return b.String()
}

type dumper struct {
	w      *bufio.Writer
	cfg    *Config
	node   Node
	indent int
}

func (d *dumper) line(format string, args ...any) {
	fmt.Fprintf(d.w, "%*s"+format+"\n", append([]any{4 * d.indent, ""}, args...)...)
}

// field writes NAME VALUE; with the name padded so that values of one level stand
// in one column.
func (d *dumper) field(name, value string) {
	d.line("%-*s %s;", 24-4*d.indent, name, value)
}

// option is a field with the value at least three wide, to the right.
func (d *dumper) option(name, value string) {
	d.field(name, fmt.Sprintf("%3s", value))
}

// The defaults that drbdadm compares with when it prints. The values it starts from
// are others (see newInterpreter), so that two lines appear nobody wrote.
const (
	dumpDefaultShort  = 5
	dumpDefaultMedium = 121
	dumpDefaultLong   = 600
)

func (d *dumper) global() {
	g := d.cfg.Global
	if !g.DisableIPVerification && g.MinorCount == 0 && g.DialogRefresh == 1 && g.UsageCount == "ask" {
		return
	}
	d.line("global {")
	d.indent++
	if g.DisableIPVerification {
		d.line("disable-ip-verification;")
	}
	if g.MinorCount != 0 {
		d.line("minor-count %d;", g.MinorCount)
	}
	if g.DialogRefresh != 1 {
		d.line("dialog-refresh %d;", g.DialogRefresh)
	}
	if g.UsageCount != "ask" {
		d.line("usage-count %s;", g.UsageCount)
	}
	if g.CmdTimeoutShort != dumpDefaultShort {
		d.line("cmd-timeout-short %d;", g.CmdTimeoutShort)
	}
	if g.CmdTimeoutMedium != dumpDefaultMedium {
		d.line("cmd-timeout-medium %d;", g.CmdTimeoutMedium)
	}
	if g.CmdTimeoutLong != dumpDefaultLong {
		d.line("cmd-timeout-long %d;", g.CmdTimeoutLong)
	}
	d.indent--
	d.line("}\n")
}

func (d *dumper) resource(r *Resource) {
	local := r.Local(d.node)
	ignored, stacked := "ignored", "not stacked"
	if local != nil {
		ignored = "not ignored"
		if local.Kind == StackedHost {
			stacked = "stacked"
		}
	}
	d.line("# resource %s on %s: %s, %s", quote(r.Name), d.node.Name, ignored, stacked)
	d.line("# defined at %s:%d", r.Pos.Filename, r.Pos.Line)
	d.line("resource %s {", quote(r.Name))
	d.indent++
	for _, h := range r.Hosts {
		d.host(h)
	}
	d.sections(&r.Sections, true)
	d.indent--
	d.line("}\n")
}

func (d *dumper) host(h *Host) {
	switch h.Kind {
	case NamedHost:
		d.line("on %s {", quoteAll(h.Names))
	case FloatingHost:
		d.line("floating %s {", h.Address.withFamily())
	case StackedHost:
		d.line("stacked-on-top-of %s {", quote(h.Lower))
		d.indent++
		d.line("# on %s ", strings.Join(h.Names, " "))
		d.indent--
	}
	d.indent++
	d.block("options", h.Options)
	for _, v := range h.Volumes {
		d.volume(h, v)
	}
	if h.Kind != FloatingHost {
		d.field("address", h.Address.withFamily())
	}
	if h.AlternateLink != nil {
		d.field("alternate-link-address", h.AlternateLink.withFamily())
	}
	if p := h.Proxy; p != nil {
		d.line("proxy on %s {", quoteAll(p.Names))
		d.indent++
		// drbdadm writes these two with the column of the level above.
		d.line("%-16s %s;", "inside", p.Inside.withFamily())
		d.line("%-16s %s;", "outside", p.Outside.withFamily())
		if len(p.Options) > 0 || p.Plugin != nil {
			d.line("options {")
			d.indent++
			d.options(p.Options)
			d.plugin(p.Plugin)
			d.indent--
			d.line("}")
		}
		d.indent--
		d.line("}")
	}
	d.indent--
	d.line("}")
}

func (d *dumper) volume(h *Host, v *Volume) {
	if !v.Implicit {
		d.line("volume %d {", v.Number)
		d.indent++
	}
	d.block("disk", v.DiskOptions)
	device := fmt.Sprintf("minor %d", v.Minor)
	if v.Device != "" {
		device = quote(v.Device) + " " + device
	}
	d.field("device", device)
	if h.Kind != StackedHost {
		d.field("disk", quote(v.Disk))
		switch v.MetaIndex {
		case MetaInternal:
			d.field("meta-disk", "internal")
		case MetaFlexible:
			d.line("%-16s %s;", "meta-disk", quote(v.MetaDisk))
		default:
			d.line("%-16s %s [%d];", "meta-disk", quote(v.MetaDisk), v.MetaIndex)
		}
	}
	if !v.Implicit {
		d.indent--
		d.line("}")
	}
}

// sections writes the option sections in drbdadm's fixed order.
func (d *dumper) sections(s *Sections, inResource bool) {
	d.block("options", s.Options)
	d.block("net", s.Net)
	disk := s.Disk
	if inResource {
		disk = d.knownResyncAfter(disk)
	}
	d.block("disk", disk)
	d.block("startup", s.Startup)
	if len(s.Proxy) > 0 || s.ProxyPlugin != nil {
		d.line("proxy {")
		d.indent++
		d.options(s.Proxy)
		d.plugin(s.ProxyPlugin)
		d.indent--
		d.line("}")
	}
	d.block("handlers", s.Handlers)
}

// knownResyncAfter leaves out references to resources that this node does not have.
func (d *dumper) knownResyncAfter(opts Options) Options {
	if d.node.Name == "" {
		return opts
	}
	var out Options
	for _, o := range opts {
		if o.Name == "resync-after" {
			if t := d.cfg.resyncTarget(o.Text); t == nil || t.Local(d.node) == nil {
				continue
			}
		}
		out = append(out, o)
	}
	return out
}

func (d *dumper) block(name string, opts Options) {
	if len(opts) == 0 {
		return
	}
	d.line("%s {", name)
	d.indent++
	d.options(opts)
	d.indent--
	d.line("}")
}

func (d *dumper) options(opts Options) {
	for _, o := range opts {
		switch {
		case o.Bare:
			d.line("%s;", o.Name)
		case o.List != nil:
			d.option(o.Name, quoteAll(o.List))
		case o.Name == "compression":
			d.option(o.Name, o.Text)
		default:
			d.option(o.Name, quote(o.Text))
		}
	}
}

func (d *dumper) plugin(lines []string) {
	if lines == nil {
		return
	}
	d.line("plugin {")
	d.indent++
	for _, l := range lines {
		d.line("%s;", l)
	}
	d.indent--
	d.line("}")
}

// withFamily is the address with its family always written.
func (a Address) withFamily() string {
	if a.Family == "ipv4" {
		return "ipv4 " + a.String()
	}
	return a.String()
}

func quoteAll(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quote(n)
	}
	return strings.Join(out, " ")
}

package drbdconf

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// DumpXML writes the configuration as `drbdadm dump-xml` of DRBD 8.4 does.
func (c *Config) DumpXML(w io.Writer, node Node) error {
	b := bufio.NewWriter(w)
	d := xmlDumper{dumper{w: b, cfg: c, node: node}}
	d.line("<config file=\"%s\">", escape(c.Path))
	d.indent++
	d.global()
	if c.Common != nil {
		d.line("<common>")
		d.indent++
		d.sections(&c.Common.Sections, false)
		d.indent--
		d.line("</common>")
	}
	for _, r := range c.Resources {
		d.line("<resource name=\"%s\" conf-file-line=\"%s:%d\">", escape(r.Name), escape(r.Pos.Filename), r.Pos.Line)
		d.indent++
		for _, h := range r.Hosts {
			d.host(h)
		}
		d.sections(&r.Sections, true)
		d.indent--
		d.line("</resource>")
	}
	d.indent--
	d.line("</config>")
	return b.Flush()
}

type xmlDumper struct{ dumper }

// escape replaces what drbdadm replaces in XML.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(s)
}

func (d *xmlDumper) global() {
	g := d.cfg.Global
	if !g.DisableIPVerification && g.MinorCount == 0 && g.DialogRefresh == 1 {
		return
	}
	d.line("<global>")
	d.indent++
	if g.DisableIPVerification {
		d.line("<disable-ip-verification/>")
	}
	if g.MinorCount != 0 {
		d.line("<minor-count count=\"%d\"/>", g.MinorCount)
	}
	if g.DialogRefresh != 1 {
		d.line("<dialog-refresh refresh=\"%d\"/>", g.DialogRefresh)
	}
	d.indent--
	d.line("</global>")
}

func (d *xmlDumper) host(h *Host) {
	if h.Kind == FloatingHost {
		d.line("<host floating=\"1\">")
	} else {
		d.line("<host name=\"%s\">", escape(strings.Join(h.Names, " ")))
	}
	d.indent++
	d.section("options", h.Options)
	for _, v := range h.Volumes {
		d.line("<volume vnr=\"%d\">", v.Number)
		d.indent++
		d.section("disk", v.DiskOptions)
		d.line("<device minor=\"%d\">%s</device>", v.Minor, escape(v.Device))
		d.line("<disk>%s</disk>", escape(d.disk(h, v)))
		if v.MetaIndex >= 0 {
			d.line("<meta-disk index=\"%d\">%s</meta-disk>", v.MetaIndex, escape(v.MetaDisk))
		} else {
			d.line("<meta-disk>%s</meta-disk>", escape(v.MetaDisk))
		}
		d.indent--
		d.line("</volume>")
	}
	d.address("address", h.Address)
	if p := h.Proxy; p != nil {
		d.line("<proxy hostname=\"%s\">", escape(strings.Join(p.Names, " ")))
		d.indent++
		d.address("inside", p.Inside)
		d.address("outside", p.Outside)
		d.proxySection("options", p.Options, p.Plugin)
		d.indent--
		d.line("</proxy>")
	}
	d.indent--
	d.line("</host>")
}

// disk is the backing device. That of a stacked host is known only on the nodes of
// the resource below.
func (d *xmlDumper) disk(h *Host, v *Volume) string {
	if h.Kind == StackedHost && d.cfg.Resource(h.Lower).Local(d.node) == nil {
		return ""
	}
	return v.Disk
}

func (d *xmlDumper) address(tag string, a Address) {
	d.line("<%s family=\"%s\" port=\"%d\">%s</%s>", tag, a.Family, a.Port, escape(a.Host), tag)
}

func (d *xmlDumper) sections(s *Sections, inResource bool) {
	d.section("options", s.Options)
	d.section("net", s.Net)
	disk := s.Disk
	if inResource {
		disk = d.knownResyncAfter(disk)
	}
	d.section("disk", disk)
	d.section("startup", s.Startup)
	d.proxySection("proxy", s.Proxy, s.ProxyPlugin)
	d.section("handlers", s.Handlers)
}

func (d *xmlDumper) section(name string, opts Options) { d.proxySection(name, opts, nil) }

func (d *xmlDumper) proxySection(name string, opts Options, plugin []string) {
	if len(opts) == 0 && plugin == nil {
		return
	}
	d.line("<section name=\"%s\">", name)
	d.indent++
	for _, o := range opts {
		value := fmt.Sprintf(" value=\"%s\"", escape(o.Text))
		if o.Bare {
			value = ""
		}
		d.line("<option name=\"%s\"%s/>", o.Name, value)
	}
	if plugin != nil {
		d.line("<section name=\"plugin\">")
		d.indent++
		for _, l := range plugin {
			d.line("<option name=\"%s\"/>", escape(l))
		}
		d.indent--
		d.line("</section>")
	}
	d.indent--
	d.line("</section>")
}

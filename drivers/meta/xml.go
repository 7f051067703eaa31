package meta

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// XML writes the meta-data document of the ra-api DTD.
func (a *Agent) XML() string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">\n")
	b.WriteString("<resource-agent" + attr("name", a.Name) + attr("version", a.Version) + ">\n")
	api := a.API
	if api == "" {
		api = "1.0"
	}
	fmt.Fprintf(&b, "<version>%s</version>\n", escape(api))
	texts(&b, "", a.Long, a.Short)
	b.WriteString("<parameters>\n")
	for _, p := range a.Params {
		if !p.Hidden {
			p.write(&b)
		}
	}
	b.WriteString("</parameters>\n<actions>\n")
	for _, x := range a.Actions {
		x.write(&b)
	}
	b.WriteString("</actions>\n</resource-agent>\n")
	return b.String()
}

func (p Param) write(b *strings.Builder) {
	b.WriteString("  <parameter" + attr("name", p.Name))
	if p.UniqueGroup != "" {
		b.WriteString(attr("unique-group", p.UniqueGroup))
	} else {
		b.WriteString(attr("unique", flag(p.Unique)))
	}
	b.WriteString(attr("required", flag(p.Required)))
	if p.Reloadable {
		b.WriteString(attr("reloadable", "1"))
	}
	b.WriteString(">\n")
	if p.ReplacedBy != "" {
		b.WriteString("    <deprecated><replaced-with" + attr("name", p.ReplacedBy) + "/></deprecated>\n")
	}
	texts(b, "    ", p.Long, p.Short)
	b.WriteString("    <content" + attr("type", string(p.Type)))
	if p.Default != "" {
		b.WriteString(attr("default", p.Default))
	}
	if len(p.Options) == 0 {
		b.WriteString("/>\n")
	} else {
		b.WriteString(">\n")
		for _, o := range p.Options {
			b.WriteString("      <option" + attr("value", o) + "/>\n")
		}
		b.WriteString("    </content>\n")
	}
	b.WriteString("  </parameter>\n")
}

func (x Action) write(b *strings.Builder) {
	b.WriteString("  <action" + attr("name", x.Name))
	if x.Role != "" {
		b.WriteString(attr("role", x.Role))
	}
	if x.Timeout > 0 {
		b.WriteString(attr("timeout", seconds(x.Timeout)))
	}
	if x.Interval > 0 {
		b.WriteString(attr("interval", seconds(x.Interval)))
	}
	if x.Name == "monitor" {
		b.WriteString(attr("depth", strconv.Itoa(x.Depth)))
	}
	b.WriteString("/>\n")
}

func texts(b *strings.Builder, indent, long, short string) {
	if long == "" {
		long = short
	}
	fmt.Fprintf(b, "%s<longdesc lang=\"en\">%s</longdesc>\n", indent, escape(long))
	fmt.Fprintf(b, "%s<shortdesc lang=\"en\">%s</shortdesc>\n", indent, escape(short))
}

func seconds(d time.Duration) string {
	if d%time.Second != 0 {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%ds", int64(d.Seconds()))
}

func flag(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

func attr(name, value string) string { return " " + name + `="` + escape(value) + `"` }

func escape(s string) string {
	var b strings.Builder
	// The only error EscapeText passes on is the writer's; Builder has none.
	_ = xml.EscapeText(&b, []byte(s))
	return strings.ReplaceAll(b.String(), "&#xA;", "\n")
}

// Parse reads a meta-data document, also those of scripts: unknown elements
// are passed over, times are read with or without unit.
func Parse(document string) (*Agent, error) {
	var doc struct {
		XMLName xml.Name `xml:"resource-agent"`
		Name    string   `xml:"name,attr"`
		Version string   `xml:"version,attr"`
		API     string   `xml:"version"`
		Long    string   `xml:"longdesc"`
		Short   string   `xml:"shortdesc"`
		Params  []struct {
			Name        string `xml:"name,attr"`
			Unique      string `xml:"unique,attr"`
			UniqueGroup string `xml:"unique-group,attr"`
			Required    string `xml:"required,attr"`
			Reloadable  string `xml:"reloadable,attr"`
			Long        string `xml:"longdesc"`
			Short       string `xml:"shortdesc"`
			Deprecated  *struct {
				By struct {
					Name string `xml:"name,attr"`
				} `xml:"replaced-with"`
			} `xml:"deprecated"`
			Content struct {
				Type    string `xml:"type,attr"`
				Default string `xml:"default,attr"`
				Options []struct {
					Value string `xml:"value,attr"`
				} `xml:"option"`
			} `xml:"content"`
		} `xml:"parameters>parameter"`
		Actions []struct {
			Name     string `xml:"name,attr"`
			Role     string `xml:"role,attr"`
			Timeout  string `xml:"timeout,attr"`
			Interval string `xml:"interval,attr"`
			Depth    string `xml:"depth,attr"`
		} `xml:"actions>action"`
	}
	dec := xml.NewDecoder(strings.NewReader(document))
	dec.Strict = true
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("agent meta-data: %w", err)
	}
	a := &Agent{Name: doc.Name, Version: doc.Version, API: strings.TrimSpace(doc.API),
		Short: strings.TrimSpace(doc.Short), Long: strings.TrimSpace(doc.Long)}
	yes := func(s string) bool { v, ok := ParseBool(s); return ok && v }
	for _, p := range doc.Params {
		q := Param{Name: p.Name, Type: Type(p.Content.Type), Default: p.Content.Default,
			Required: yes(p.Required), Unique: yes(p.Unique), UniqueGroup: p.UniqueGroup,
			Reloadable: yes(p.Reloadable), Short: strings.TrimSpace(p.Short), Long: strings.TrimSpace(p.Long)}
		for _, o := range p.Content.Options {
			q.Options = append(q.Options, o.Value)
		}
		if p.Deprecated != nil {
			q.ReplacedBy = p.Deprecated.By.Name
		}
		a.Params = append(a.Params, q)
	}
	for _, x := range doc.Actions {
		y := Action{Name: x.Name, Role: x.Role}
		y.Timeout, _ = ParseTime(x.Timeout)
		y.Interval, _ = ParseTime(x.Interval)
		y.Depth, _ = strconv.Atoi(x.Depth)
		a.Actions = append(a.Actions, y)
	}
	return a, nil
}

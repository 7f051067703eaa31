package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"strings"

	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/native"
)

// definition is a domain's configuration file.
type definition struct {
	name string // of the domain
	path string
	text string
	xl   bool // text is an xl configuration, which only the daemon understands
}

// define reads the configuration. VirtualDomain knows libvirt's XML only.
func (v machine) define(c *native.Call) (definition, error) {
	set := v.settings(c)
	b, err := os.ReadFile(set.config)
	if err != nil {
		return definition{}, fmt.Errorf("configuration of the domain: %w", err)
	}
	d := definition{path: set.config, text: string(b)}
	if d.xl = set.xl && !strings.HasPrefix(strings.TrimSpace(d.text), "<"); d.xl {
		d.name = xlName(d.text)
	} else {
		parsed, err := parseDescription(d.text)
		if err != nil {
			return d, fmt.Errorf("configuration of the domain %s: %w", d.path, err)
		}
		d.name = parsed.Name
	}
	if set.name != "" {
		d.name = set.name
	}
	if d.name == "" {
		d.name = c.Resource // as xl's agent does
	}
	return d, nil
}

// xlName is the name an xl configuration gives, which is a list of
// assignments in the manner of Python; the last one counts. Empty if it has
// none.
func xlName(text string) string {
	name := ""
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "name" {
			continue
		}
		value = strings.TrimSpace(value)
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			if inner, _, closed := strings.Cut(value[1:], value[:1]); closed {
				name = inner
			}
		}
	}
	return name
}

// describe is the XML the domain is made from.
func (d definition) describe(ctx context.Context, conn *rpc.Conn) (description, error) {
	text := d.text
	var err error
	if d.xl {
		if xlName(text) == "" {
			text = fmt.Sprintf("name = %q\n", d.name) + text
		}
		text, err = conn.FromNative(ctx, "xen-xl", text)
	}
	if err == nil {
		text, err = rename(text, d.name)
	}
	if err != nil {
		return description{}, fmt.Errorf("configuration of the domain %s: %w", d.path, err)
	}
	return parseDescription(text)
}

// rename gives the domain of an XML text another name.
func rename(text, name string) (string, error) {
	var quoted strings.Builder
	if err := xml.EscapeText(&quoted, []byte(name)); err != nil {
		return "", err
	}
	d := xml.NewDecoder(strings.NewReader(text))
	depth := 0
	for {
		token, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("no <name> to change: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			if depth == 2 && t.Name.Local == "name" {
				from := d.InputOffset()
				if err := d.Skip(); err != nil {
					return "", err
				}
				end := strings.LastIndex(text[:d.InputOffset()], "</")
				if int64(end) < from { // <name/>
					return "", fmt.Errorf("the domain's <name/> is empty")
				}
				return text[:from] + quoted.String() + text[end:], nil
			}
		case xml.EndElement:
			depth--
		}
	}
}

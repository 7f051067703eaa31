package libvirt

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// description is what the agents read of a domain's XML.
type description struct {
	text     string
	Type     string `xml:"type,attr"`
	Name     string `xml:"name"`
	Emulator string `xml:"devices>emulator"`
	Disks    []struct {
		Device string `xml:"device,attr"`
		Source struct {
			File   string `xml:"file,attr"`
			Dev    string `xml:"dev,attr"`
			Pool   string `xml:"pool,attr"`
			Policy string `xml:"startupPolicy,attr"`
		} `xml:"source"`
	} `xml:"devices>disk"`
	Interfaces []struct {
		Source struct {
			Network string `xml:"network,attr"`
			Bridge  string `xml:"bridge,attr"`
		} `xml:"source"`
	} `xml:"devices>interface"`
}

func parseDescription(text string) (description, error) {
	d := description{text: text}
	var root struct {
		XMLName xml.Name `xml:"domain"`
	}
	if err := xml.Unmarshal([]byte(text), &root); err != nil {
		return d, err
	}
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		return d, err
	}
	if d.Name = strings.TrimSpace(d.Name); d.Name == "" {
		return d, fmt.Errorf("the domain has no <name>")
	}
	return d, nil
}

// ready looks for what the domain needs of this host before it is started:
// what is missing here may be there on another node.
func (d description) ready() drivers.Result {
	if d.Type == "test" {
		return native.OK() // its devices are made up
	}
	missing := func(what, path string) (drivers.Result, bool) {
		if path == "" {
			return native.OK(), false
		}
		if there, err := native.Exists(path); err != nil || there {
			return native.Failed(err), err != nil
		}
		return native.Fail(drivers.NotInstalled, "domain %s: %s %s is not on this node", d.Name, what, path), true
	}
	if d.Type == "kvm" {
		if res, bad := missing("hardware virtualization", "/dev/kvm"); bad {
			return res
		}
	}
	if res, bad := missing("emulator", strings.TrimSpace(d.Emulator)); bad {
		return res
	}
	for _, disk := range d.Disks {
		if slices.Contains([]string{"cdrom", "floppy"}, disk.Device) && disk.Source.Policy != "" && disk.Source.Policy != "mandatory" {
			continue
		}
		for _, path := range []string{disk.Source.File, disk.Source.Dev} {
			if res, bad := missing("disk", path); bad {
				return res
			}
		}
	}
	for _, i := range d.Interfaces {
		if i.Source.Bridge != "" {
			if res, bad := missing("bridge", "/sys/class/net/"+i.Source.Bridge); bad {
				return res
			}
		}
	}
	return native.OK()
}

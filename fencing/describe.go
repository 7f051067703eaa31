package fencing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gcrm/cib"
)

// Description is what a native method tells about itself, in the shape of the
// agent whose name it has.
type Description struct {
	Name, Short, Long string
	Params            []Param
	Actions           []string // "on:automatic" marks unfencing
}

// Param is one parameter of a [Description].
type Param struct {
	Name, Type, Default, Short string
	Required                   bool
	Obsoletes                  string // older name, described with it
	Values                     []string
}

// Metadata implements [Method] for those that embed a Description.
func (d Description) Metadata(context.Context) (string, error) { return d.XML(), nil }

// XML is the description in the words of the fence agent API.
func (d Description) XML() string {
	root := cib.NewElement("resource-agent", "name", d.Name, "shortdesc", d.Short)
	long := cib.NewElement("longdesc")
	long.Text = d.Long
	root.Add(long)
	params := cib.NewElement("parameters")
	add := func(p Param, name, obsoletes string, old bool) {
		e := cib.NewElement("parameter", "name", name, "unique", "0", "required", oneOrZero(p.Required && !old), "obsoletes", obsoletes)
		if old {
			e.Set("deprecated", "1")
		}
		e.Add(cib.NewElement("getopt", "mixed", "--"+strings.ReplaceAll(name, "_", "-")+"="))
		c := cib.NewElement("content", "type", nonEmpty(p.Type, "string"), "default", p.Default)
		for _, v := range p.Values {
			c.Add(cib.NewElement("option", "value", v))
		}
		short := cib.NewElement("shortdesc", "lang", "en")
		short.Text = p.Short
		params.Add(e.Add(c, short))
	}
	for _, p := range append([]Param{{Name: "action", Default: Reboot, Short: "fencing action", Required: true}}, d.Params...) {
		add(p, p.Name, p.Obsoletes, false)
		if p.Obsoletes != "" {
			add(p, p.Obsoletes, "", true)
		}
	}
	actions := cib.NewElement("actions")
	for _, a := range append(d.Actions, "metadata") {
		name, automatic := strings.CutSuffix(a, ":automatic")
		e := cib.NewElement("action", "name", name)
		if name == On {
			e.Set("automatic", oneOrZero(automatic))
		}
		actions.Add(e)
	}
	return root.Add(params, actions).String()
}

func oneOrZero(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// powerParams are the parameters that [Operate] looks at.
var powerParams = [...]Param{
	{Name: "power_timeout", Type: "second", Default: "20", Short: "how long the power may take to change"},
	{Name: "power_wait", Type: "second", Default: "0", Short: "wait after a change of the power"},
	{Name: "stonith_status_sleep", Type: "second", Default: "1", Short: "pause between readings of the power"},
	{Name: "delay", Type: "second", Default: "0", Short: "wait before off and reboot"},
}

// WithPower adds the parameters that [Operate] looks at.
func WithPower(params ...Param) []Param { return append(params, powerParams[:]...) }

// WithLogin adds address and login of a device, with the names of fence agents.
// port is the default of ipport.
func WithLogin(port string, params ...Param) []Param {
	return append([]Param{
		{Name: "ip", Obsoletes: "ipaddr", Required: true, Short: "address or name of the device"},
		{Name: "ipport", Type: "integer", Default: port, Short: "port of the device"},
		{Name: "username", Obsoletes: "login", Short: "user on the device"},
		{Name: "password", Obsoletes: "passwd", Short: "password of the user"},
		{Name: "password_script", Obsoletes: "passwd_script", Short: "program that prints the password"},
	}, params...)
}

// Login is what [WithLogin] describes.
type Login struct {
	Host, Port, User, Password string
}

// Login reads the parameters of [WithLogin].
func (c Call) Login(port string) (Login, error) {
	l := Login{c.Param("ip", "ipaddr", ""), c.Param("ipport", port), c.Param("username", "login", ""), c.Param("password", "passwd", "")}
	if on, _ := cib.ParseBool(c.Param("port_as_ip", "0")); on {
		l.Host = c.Param("plug", "port", c.Plug)
	}
	if l.Host == "" {
		return l, &Error{"configure", c.Device, errors.New("the address of the device is missing"), "set the parameter ip"}
	}
	if n, err := strconv.ParseUint(l.Port, 10, 16); err != nil || n == 0 {
		return l, &Error{"configure", c.Device, fmt.Errorf("ipport %q is no port", l.Port), "set ipport to a number from 1 to 65535"}
	}
	return l, nil
}

// Package snmp is fence_apc_snmp and the agents of other vendors: power switches,
// blades and network ports over SNMP. One table (vendors.go) holds what differs
// between them.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"gcrm/fencing"
)

const sysObjectID = ".1.3.6.1.2.1.1.2.0"

// Method is the agent of one vendor.
type Method struct {
	fencing.Description
	vendor vendor
}

// All returns the methods by the names of their agents.
func All() map[string]fencing.Method {
	all := map[string]fencing.Method{}
	for _, v := range vendors() {
		all[v.agent] = newMethod(v)
	}
	return all
}

func newMethod(v vendor) *Method {
	actions := []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List, "list-status"}
	if v.ports {
		actions = []string{fencing.On + ":automatic", fencing.Off, fencing.Status, fencing.Monitor, fencing.List, "list-status"}
	}
	return &Method{vendor: v, Description: fencing.Description{Name: v.agent, Short: v.what + " over SNMP",
		Long:    v.long,
		Actions: actions,
		Params: fencing.WithPower(fencing.WithLogin("161",
			fencing.Param{Name: "plug", Obsoletes: "port", Required: true, Short: "outlet"},
			fencing.Param{Name: "community", Default: "private", Short: "community of SNMP 1 and 2c"},
			fencing.Param{Name: "snmp_version", Type: "select", Default: v.version, Values: []string{"1", "2c", "3"}, Short: "version of SNMP"},
			fencing.Param{Name: "snmp_sec_level", Type: "select", Values: []string{"noAuthNoPriv", "authNoPriv", "authPriv"}, Short: "security of SNMP 3"},
			fencing.Param{Name: "snmp_auth_prot", Type: "select", Values: []string{"MD5", "SHA", "SHA256", "SHA512"}, Short: "authentication of SNMP 3"},
			fencing.Param{Name: "snmp_priv_prot", Type: "select", Values: []string{"DES", "AES", "AES256"}, Short: "encryption of SNMP 3"},
			fencing.Param{Name: "snmp_priv_passwd", Short: "key of the encryption"},
			fencing.Param{Name: "snmp_priv_passwd_script", Short: "program that prints the key of the encryption"},
			fencing.Param{Name: "shell_timeout", Type: "second", Default: "3", Short: "how long an answer may take"},
		)...)}}
}

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	s, err := m.session(ctx, c)
	if err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	if err := s.snmp.Connect(); err != nil {
		return fencing.OutcomeOf(ctx, s.failed(err))
	}
	defer s.snmp.Conn.Close()
	if err := s.identify(); err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	switch c.Action {
	case fencing.Monitor, fencing.List, "list-status":
		names, err := s.outlets()
		o := fencing.OutcomeOf(ctx, err)
		if err == nil && c.Action != fencing.Monitor {
			for _, n := range names {
				o.Hosts = append(o.Hosts, n.number, strings.ToLower(n.name))
			}
		}
		return o
	}
	if s.plug, err = s.find(c.Param("plug", "port", c.Plug)); err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	return fencing.Operate(ctx, c, s)
}

// device is one session with a power switch.
type device struct {
	snmp   *gosnmp.GoSNMP
	host   string
	vendor vendor
	layout layout
	plug   outlet
}

func (m *Method) session(ctx context.Context, c fencing.Call) (*device, error) {
	login, err := c.Login("161")
	if err != nil {
		return nil, err
	}
	port, _ := strconv.ParseUint(login.Port, 10, 16)
	s := &device{host: login.Host, vendor: m.vendor, snmp: &gosnmp.GoSNMP{Target: login.Host, Port: uint16(port), Transport: "udp", Context: ctx,
		Community: c.Param("community", "private"), Timeout: c.Duration(3*time.Second, "shell_timeout"), Retries: 2, MaxOids: gosnmp.MaxOids}}
	bad := func(name string) error {
		return &fencing.Error{Op: "configure", On: c.Device, Err: fmt.Errorf("%s %q is not known", name, c.Params[name])}
	}
	switch c.Param("snmp_version", m.vendor.version) {
	case "1":
		s.snmp.Version = gosnmp.Version1
	case "2c":
		s.snmp.Version = gosnmp.Version2c
	case "3":
		s.snmp.Version = gosnmp.Version3
		return s, s.secure(c, login, bad)
	default:
		return nil, bad("snmp_version")
	}
	return s, nil
}

// secure fills in what SNMP 3 needs.
func (s *device) secure(c fencing.Call, login fencing.Login, bad func(string) error) error {
	u := &gosnmp.UsmSecurityParameters{UserName: login.User}
	s.snmp.SecurityModel, s.snmp.SecurityParameters = gosnmp.UserSecurityModel, u
	switch strings.ToLower(c.Param("snmp_sec_level", "authPriv")) {
	case "noauthnopriv":
		s.snmp.MsgFlags = gosnmp.NoAuthNoPriv
		return nil
	case "authnopriv":
		s.snmp.MsgFlags = gosnmp.AuthNoPriv
	case "authpriv":
		s.snmp.MsgFlags = gosnmp.AuthPriv
		p, ok := map[string]gosnmp.SnmpV3PrivProtocol{"DES": gosnmp.DES, "AES": gosnmp.AES, "AES256": gosnmp.AES256}[strings.ToUpper(c.Param("snmp_priv_prot", "DES"))]
		if !ok {
			return bad("snmp_priv_prot")
		}
		u.PrivacyProtocol, u.PrivacyPassphrase = p, c.Param("snmp_priv_passwd", login.Password)
	default:
		return bad("snmp_sec_level")
	}
	a, ok := map[string]gosnmp.SnmpV3AuthProtocol{"MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA256": gosnmp.SHA256, "SHA512": gosnmp.SHA512}[strings.ToUpper(c.Param("snmp_auth_prot", "MD5"))]
	if !ok {
		return bad("snmp_auth_prot")
	}
	u.AuthenticationProtocol, u.AuthenticationPassphrase = a, login.Password
	return nil
}

// unsuited is what to do about a device that answers other than its kind does.
const unsuited = "check plug, and that the agent is the one for this device"

func (s *device) failed(err error) error {
	hint := "check address, community (or user and password) and that the device allows SNMP from this node"
	if strings.Contains(err.Error(), "refused") {
		hint = "check that SNMP is switched on in the device"
	}
	return &fencing.Error{Op: "ask", On: s.host, Err: err, Hint: hint}
}

func (s *device) get(oid string) (gosnmp.SnmpPDU, error) {
	r, err := s.snmp.Get([]string{oid})
	switch {
	case err != nil:
		return gosnmp.SnmpPDU{}, s.failed(err)
	case r.Error != gosnmp.NoError:
		return gosnmp.SnmpPDU{}, &fencing.Error{Op: "ask", On: s.host, Err: fmt.Errorf("it answers %s for %s", r.Error, oid), Hint: unsuited}
	case len(r.Variables) != 1 || r.Variables[0].Type == gosnmp.NoSuchObject || r.Variables[0].Type == gosnmp.NoSuchInstance || r.Variables[0].Value == nil:
		return gosnmp.SnmpPDU{}, &fencing.Error{Op: "ask", On: s.host, Err: fmt.Errorf("it has no %s", oid), Hint: unsuited}
	}
	return r.Variables[0], nil
}

func (s *device) identify() error {
	v, err := s.get(sysObjectID)
	if err != nil {
		return err
	}
	object, _ := v.Value.(string)
	var ok bool
	if s.layout, ok = s.vendor.layoutOf(object); !ok {
		return &fencing.Error{Op: "ask", On: s.host, Err: fmt.Errorf("it is of a kind that %s does not know (%s)", s.vendor.agent, object),
			Hint: "see whether the address is right, and whether another agent is for this device"}
	}
	return nil
}

type named struct{ number, name string }

// outlets lists the outlets with their names.
func (s *device) outlets() ([]named, error) {
	pdus, err := s.snmp.WalkAll(s.layout.names)
	if err != nil {
		return nil, s.failed(err)
	}
	var out []named
	for _, p := range pdus {
		index := strings.Split(strings.TrimPrefix(p.Name, s.layout.names+"."), ".")
		n := named{number: index[len(index)-1]}
		switch {
		case s.layout.dotted:
			n.number = strings.Join(index, ".")
		case s.layout.second && len(index) >= 2:
			n.number = index[len(index)-2]
		}
		if i, err := strconv.Atoi(n.number); err == nil && !s.layout.switches {
			n.number = strconv.Itoa(i - s.layout.statusShift)
		}
		if s.layout.switches && len(index) >= 3 {
			n.number = index[0] + ":" + n.number
		}
		if b, ok := p.Value.([]byte); ok {
			n.name = strings.Trim(string(b), " \"\x00")
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		return nil, &fencing.Error{Op: "list the outlets of", On: s.host, Err: errors.New("the device tells of none"), Hint: "it is taken for: " + s.layout.name}
	}
	return out, nil
}

// find understands a plug: a number, SWITCH:NUMBER or a name.
func (s *device) find(plug string) (outlet, error) {
	if o, ok := s.number(plug); ok {
		return o, nil
	}
	if plug == "" {
		return outlet{}, &fencing.Error{Op: "configure", On: s.host, Err: errors.New("no outlet is given"), Hint: "set plug or pcmk_host_map"}
	}
	names, err := s.outlets()
	if err != nil {
		return outlet{}, err
	}
	for _, n := range names {
		if strings.EqualFold(n.name, plug) {
			if o, ok := s.number(n.number); ok {
				return o, nil
			}
		}
	}
	return outlet{}, &fencing.Error{Op: "find outlet", On: plug, Err: fmt.Errorf("%s has no outlet of that name", s.host), Hint: "see the names with the action list, and correct pcmk_host_map"}
}

func (s *device) number(plug string) (outlet, bool) {
	if s.layout.dotted {
		for f := range strings.SplitSeq(plug, ".") {
			if n, err := strconv.Atoi(f); err != nil || n < 0 {
				return outlet{}, false
			}
		}
		return outlet{dotted: plug}, true
	}
	bank, number, two := strings.Cut(plug, ":")
	if !two {
		bank, number = "1", plug
	}
	b, err1 := strconv.Atoi(bank)
	n, err2 := strconv.Atoi(number)
	return outlet{bank: b, number: n}, err1 == nil && err2 == nil && b > 0 && n > 0 && (!two || s.layout.switches)
}

// Power implements [fencing.Outlet].
func (s *device) Power(context.Context) (fencing.Power, error) {
	v, err := s.get(s.layout.oid(s.layout.status, s.plug, s.layout.statusShift))
	if err != nil {
		return fencing.PowerUnknown, err
	}
	if slices.Contains([]gosnmp.Asn1BER{gosnmp.Integer, gosnmp.Gauge32, gosnmp.Uinteger32}, v.Type) {
		state := int(gosnmp.ToBigInt(v.Value).Int64())
		switch {
		case slices.Contains(s.layout.statusOn, state):
			return fencing.PowerOn, nil
		case s.layout.statusOff == nil || slices.Contains(s.layout.statusOff, state):
			return fencing.PowerOff, nil
		}
		return fencing.PowerUnknown, &fencing.Error{Op: "read the power of an outlet of", On: s.host, Err: fmt.Errorf("it is between on and off (state %d)", state),
			Hint: "look at the device; if it takes that long to switch, raise power_timeout"}
	}
	return fencing.PowerUnknown, &fencing.Error{Op: "read the power of an outlet of", On: s.host, Err: fmt.Errorf("the answer is no state: %v", v.Value), Hint: unsuited}
}

// Switch implements [fencing.Outlet].
func (s *device) Switch(_ context.Context, on bool) error {
	value := s.layout.off
	if on {
		value = s.layout.on
	}
	r, err := s.snmp.Set([]gosnmp.SnmpPDU{{Name: s.layout.oid(s.layout.control, s.plug, s.layout.controlShift), Type: gosnmp.Integer, Value: value}})
	switch {
	case err != nil: // some do not answer those who may not write
		return &fencing.Error{Op: "switch an outlet of", On: s.host, Err: err, Hint: "check that the device has power and is reached, and that the community or user may write"}
	case r.Error != gosnmp.NoError:
		return &fencing.Error{Op: "switch an outlet of", On: s.host, Err: fmt.Errorf("it answers %s", r.Error), Hint: "check that the community or user may write"}
	}
	return nil
}

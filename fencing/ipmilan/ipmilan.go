// Package ipmilan is fence_ipmilan and its relatives: management boards of
// servers over IPMI 1.5 (lan) and 2.0 (lanplus).
package ipmilan

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"

	"gcrm/fencing"
)

// Method is one of the agents that speak IPMI.
type Method struct {
	fencing.Description
	lanplus bool
	cipher  string
}

// variants are the agents, with what their boards want by default.
var variants = [...]struct {
	name, short string
	lanplus     bool
	cipher      string
}{
	{"fence_ipmilan", "management boards over IPMI", false, ""},
	{"fence_idrac", "Dell iDRAC over IPMI", true, ""},
	{"fence_ilo3", "HP iLO 3 over IPMI", true, ""},
	{"fence_ilo4", "HP iLO 4 over IPMI", true, ""},
	{"fence_ilo5", "HP iLO 5 over IPMI", true, "17"},
	{"fence_imm", "IBM IMM over IPMI", true, ""},
}

// All returns the methods by name.
func All() map[string]*Method {
	all := map[string]*Method{}
	for _, v := range variants {
		lanplus := "0"
		if v.lanplus {
			lanplus = "1"
		}
		all[v.name] = &Method{lanplus: v.lanplus, cipher: v.cipher, Description: fencing.Description{Name: v.name, Short: v.short,
			Long: "Switches a server by its management board. A board that has no mains any more does not answer: " +
				"servers whose board has no supply of its own need a second fencing level.",
			Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, "diag"},
			Params: fencing.WithPower(fencing.WithLogin("623",
				fencing.Param{Name: "lanplus", Type: "boolean", Default: lanplus, Short: "IPMI 2.0"},
				fencing.Param{Name: "cipher", Type: "integer", Default: v.cipher, Short: "cipher suite of IPMI 2.0 (3, 17)"},
				fencing.Param{Name: "privlvl", Type: "select", Default: "administrator", Values: []string{"user", "operator", "administrator"}, Short: "privilege of the session"},
				fencing.Param{Name: "method", Type: "select", Default: "onoff", Values: []string{"onoff", "cycle"}, Short: "how a reboot is done"},
				fencing.Param{Name: "ipmitool_timeout", Type: "second", Default: "2", Short: "how long one answer may take"},
				fencing.Param{Name: "plug", Obsoletes: "port", Short: "node; with port_as_ip the address of the board"},
				fencing.Param{Name: "port_as_ip", Type: "boolean", Default: "0", Short: "take plug for the address, instead of ip"},
			)...)}}
	}
	return all
}

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	b, err := m.open(ctx, c)
	if err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	defer b.close()
	switch {
	case c.Action == fencing.Monitor:
		_, err := b.Power(ctx)
		return fencing.OutcomeOf(ctx, err)
	case c.Action == "diag":
		return fencing.OutcomeOf(ctx, b.control(ctx, chassis.ChassisControlDiagnosticInterrupt))
	case c.Action == fencing.Reboot && c.Param("method", "onoff") == "cycle":
		if !fencing.Sleep(ctx, c.Duration(0, "delay")) {
			return fencing.OutcomeOf(ctx, ctx.Err())
		}
		return fencing.OutcomeOf(ctx, b.control(ctx, chassis.ChassisControlPowerCycle))
	}
	return fencing.Operate(ctx, c, b)
}

// board is a session with a management board.
type board struct {
	client *client.Client
	host   string
	wait   time.Duration
}

func (m *Method) open(ctx context.Context, c fencing.Call) (*board, error) {
	login, err := c.Login("623")
	if err != nil {
		return nil, err
	}
	port, _ := strconv.Atoi(login.Port)
	cl, err := client.NewClient(login.Host, port, login.User, login.Password)
	if err != nil {
		return nil, &fencing.Error{Op: "configure", On: c.Device, Err: err}
	}
	cl.WithTimeout(c.Duration(2*time.Second, "ipmitool_timeout", "timeout")).WithRetry(2)
	lanplus := m.lanplus
	if v := c.Param("lanplus", ""); v != "" {
		lanplus = v != "0" && v != "false" && v != "no" && v != "off"
	}
	if lanplus {
		cl.WithInterface(client.InterfaceLanplus)
	} else {
		cl.WithInterface(client.InterfaceLan)
	}
	if v := c.Param("cipher", m.cipher); v != "" {
		n, err := strconv.ParseUint(v, 10, 8)
		if err != nil {
			return nil, &fencing.Error{Op: "configure", On: c.Device, Err: fmt.Errorf("cipher %q is no number", v)}
		}
		cl.WithCipherSuiteID(types.CipherSuiteID(n))
	} else if lanplus {
		cl.WithCipherSuiteID(types.CipherSuiteID17, types.CipherSuiteID3)
	}
	level, ok := map[string]types.PrivilegeLevel{"user": types.PrivilegeLevelUser, "operator": types.PrivilegeLevelOperator,
		"administrator": types.PrivilegeLevelAdministrator}[strings.ToLower(c.Param("privlvl", "administrator"))]
	if !ok {
		return nil, &fencing.Error{Op: "configure", On: c.Device, Err: fmt.Errorf("privlvl %q is not known", c.Param("privlvl", ""))}
	}
	cl.WithMaxPrivilegeLevel(level)
	b := &board{client: cl, host: login.Host, wait: c.Duration(2*time.Second, "power_wait")}
	if err := b.bounded(ctx, func() error { return cl.Connect(ctx) }); err != nil {
		return nil, b.failed(err)
	}
	return b, nil
}

// bounded lets f run until ctx is over; the library has waits that a context
// does not end. What is left of them ends with their own timeouts.
func (b *board) bounded(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *board) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = b.bounded(ctx, func() error { return b.client.Close(ctx) }) // the board ends idle sessions itself
}

func (b *board) failed(err error) error {
	hint := "check that the board has power and is reached from this node, and user, password, lanplus and cipher"
	text := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		hint = "check that the board has power and is reached from this node"
	case strings.Contains(text, "unauthorized") || strings.Contains(text, "rakp") || strings.Contains(text, "privilege"):
		hint = "check user, password and privlvl"
	}
	return &fencing.Error{Op: "ask", On: b.host, Err: err, Hint: hint}
}

// Power implements [fencing.Outlet].
func (b *board) Power(ctx context.Context) (fencing.Power, error) {
	var on bool
	err := b.bounded(ctx, func() error {
		s, err := b.client.GetChassisStatus(ctx)
		if err == nil {
			on = s.PowerIsOn
		}
		return err
	})
	switch {
	case err != nil:
		return fencing.PowerUnknown, b.failed(err)
	case on:
		return fencing.PowerOn, nil
	}
	return fencing.PowerOff, nil
}

func (b *board) control(ctx context.Context, what chassis.ChassisControl) error {
	err := b.bounded(ctx, func() error {
		_, err := b.client.ChassisControl(ctx, what)
		return err
	})
	if err != nil {
		return b.failed(err)
	}
	fencing.Sleep(ctx, b.wait)
	return nil
}

// Switch implements [fencing.Outlet].
func (b *board) Switch(ctx context.Context, on bool) error {
	if on {
		return b.control(ctx, chassis.ChassisControlPowerUp)
	}
	return b.control(ctx, chassis.ChassisControlPowerDown)
}

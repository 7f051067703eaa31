package snmp

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestSNMPGoesWrong: with snmpd, whose handler is made to misbehave.
func TestSNMPGoesWrong(t *testing.T) {
	params, dir := realDevice(t, apcSwitch(), apc()[0])
	oids := filepath.Join(dir, "oids")
	// alter changes the states of all outlets until the test is over.
	alter := func(t *testing.T, to string) {
		was, err := os.ReadFile(oids)
		if err != nil {
			t.Fatal(err)
		}
		write := func(text string) {
			if err := os.WriteFile(oids, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			do(t, params, fencing.List, "") // snmpd remembers the last answer of its handler
		}
		t.Cleanup(func() { os.WriteFile(oids, was, 0o644) })
		write(strings.ReplaceAll(string(was), "integer 1\n", to+"\n"))
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Hint: "password", Do: func(t *testing.T) fencing.Outcome {
			return do(t, params, fencing.Off, "1", "snmp_version", "3", "username", "admin", "password", "guessguess", "snmp_sec_level", "authNoPriv", "snmp_auth_prot", "SHA")
		}},
		methodtest.Timeout: {Text: "timeout", Hint: "address, community", Do: func(t *testing.T) fencing.Outcome {
			return do(t, params, fencing.Off, "1", "ipport", strconv.Itoa(methodtest.SilentPacket(t, nil)), "shell_timeout", "300ms")
		}},
		methodtest.Garbage: {Text: "no state", Hint: "check plug", Do: func(t *testing.T) fencing.Outcome {
			alter(t, "string lit")
			return do(t, params, fencing.Off, "1")
		}},
		methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome {
			alter(t, "integer 2")
			return do(t, params, fencing.Off, "1")
		}},
		methodtest.GoneMidway: {Text: "switch an outlet", Hint: "is reached", Do: func(t *testing.T) fencing.Outcome {
			if err := os.WriteFile(filepath.Join(dir, "fatal"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return do(t, params, fencing.Off, "2", "power_timeout", "1", "shell_timeout", "300ms")
		}},
	}, "guessguess")
}

// TestSNMPGarbagePackets: what is no SNMP at all.
func TestSNMPGarbagePackets(t *testing.T) {
	port := strconv.Itoa(methodtest.SilentPacket(t, []byte("this is no BER")))
	if o := do(t, map[string]string{"ip": "127.0.0.1", "ipport": port, "shell_timeout": "300ms"}, fencing.Off, "1"); o.Code != fencing.Failed || o.Hint == "" {
		t.Errorf("%+v", o)
	}
}

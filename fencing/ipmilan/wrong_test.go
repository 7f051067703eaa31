package ipmilan

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestIpmilanGoesWrong: with ipmi_sim, and what else may answer at its port.
func TestIpmilanGoesWrong(t *testing.T) {
	for _, agent := range []string{"fence_ipmilan", "fence_idrac"} {
		t.Run(agent, func(t *testing.T) {
			params, power, _ := realBoard(t)
			off := func(t *testing.T, more ...string) fencing.Outcome {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				return do(ctx, agent, params, fencing.Off, append([]string{"lanplus", "1", "cipher", "3"}, more...)...)
			}
			methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
				methodtest.WrongPassword: {Hint: "password", Do: func(t *testing.T) fencing.Outcome { return off(t, "password", "guess42") }},
				methodtest.Timeout: {Hint: "has power", Do: func(t *testing.T) fencing.Outcome {
					return off(t, "ipport", strconv.Itoa(methodtest.SilentPacket(t, nil)), "ipmitool_timeout", "300ms")
				}},
				methodtest.Garbage: {Hint: "board", Do: func(t *testing.T) fencing.Outcome {
					return off(t, "ipport", strconv.Itoa(methodtest.SilentPacket(t, []byte("\x06\x00\xff\x07 no board at all, but many words"))), "ipmitool_timeout", "300ms")
				}},
				methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome {
					if err := os.WriteFile(power, []byte("0"), 0o644); err != nil {
						t.Fatal(err)
					}
					defer os.WriteFile(power, []byte("1"), 0o644)
					return off(t)
				}},
				// The board and the server hang on the same mains.
				methodtest.GoneMidway: {Hint: "has power", Do: func(t *testing.T) fencing.Outcome {
					if err := os.WriteFile(filepath.Join(filepath.Dir(power), "fatal"), nil, 0o644); err != nil {
						t.Fatal(err)
					}
					return off(t, "ipmitool_timeout", "1")
				}},
			}, "guess42", "secret")
		})
	}
}

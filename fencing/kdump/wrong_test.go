package kdump

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// sender is what Debian's crash kernels run.
const sender = "/usr/libexec/fence-agents/fence_kdump_send"

// TestKdumpGoesWrong: the situations that there are for a method that only
// listens.
func TestKdumpGoesWrong(t *testing.T) {
	off := func(t *testing.T, p string) fencing.Outcome {
		return New().Do(t.Context(), fencing.Call{Action: fencing.Off, Target: "n1", Params: map[string]string{"nodename": "127.0.0.2", "ipport": p, "timeout": "1"}})
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Cannot: "messages have no password; they are taken from the addresses of the node alone (TestMessages)"},
		methodtest.Timeout:       {Text: "no crash kernel", Hint: "another level", Do: func(t *testing.T) fencing.Outcome { return off(t, port(t)) }},
		methodtest.Garbage: {Text: "no crash kernel", Hint: "another level", Do: func(t *testing.T) fencing.Outcome {
			p := port(t)
			send(t, "127.0.0.2", p, []byte("12345678"))
			return off(t, p)
		}},
		methodtest.AlreadyOff: {Cannot: "a node that is off sends nothing, which is the timeout: another level has to see that it is off"},
		methodtest.GoneMidway: {Fine: "a crash kernel that dies in the middle is as harmless as one that goes on", Text: "crash kernel", Do: func(t *testing.T) fencing.Outcome {
			p := port(t)
			send(t, "127.0.0.2", p, message(binary.LittleEndian))
			return off(t, p)
		}},
	})
}

// TestRealSender: the program that Debian's crash kernels run.
func TestRealSender(t *testing.T) {
	if _, err := os.Stat(sender); err != nil {
		t.Skip("SKIPPED: the counterpart fence_kdump_send is not installed (package fence-agents)")
	}
	p := port(t)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, sender, "-p", p, "-i", "1", "-c", "60", "127.0.0.1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	begun := time.Now()
	o := New().Do(t.Context(), fencing.Call{Action: fencing.Off, Target: "127.0.0.1", Params: map[string]string{"ipport": p, "timeout": "30"}})
	if o.Code != fencing.Succeeded {
		t.Errorf("%+v after %s", o, time.Since(begun))
	}
}

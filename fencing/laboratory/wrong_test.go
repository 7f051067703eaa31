package laboratory

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestSSHGoesWrong: OpenSSH's client and daemon; the daemon runs nothing of what
// it is asked for, so that no machine is reset.
func TestSSHGoesWrong(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	d := methodtest.StartSSHD(t, fmt.Sprintf("echo \"$SSH_ORIGINAL_COMMAND\" >>%s\necho accepted", seen))
	off := func(t *testing.T, d *methodtest.SSHD, key string, limit time.Duration) fencing.Outcome {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return NewSSH().Do(ctx, fencing.Call{Action: fencing.Off, Plug: "127.0.0.1", Target: "n1", Params: map[string]string{
			"username": d.User, "identity_file": key, "ssh_options": "-F none -p " + d.Port + " -o IdentitiesOnly=yes -o IdentityAgent=none -o UserKnownHostsFile=" + d.KnownHosts}})
	}
	o := off(t, d, d.Key, 20*time.Second)
	if b, err := os.ReadFile(seen); o.Code != fencing.Succeeded || err != nil || len(b) == 0 {
		t.Fatalf("nothing works: %+v, %v", o, err)
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Text: "Permission denied", Hint: "with a key", Do: func(t *testing.T) fencing.Outcome {
			return off(t, d, d.Stranger, 20*time.Second)
		}},
		methodtest.Timeout: {Hint: "another level", Do: func(t *testing.T) fencing.Outcome {
			d.Freeze(true)
			defer d.Freeze(false)
			return off(t, d, d.Key, time.Second)
		}},
		methodtest.Garbage: {Text: "did not accept", Hint: "shell", Do: func(t *testing.T) fencing.Outcome {
			other := methodtest.StartSSHD(t, "echo '%%%%'")
			return off(t, other, other.Key, 20*time.Second)
		}},
		methodtest.AlreadyOff: {Cannot: "a node that is off does not answer, which is the timeout; the method proves nothing in any case"},
		methodtest.GoneMidway: {Hint: "another level", Do: func(t *testing.T) fencing.Outcome {
			other := methodtest.StartSSHD(t, "kill -9 $PPID; sleep 5")
			return off(t, other, other.Key, 20*time.Second)
		}},
	})
}

// TestManualGoesWrong: only an administrator ends it.
func TestManualGoesWrong(t *testing.T) {
	const person = "there is no device, but a person"
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Cannot: person}, methodtest.Garbage: {Cannot: person}, methodtest.GoneMidway: {Cannot: person},
		methodtest.AlreadyOff: {Cannot: "the person sees that and confirms it, as anything else"},
		methodtest.Timeout: {Text: "nobody confirmed", Hint: "fence confirm n1", Do: func(t *testing.T) fencing.Outcome {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			return NewManual().Do(ctx, fencing.Call{Action: fencing.Off, Target: "n1"})
		}},
	})
}

// TestNullGoesWrong: nothing can.
func TestNullGoesWrong(t *testing.T) {
	const nothing = "there is no device"
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Cannot: nothing}, methodtest.Garbage: {Cannot: nothing}, methodtest.GoneMidway: {Cannot: nothing}, methodtest.Timeout: {Cannot: nothing},
		methodtest.AlreadyOff: {Fine: "it says so of everything, and proves nothing", Text: "nothing was done", Do: func(t *testing.T) fencing.Outcome {
			return NewNull().Do(t.Context(), fencing.Call{Action: fencing.Off, Target: "n1"})
		}},
	})
}

package daemon

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// The start goes before everything else on the host, and what follows does not.
func TestHurry(t *testing.T) {
	urgent := func() (n int) {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range threads {
			id, _ := strconv.Atoi(e.Name())
			if p, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && 20-p == startUrgency {
				n++
			}
		}
		return n
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0); err != nil {
		t.Skip("the nice value may not be changed here: ", err)
	}
	calm := hurry()
	during := urgent()
	calm()
	if during == 0 {
		t.Skip("nice values below 0 are not allowed here")
	}
	if n := urgent(); n > 0 {
		t.Errorf("%d threads are still urgent", n)
	}
}

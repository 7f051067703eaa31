package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
	"gcrm/replication/metadata"
)

// kernelSite is node1 of the lab with the kernel's DRBD, and gcrm on this host, in the
// lab's network. Steps share it; each begins with what ready makes.
type kernelSite struct {
	t      *testing.T // of the step that runs
	ctx    context.Context
	lab    *lab.Machines
	conf   string
	disk   string
	folder Folder
	exe    string
	// options are the settings in force; empty when nothing is known of the state.
	options   string
	megabytes int // of both disks now
}

const kernelMegabytes = 32

// blocks is how many blocks of 4 KiB the volume has.
func (k *kernelSite) blocks() uint64 {
	l, err := metadata.NewLayout(metadata.Internal, uint64(k.megabytes)<<20, 1, 8)
	if err != nil {
		k.t.Fatal(err)
	}
	return l.DataSectors / 8
}

// newKernelSite boots the machine.
func newKernelSite(t *testing.T) *kernelSite {
	machines := lab.Boot(t, 1, "--mem", "512", "--disk", fmt.Sprintf("%dM", kernelMegabytes))
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &kernelSite{t: t, ctx: t.Context(), lab: machines, conf: filepath.Join(dir, "r0.res"), disk: filepath.Join(dir, "disk"), folder: Folder(filepath.Join(dir, "run")), exe: exe, megabytes: kernelMegabytes}
	if err := os.WriteFile(k.disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(k.disk, kernelMegabytes<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.end)
	return k
}

// end leaves nothing behind: neither processes here nor a resource there.
func (k *kernelSite) end() {
	if c, err := k.folder.Call(context.Background(), "r0", Call{Command: "status"}); err == nil {
		kill(parent(c.Status.PID))
		kill(c.Status.PID)
	}
	_, _ = k.lab.In(context.Background(), k.t).TryFor(30*time.Second, "node1", "drbdadm secondary r0; drbdadm down r0")
	k.options = ""
}

// step runs one part of the test. It can be run alone (-run TestWithKernel/NAME), and
// what it leaves behind does not matter to the next one.
func (k *kernelSite) step(t *testing.T, name string, limit time.Duration, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), lab.Patience(limit))
		defer cancel()
		k.t, k.ctx, k.lab = t, ctx, k.lab.In(ctx, t)
		began := time.Now()
		t.Cleanup(func() {
			if !t.Failed() {
				return
			}
			log, _ := os.ReadFile(k.folder.Log("r0"))
			there, _ := k.lab.In(context.Background(), t).TryFor(30*time.Second, "node1", "dmesg | grep -i drbd | tail -60; cat /proc/drbd")
			t.Logf("log of gcrm:\n%s\nthe kernel's:\n%s", tail(log, 12000), there)
			k.end()
		})
		f(t)
		t.Logf("%s: %v; %s", name, time.Since(began).Round(100*time.Millisecond), lab.HostLoad())
	})
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// kernel runs a shell script on node1.
func (k *kernelSite) kernel(script string) string {
	k.t.Helper()
	return k.lab.Run("node1", script)
}

// gcrm runs gcrm volume in the lab's network.
func (k *kernelSite) gcrm(args ...string) string {
	k.t.Helper()
	out, err := k.try(args...)
	if err != nil {
		k.t.Fatalf("gcrm volume %s: %v %v\n%s", strings.Join(args, " "), err, context.Cause(k.ctx), out)
	}
	return strings.TrimSpace(out)
}

func (k *kernelSite) try(args ...string) (string, error) {
	argv := append([]string{"net", "--", "env", asProgram + "=1", k.exe, "volume", args[0], "-c", k.conf, "--node", "host", "--run-dir", string(k.folder)}, args[1:]...)
	out, err := k.lab.Command(argv...).CombinedOutput()
	return string(out), err
}

// configure writes the resource on both sides. %HOST in the options is this host's
// name in the configuration, %KERNEL the other's.
func (k *kernelSite) configure(options string) {
	k.t.Helper()
	text := fmt.Sprintf(`resource r0 {
  net { ping-timeout 30; timeout 100; connect-int 12; socket-check-timeout 5; }
  disk { resync-rate 100M; c-plan-ahead 0; c-min-rate 0; }
  %s
  on node1 { device /dev/drbd0; disk /dev/vdb; meta-disk internal; address 10.9.1.1:7788; }
  on host { device /dev/drbd_gcrm_lab minor 5; disk %s; meta-disk internal; address 10.9.1.254:7788; }
}
`, options, k.disk)
	// Both sides accept several sections; the kernel's tool wants one of each kind.
	text = joinSections(joinSections(text, "net {"), "disk {")
	if err := os.WriteFile(k.conf, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	k.lab.Copy(k.conf, "node1:/etc/drbd.d/r0.res")
}

// joinSections merges the sections of a resource that begin alike into one.
func joinSections(text, begin string) string {
	first := strings.Index(text, begin)
	for {
		next := strings.Index(text[first+len(begin):], begin)
		if next < 0 {
			return text
		}
		next += first + len(begin)
		end := next + strings.Index(text[next:], "}")
		body := text[next+len(begin) : end]
		text = text[:next] + text[end+1:]
		text = text[:first+len(begin)] + body + text[first+len(begin):]
	}
}

// ready makes both sides connected, in sync and Secondary, with the given settings. If
// the step before left them in sync, only the settings change.
func (k *kernelSite) ready(options string) {
	k.t.Helper()
	k.kernel("modprobe drbd; dmesg -C")
	if k.options != "" {
		k.secondary()
		if k.options == options {
			k.inSync()
			return
		}
		k.gcrm("down", "r0")
		k.kernel("drbdadm down r0")
		k.options = ""
		k.configure(options)
		k.kernel("drbdadm up r0")
		k.gcrm("up", "r0")
		k.inSync()
		k.options = options
		return
	}
	k.fresh(options)
	k.kernel("drbdadm primary --force r0")
	k.inSync()
	k.kernel("drbdadm secondary r0")
	k.options = options
}

// fresh makes new metadata on both sides and connects them.
func (k *kernelSite) fresh(options string) {
	k.t.Helper()
	k.end()
	k.configure(options)
	k.kernel(fmt.Sprintf("modprobe drbd; dmesg -C; head -c 2M /dev/zero | dd of=/dev/vdb bs=1M seek=%d oflag=direct 2>/dev/null; yes yes | drbdadm create-md --force r0 >/dev/null 2>&1; drbdadm up r0", k.megabytes-2))
	k.gcrm("create-md", "--force", "r0")
	k.gcrm("up", "r0")
	k.gcrm("wait-connect", "--timeout", "120s", "r0")
}

func (k *kernelSite) secondary() {
	k.t.Helper()
	k.gcrm("secondary", "r0")
	k.kernel("drbdadm secondary r0")
}

// until waits for something, as long as the step may take.
func (k *kernelSite) until(what string, f func() bool) {
	k.t.Helper()
	for !f() {
		select {
		case <-k.ctx.Done():
			k.t.Fatalf("waited in vain: %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// untilKernel waits in the machine for a line of /proc/drbd.
func (k *kernelSite) untilKernel(pattern string) {
	k.t.Helper()
	k.kernel(fmt.Sprintf("until grep -q '%s' /proc/drbd; do sleep 0.1; done", pattern))
}

// inSync waits until both sides say so.
func (k *kernelSite) inSync() {
	k.t.Helper()
	k.until("gcrm in sync", func() bool {
		st := k.status()
		return st.Connection == "Connected" && st.Disk == "UpToDate" && st.PeerDisk == "UpToDate"
	})
	k.untilKernel("cs:Connected .*ds:UpToDate/UpToDate")
}

// same compares the data of both disks.
func (k *kernelSite) same(what string) {
	k.t.Helper()
	k.inSync()
	// The kernel's acknowledgement comes before the last write of gcrm's side under
	// protocol A and B: those may need a moment.
	n := k.blocks()
	for attempt := 0; ; attempt++ {
		mine := k.hash(n)
		theirs := strings.Fields(k.kernel(fmt.Sprintf("dd if=/dev/vdb bs=64k count=%d iflag=direct,count_bytes 2>/dev/null | sha256sum", n*4096)))[0]
		if mine == theirs {
			k.t.Logf("%s: the disks are equal (%s...)", what, mine[:12])
			return
		}
		if attempt == 3 {
			k.t.Fatalf("%s: the disks differ", what)
		}
		time.Sleep(time.Second)
	}
}

func (k *kernelSite) hash(blocks uint64) string {
	k.t.Helper()
	f, err := os.Open(k.disk)
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err = io.CopyN(h, f, int64(blocks)*4096); err != nil {
		k.t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// holds looks whether a block of gcrm's disk is filled with a byte.
func (k *kernelSite) holds(block int64, pattern byte) bool {
	k.t.Helper()
	f, err := os.Open(k.disk)
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 4096)
	if _, err := f.ReadAt(b, block*4096); err != nil {
		k.t.Fatal(err)
	}
	return bytes.Equal(b, bytes.Repeat([]byte{pattern}, 4096))
}

// writeKernel fills blocks through the kernel's device with a byte.
func (k *kernelSite) writeKernel(block, count int, pattern byte) {
	k.t.Helper()
	k.kernel(fmt.Sprintf(`head -c %d /dev/zero | tr '\000' '\%03o' | dd of=/dev/drbd0 bs=4k seek=%d oflag=direct conv=notrunc,fsync iflag=fullblock 2>/dev/null`, count*4096, pattern, block))
}

// write fills blocks through gcrm's device.
func (k *kernelSite) write(block, count int, pattern byte) {
	k.t.Helper()
	k.client(fmt.Sprintf("write -P %d %d %d", pattern, block*4096, count*4096), "flush")
}

// client gives commands of qemu-io to the exported device.
func (k *kernelSite) client(commands ...string) {
	k.t.Helper()
	args := []string{"-f", "raw", fmt.Sprintf("nbd+unix:///r0?socket=%s", k.folder.NBD("r0"))}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out, err := exec.CommandContext(k.ctx, "qemu-io", args...).CombinedOutput(); err != nil || strings.Contains(string(out), "failed") {
		k.t.Fatalf("qemu-io %q: %v\n%s", commands, err, out)
	}
}

func (k *kernelSite) status() *Status {
	k.t.Helper()
	a, err := k.folder.Call(k.ctx, "r0", Call{Command: "status"})
	if err != nil {
		// A process that was killed has a successor soon.
		time.Sleep(300 * time.Millisecond)
		if a, err = k.folder.Call(k.ctx, "r0", Call{Command: "status"}); err != nil {
			k.t.Fatal(err)
		}
	}
	return a.Status
}

// resynced is how much the last resync was about, as the kernel tells it.
func (k *kernelSite) resynced() (kib int) {
	k.t.Helper()
	line := k.kernel("dmesg | grep 'Began resync' | tail -1")
	_, rest, ok := strings.Cut(line, "will sync ")
	if _, err := fmt.Sscanf(rest, "%d KB", &kib); !ok || err != nil {
		k.t.Fatalf("no resync in the kernel's log: %q", line)
	}
	return kib
}

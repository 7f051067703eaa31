package admin

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/replication/metadata"
)

// labPath is the program that runs machines with a real kernel, such as
// ../shared/lab/lab beside the repository.
var labPath = flag.String("lab", "", "the lab program; without it TestWithKernel is skipped")

// kernelSite is node1 of the lab with the kernel's DRBD, and gcrm on this host, in the
// lab's network.
type kernelSite struct {
	t      *testing.T
	dir    string
	conf   string
	disk   string
	folder Folder
	exe    string
}

const kernelMegabytes = 64

// lab runs a command of the lab.
func lab(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), *labPath, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kernel runs a shell script on node1.
func (k *kernelSite) kernel(script string) string {
	k.t.Helper()
	return strings.TrimSpace(lab(k.t, "sh", "node1", script))
}

// gcrm runs gcrm volume in the lab's network.
func (k *kernelSite) gcrm(args ...string) string {
	k.t.Helper()
	out, err := k.try(args...)
	if err != nil {
		log, _ := os.ReadFile(k.folder.Log("r0"))
		k.t.Fatalf("gcrm volume %s: %v\n%s\nlog:\n%s\nkernel:\n%s", strings.Join(args, " "), err, out, log, k.kernel("dmesg | grep -i drbd | tail -30; cat /proc/drbd"))
	}
	return strings.TrimSpace(out)
}

func (k *kernelSite) try(args ...string) (string, error) {
	argv := append([]string{"net", "--", "env", asProgram + "=1", k.exe, "volume", args[0], "-c", k.conf, "--node", "host", "--run-dir", string(k.folder)}, args[1:]...)
	out, err := exec.CommandContext(k.t.Context(), *labPath, argv...).CombinedOutput()
	return string(out), err
}

// configure writes the resource on both sides and makes new metadata.
func (k *kernelSite) configure(options string) {
	k.t.Helper()
	_, _ = k.try("down", "r0")
	k.kernel("drbdadm down r0 2>/dev/null; true")
	text := fmt.Sprintf(`resource r0 {
  net { ping-timeout 30; timeout 100; connect-int 12; %s }
  disk { resync-rate 100M; c-plan-ahead 0; }
  on node1 { device /dev/drbd0; disk /dev/vdb; meta-disk internal; address 10.9.1.1:7788; }
  on host { device /dev/drbd_gcrm_lab minor 5; disk %s; meta-disk internal; address 10.9.1.254:7788; }
}
`, options, k.disk)
	if err := os.WriteFile(k.conf, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	lab(k.t, "cp", k.conf, "node1:/etc/drbd.d/r0.res")
	k.kernel("modprobe drbd; dd if=/dev/zero of=/dev/vdb bs=1M seek=62 count=2 conv=notrunc 2>/dev/null; yes yes | drbdadm create-md --force r0 >/dev/null 2>&1; drbdadm up r0")
	k.gcrm("create-md", "--force", "r0")
	k.gcrm("up", "r0")
}

// inSync waits until both sides say so.
func (k *kernelSite) inSync() {
	k.t.Helper()
	limit := time.Now().Add(2 * time.Minute)
	for {
		mine := k.gcrm("dstate", "r0") + " " + k.gcrm("cstate", "r0")
		theirs := k.kernel("drbdadm dstate r0; drbdadm cstate r0")
		if mine == "UpToDate/UpToDate Connected" && strings.Fields(theirs)[0] == "UpToDate/UpToDate" && strings.HasSuffix(theirs, "Connected") {
			return
		}
		if time.Now().After(limit) {
			log, _ := os.ReadFile(k.folder.Log("r0"))
			k.t.Fatalf("not in sync: gcrm %s, kernel %s\nlog:\n%s\nkernel:\n%s", mine, theirs, log, k.kernel("dmesg | grep -i drbd | tail -40"))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// same compares the data of both disks.
func (k *kernelSite) same(what string) {
	k.t.Helper()
	k.inSync()
	l, err := metadata.NewLayout(metadata.Internal, kernelMegabytes<<20, 1, 8)
	if err != nil {
		k.t.Fatal(err)
	}
	blocks := l.DataSectors / 8
	limit := time.Now().Add(20 * time.Second)
	for {
		f, err := os.Open(k.disk)
		if err != nil {
			k.t.Fatal(err)
		}
		h := sha256.New()
		_, err = io.CopyN(h, f, int64(blocks)*4096)
		f.Close()
		if err != nil {
			k.t.Fatal(err)
		}
		mine := fmt.Sprintf("%x", h.Sum(nil))
		theirs := strings.Fields(k.kernel(fmt.Sprintf("dd if=/dev/vdb bs=4096 count=%d iflag=direct 2>/dev/null | sha256sum", blocks)))[0]
		if mine == theirs {
			k.t.Logf("%s: the disks are equal (%s...)", what, mine[:12])
			return
		}
		if time.Now().After(limit) {
			k.t.Fatalf("%s: the disks differ", what)
		}
		time.Sleep(time.Second)
	}
}

// write writes through the exported device.
func (k *kernelSite) write(commands ...string) {
	k.t.Helper()
	args := []string{"-f", "raw", fmt.Sprintf("nbd+unix:///r0?socket=%s", k.folder.NBD("r0"))}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out, err := exec.CommandContext(k.t.Context(), "qemu-io", args...).CombinedOutput(); err != nil || strings.Contains(string(out), "failed") {
		k.t.Fatalf("qemu-io: %v\n%s", err, out)
	}
}

// TestWithKernel replicates with the kernel's DRBD 8.4, in both directions.
func TestWithKernel(t *testing.T) {
	if *labPath == "" {
		t.Skip("SKIPPED: needs the lab (-lab PATH) and its virtual machines")
	}
	if up, err := exec.Command(*labPath, "status").CombinedOutput(); err != nil || !strings.Contains(string(up), "node1") {
		lab(t, "up", "1", "--mem", "512", "--disk", fmt.Sprintf("%dM", kernelMegabytes))
		t.Cleanup(func() { _ = exec.Command(*labPath, "down").Run() })
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &kernelSite{t: t, dir: dir, conf: filepath.Join(dir, "r0.res"), disk: filepath.Join(dir, "disk"), folder: Folder(filepath.Join(dir, "run")), exe: exe}
	if err := os.WriteFile(k.disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(k.disk, kernelMegabytes<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c, err := k.folder.Dial("r0"); err == nil {
			c.Close()
			_, _ = exec.Command(*labPath, "net", "--", "env", asProgram+"=1", exe, "volume", "down", "-c", k.conf, "--node", "host", "--run-dir", string(k.folder), "r0").CombinedOutput()
		}
		if t.Failed() {
			log, _ := os.ReadFile(k.folder.Log("r0"))
			t.Logf("log:\n%s", log)
		}
	})
	dirty := "dd if=/dev/urandom of=/dev/drbd0 bs=4k seek=$((RANDOM%%8000)) count=%d oflag=direct conv=notrunc 2>/dev/null; sync"
	for _, options := range []string{
		"verify-alg sha1;",
		"protocol A; verify-alg crc32c; csums-alg sha1; cram-hmac-alg sha256; shared-secret \"not told\"; use-rle no;",
		"protocol B; verify-alg md5; data-integrity-alg crc32c;",
	} {
		t.Run(options, func(t *testing.T) {
			k.t = t
			k.configure(options)
			k.gcrm("wait-connect", "--timeout", "60s", "r0")
			k.kernel("drbdadm primary --force r0")
			k.same("full sync from the kernel")
			k.kernel(fmt.Sprintf(dirty, 500))
			k.same("writes of the kernel")
			k.kernel("blkdiscard -o 1048576 -l 2097152 /dev/drbd0; blkdiscard -z -o 8388608 -l 1048576 /dev/drbd0")
			k.same("discard and zeroes of the kernel")
			k.gcrm("disconnect", "r0")
			k.kernel(fmt.Sprintf(dirty, 100))
			before := k.received()
			k.gcrm("connect", "r0")
			k.same("reconnect")
			if n := k.received() - before; n > 2000 {
				t.Errorf("%d KiB came for 400 KiB that were dirty", n)
			}
			k.kernel("drbdadm verify r0")
			k.same("verify by the kernel")
			k.gcrm("verify", "r0")
			k.same("verify by gcrm")
			k.kernel("drbdadm secondary r0")
			k.gcrm("primary", "r0")
			k.write("write -P 3 1M 4M", "write -P 4 40M 512", "write -z 3M 1M", "discard 20M 1M", "flush")
			k.same("writes of gcrm")
			k.kernel("drbdadm disconnect r0")
			k.write("write -P 5 10M 1M", "flush")
			k.kernel("drbdadm connect r0")
			k.same("resync to the kernel")
			kill(k.pid())
			time.Sleep(time.Second)
			k.same("takeover of a dead process")
			k.write("write -P 6 30M 1M", "flush")
			k.same("writes after it")
			k.gcrm("invalidate-remote", "r0")
			k.same("full sync to the kernel")
			k.gcrm("secondary", "r0")
			k.kernel("drbdadm primary r0; " + fmt.Sprintf(dirty, 50) + "; drbdadm secondary r0")
			k.same("and back")
			// Both apart and both changed: a split brain, which the administrator ends.
			k.gcrm("disconnect", "r0")
			k.kernel("drbdadm primary r0; " + fmt.Sprintf(dirty, 10) + "; drbdadm secondary r0")
			k.gcrm("primary", "--force", "r0")
			k.write("write -P 7 50M 1M", "flush")
			k.gcrm("secondary", "r0")
			k.gcrm("connect", "r0")
			for limit := time.Now().Add(time.Minute); k.gcrm("cstate", "r0") != "StandAlone"; time.Sleep(300 * time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("the split brain was not found: %s", k.gcrm("status", "r0"))
				}
			}
			k.gcrm("connect", "--discard-my-data", "r0")
			k.kernel("drbdadm connect r0 2>/dev/null; true")
			k.same("split brain, own changes given up")
			k.gcrm("down", "r0")
			k.kernel("drbdadm down r0")
		})
	}
}

func (k *kernelSite) received() int {
	var st Status
	k.decode(&st)
	return int(st.Counters.NR)
}

func (k *kernelSite) pid() int {
	var st Status
	k.decode(&st)
	return st.PID
}

func (k *kernelSite) decode(st *Status) {
	k.t.Helper()
	a, err := k.folder.Call(k.t.Context(), "r0", Call{Command: "status"})
	if err != nil {
		k.t.Fatal(err)
	}
	*st = *a.Status
}

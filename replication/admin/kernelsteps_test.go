package admin

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWithKernel replicates with the kernel's DRBD 8.4, in both directions:
//
//	go test ./replication/admin -run TestWithKernel -v -timeout 120m -lab ../shared/lab/lab
//
// A step alone: -run TestWithKernel/verify; with -keep the machine stays for the next.
func TestWithKernel(t *testing.T) {
	k := newKernelSite(t)
	const plain = "net { verify-alg sha1; }"
	steps := []kernelStep{
		{"full-sync", 6 * time.Minute, func(t *testing.T) {
			k.fresh(plain)
			k.kernel("drbdadm primary --force r0")
			k.same("full sync from the kernel")
			k.options = plain
			k.writeKernel(100, 300, 1)
			k.same("writes of the kernel")
			k.kernel("blkdiscard -o 1048576 -l 2097152 /dev/drbd0; blkdiscard -z -o 8388608 -l 1048576 /dev/drbd0")
			k.same("discard and zeroes of the kernel")
		}},
		{"primary", 6 * time.Minute, func(t *testing.T) {
			k.ready(plain)
			k.gcrm("primary", "r0")
			k.client("write -P 3 1M 4M", "write -P 4 20M 512", "write -z 3M 1M", "discard 10M 1M", "flush")
			k.same("writes of gcrm")
			k.gcrm("invalidate-remote", "r0")
			k.same("full sync to the kernel")
			k.kernel("drbdadm invalidate r0")
			k.same("full sync that the kernel asked for")
		}},
		{"both-primary", 6 * time.Minute, func(t *testing.T) {
			k.ready("net { verify-alg sha1; allow-two-primaries yes; }")
			k.kernel("drbdadm primary r0")
			k.gcrm("primary", "r0")
			done := make(chan string, 1)
			go func() {
				out, err := k.lab.Try("node1", "dd if=/dev/urandom of=/dev/drbd0 bs=4k seek=4000 count=500 oflag=direct conv=notrunc 2>&1")
				done <- fmt.Sprint(err, out)
			}()
			for i := range 100 {
				k.client(fmt.Sprintf("write -P %d %dk 64k", 1+i, i*64), "flush")
			}
			if out := <-done; !strings.HasPrefix(out, "<nil>") {
				t.Errorf("writes of the kernel: %s", out)
			}
			k.same("both write")
			k.gcrm("secondary", "r0")
			k.writeKernel(10, 10, 77)
			k.same("one goes back")
		}},
		{"resync", 8 * time.Minute, func(t *testing.T) {
			k.ready(plain)
			k.kernel("drbdadm primary r0")
			k.gcrm("disconnect", "r0")
			k.writeKernel(1000, 100, 5)
			k.writeKernel(5000, 1, 6)
			before := k.status().Counters.NR
			k.gcrm("connect", "r0")
			k.same("reconnect to a Primary kernel")
			k.amount("to gcrm", k.resynced(), 404)
			if n := k.status().Counters.NR - before; n != 404 {
				t.Errorf("%d KiB came for 404 KiB that were dirty", n)
			}
			k.kernel("drbdadm secondary r0")
			k.gcrm("primary", "r0")
			k.kernel("drbdadm disconnect r0")
			k.write(2000, 50, 7)
			k.write(7000, 3, 8)
			k.kernel("drbdadm connect r0")
			k.same("reconnect to a Primary gcrm")
			k.amount("to the kernel", k.resynced(), 212)
			k.gcrm("disconnect", "r0")
			k.write(300, 2, 9)
			k.gcrm("connect", "r0")
			k.same("the Primary left and came back")
			k.amount("to the kernel", k.resynced(), 8)
		}},
		{"network-cut", 8 * time.Minute, func(t *testing.T) {
			k.ready(plain)
			k.gcrm("primary", "r0")
			k.lab.CutNetwork("node1")
			k.write(600, 5, 3)
			k.until("the loss is noticed", func() bool { return k.status().Connection != "Connected" })
			k.lab.HealNetwork("node1")
			k.same("after a cut")
			t.Logf("%d KiB", k.resynced())
		}},
		{"verify", 8 * time.Minute, func(t *testing.T) {
			k.ready(plain)
			k.kernel("drbdadm verify r0; until grep -q 'cs:Verify' /proc/drbd || dmesg | grep -q 'Online verify done'; do sleep 0.1; done")
			k.same("verify by the kernel")
			k.gcrm("verify", "r0")
			k.same("verify by gcrm")
			if n := k.status().OutOfSyncKiB; n != 0 {
				t.Errorf("%d KiB differ in equal data", n)
			}
			for i, who := range []string{"kernel", "gcrm"} {
				k.damage(int64(3000+i), 2)
				if who == "kernel" {
					k.kernel("dmesg -C; drbdadm verify r0; until dmesg | grep -q 'Online verify *done'; do sleep 0.1; done")
				} else {
					k.gcrm("verify", "r0")
				}
				k.inSync()
				k.until("the difference is noted", func() bool { return k.status().OutOfSyncKiB == 8 })
				k.untilKernel("oos:8$")
				// The target would be left to chance: both are Secondary. Now it is gcrm.
				k.kernel("drbdadm primary r0; drbdadm disconnect r0; drbdadm connect r0")
				k.until("a new connection", func() bool { return k.status().OutOfSyncKiB == 0 })
				k.same("what the " + who + " found is repaired")
				k.kernel("drbdadm secondary r0")
			}
		}},
		{"cram-hmac", 6 * time.Minute, func(t *testing.T) {
			k.ready("net { cram-hmac-alg sha256; shared-secret \"not told\"; }")
			k.kernel("drbdadm primary r0")
			k.writeKernel(100, 10, 31)
			k.same("with a shared secret")
			k.gcrm("disconnect", "r0")
			text, err := os.ReadFile(k.conf)
			if err != nil {
				t.Fatal(err)
			}
			wrong := bytes.Replace(text, []byte("not told"), []byte("guessed"), 1)
			if err := os.WriteFile(k.conf, wrong, 0o600); err != nil {
				t.Fatal(err)
			}
			k.gcrm("down", "r0")
			k.gcrm("up", "r0")
			k.until("the wrong secret is refused", func() bool { return k.status().Connection == "StandAlone" })
			k.untilKernel("cs:StandAlone")
			if err := os.WriteFile(k.conf, text, 0o600); err != nil {
				t.Fatal(err)
			}
			k.gcrm("down", "r0")
			k.kernel("drbdadm connect r0")
			k.gcrm("up", "r0")
			k.same("the right one again")
		}},
		{"csums", 6 * time.Minute, func(t *testing.T) {
			k.ready("net { csums-alg sha1; verify-alg crc32c; }")
			k.kernel("drbdadm primary r0")
			k.writeKernel(100, 200, 40)
			k.gcrm("disconnect", "r0")
			k.writeKernel(100, 200, 40) // the same again
			k.writeKernel(400, 8, 41)
			before := k.status().Counters.NR
			k.gcrm("connect", "r0")
			k.same("by digests, to gcrm")
			k.amount("dirty", k.resynced(), 832)
			k.amount("that came", int(k.status().Counters.NR-before), 32)
			k.kernel("drbdadm secondary r0")
			k.gcrm("primary", "r0")
			k.kernel("drbdadm disconnect r0")
			k.write(100, 200, 40)
			k.write(500, 4, 42)
			sent := k.status().Counters.NS
			k.kernel("drbdadm connect r0")
			k.same("by digests, to the kernel")
			k.amount("dirty", k.resynced(), 816)
			k.amount("that went", int(k.status().Counters.NS-sent), 16)
		}},
		{"protocol-a", 6 * time.Minute, func(t *testing.T) { k.protocol("net { protocol A; use-rle no; verify-alg md5; }") }},
		{"protocol-b", 6 * time.Minute, func(t *testing.T) { k.protocol("net { protocol B; }") }},
		{"integrity", 6 * time.Minute, func(t *testing.T) { k.protocol("net { data-integrity-alg crc32c; }") }},
		{"thin", 6 * time.Minute, func(t *testing.T) {
			k.ready("disk { rs-discard-granularity 65536; }")
			k.kernel("drbdadm primary r0; blkdiscard -z /dev/drbd0")
			k.writeKernel(160, 16, 33)
			k.same("one area that is not zero")
			k.damage(1600, 160)
			before := k.status().Counters.NR
			k.gcrm("invalidate", "r0")
			k.same("thin, to gcrm")
			if n := k.status().Counters.NR - before; n > 256 {
				t.Errorf("%d KiB came for one area of 64 KiB", n)
			}
			k.kernel("drbdadm secondary r0")
			k.gcrm("primary", "r0")
			sent := k.status().Counters.NS
			k.kernel("drbdadm invalidate r0")
			k.same("to the kernel")
			t.Logf("%d KiB went to the kernel", k.status().Counters.NS-sent)
		}},
		{"takeover", 6 * time.Minute, func(t *testing.T) {
			k.ready(plain)
			k.gcrm("primary", "r0")
			k.write(50, 20, 50)
			dead := k.status().PID
			kill(dead)
			k.until("the successor", func() bool {
				st := k.status()
				return st.PID != dead && !st.Takeover && st.Role == "Primary"
			})
			k.same("takeover of a dead process")
			k.write(7000, 100, 51)
			k.same("writes after it")
		}},
		{"handover", 8 * time.Minute, func(t *testing.T) {
			k.ready(plain)
			k.kernel("drbdadm primary r0")
			k.writeKernel(900, 100, 60)
			k.kernel("drbdadm secondary r0")
			k.same("before")
			for range 2 {
				// What the kernel left is gcrm's now, and the other way round.
				k.gcrm("down", "r0")
				k.kernel("drbdadm down r0; dmesg -C")
				k.options = ""
				k.swapDisks()
				k.kernel("drbdadm up r0")
				k.gcrm("up", "r0")
				k.same("disks exchanged")
				if out := k.kernel("dmesg | grep 'Began resync' || true"); out != "" {
					t.Errorf("a resync was needed: %s", out)
				}
				k.options = plain
				k.gcrm("primary", "r0")
				k.write(1200, 10, 61)
				k.gcrm("secondary", "r0")
				k.same("written by gcrm")
			}
			// The same after a crash of gcrm as Primary: its log is applied by drbdmeta.
			k.gcrm("primary", "r0")
			k.write(3000, 10, 62)
			st := k.status()
			kill(parent(st.PID))
			kill(st.PID)
			k.kernel("drbdadm down r0; dmesg -C")
			k.options = ""
			k.swapDisks()
			_ = os.Remove(k.folder.State("r0"))
			k.kernel("drbdadm up r0")
			k.gcrm("up", "r0")
			k.same("a crashed disk, opened by the kernel")
			t.Logf("%d KiB", k.resynced())
			if !k.holds(3000, 62) {
				t.Error("the writes before the crash are lost")
			}
			k.options = plain
		}},
	}
	steps = append(steps, kernelStep{"resize", 8 * time.Minute, k.resize}, kernelStep{"nbd", 8 * time.Minute, k.kernelClient})
	for _, s := range steps {
		k.step(t, s.name, s.limit, s.run)
	}
	for _, b := range brains {
		k.step(t, "split-brain/"+b.name, 3*time.Minute, func(t *testing.T) { b.run(k) })
	}
}

type kernelStep struct {
	name  string
	limit time.Duration
	run   func(t *testing.T)
}

// resize grows the volume twice: gcrm asks for it, then the kernel does.
func (k *kernelSite) resize(t *testing.T) {
	const plain = "net { verify-alg sha1; }"
	k.ready(plain)
	// The disks are not what they were after this.
	k.options = ""
	t.Cleanup(func() { k.end(); k.setSize(kernelMegabytes) })
	k.gcrm("primary", "r0")
	k.write(100, 10, 90)
	k.setSize(kernelMegabytes + 8)
	k.kernel("test $(blockdev --getsz /dev/vdb) -eq $((2048*40))")
	k.gcrm("resize", "r0")
	k.until("gcrm has grown", func() bool { return k.status().SizeKiB == k.blocks()*4 })
	k.kernel(fmt.Sprintf("until test $(cat /sys/block/drbd0/size) -eq %d; do sleep 0.1; done", k.blocks()*8))
	k.same("gcrm asked for more room")
	k.amount("the new part", k.resynced(), 8<<10)
	k.write(int(k.blocks())-10, 10, 91)
	k.same("writes to it")
	k.gcrm("secondary", "r0")
	k.kernel("drbdadm primary r0")
	k.setSize(kernelMegabytes + 16)
	k.kernel("drbdadm resize r0")
	k.until("gcrm has grown again", func() bool { return k.status().SizeKiB == k.blocks()*4 })
	k.same("the kernel asked for more room")
	k.amount("the new part", k.resynced(), 8<<10)
	k.writeKernel(int(k.blocks())-10, 10, 92)
	k.same("writes to it")
	// Both come back with their metadata at the new place.
	k.kernel("drbdadm secondary r0; drbdadm down r0")
	k.gcrm("down", "r0")
	k.kernel("drbdadm up r0")
	k.gcrm("up", "r0")
	k.same("after a new start")
}

// kernelClient runs gcrm on both sides, in the machine with a device of the kernel's NBD
// client, and kills its process while a file system on the device is written.
func (k *kernelSite) kernelClient(t *testing.T) {
	k.end()
	k.configure("net { verify-alg sha1; }")
	k.lab.Copy(k.lab.Build(), "node1:/root/gcrm")
	there := func(script string) string {
		t.Helper()
		return k.kernel("gcrm() { c=$1; shift; /root/gcrm volume $c -c /etc/drbd.d/r0.res --node node1 \"$@\"; }; " + script)
	}
	t.Cleanup(func() {
		_, _ = k.lab.In(context.Background(), t).TryFor(time.Minute, "node1", "umount -l /mnt; pkill -9 -x gcrm; modprobe -r nbd; rm -rf /run/gcrm /root/gcrm")
	})
	k.gcrm("create-md", "--force", "r0")
	k.gcrm("up", "r0")
	there("umount /mnt 2>/dev/null; modprobe nbd; gcrm create-md --force r0; gcrm up --device nbd r0; gcrm wait-connect --timeout 120s r0; gcrm primary --force r0; gcrm wait-sync --timeout 120s r0")
	device := there("gcrm status --json r0 | grep -o '/dev/nbd[0-9]*' | head -1")
	t.Logf("the device is %s: %s", device, there("blockdev --getsize64 "+device))
	there("mkfs.ext4 -q " + device + " && mount " + device + " /mnt")
	out := there(`
		(for i in $(seq 1 60); do dd if=/dev/urandom of=/mnt/f$i bs=16k count=4 conv=fsync 2>/dev/null || echo failed $i; done; echo written) > /tmp/writer 2>&1 &
		sleep 2
		old=$(gcrm status --json r0 | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
		kill -9 $old
		wait
		new=$(gcrm status --json r0 | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
		echo "process $old, then $new"; cat /tmp/writer; ls /mnt | grep -c '^f'; dmesg | grep -i 'I/O error' | tail -3`)
	t.Logf("%s", out)
	if strings.Contains(out, "failed") || strings.Contains(out, "I/O error") || !strings.Contains(out, "written\n60") {
		t.Error("the file system noticed that the process died")
	}
	if out := there("gcrm secondary r0 2>&1 || true"); !strings.Contains(out, "in use") {
		t.Errorf("a mounted device was taken away: %s", out)
	}
	sum := there("umount /mnt; sha256sum " + device + " | cut -d' ' -f1; gcrm wait-sync --timeout 60s r0")
	if mine := k.hash(k.blocks()); mine != sum {
		t.Errorf("the disks differ: %s and %s", mine, sum)
	}
	there("gcrm secondary r0; gcrm down r0; ! grep -qs . /sys/block/nbd0/backend")
	k.gcrm("down", "r0")
}

// setSize changes the size of both disks.
func (k *kernelSite) setSize(megabytes int) {
	k.t.Helper()
	k.lab.In(context.Background(), k.t).ResizeDisk("node1", int64(megabytes)<<20)
	if err := os.Truncate(k.disk, int64(megabytes)<<20); err != nil {
		k.t.Fatal(err)
	}
	k.megabytes = megabytes
}

func (k *kernelSite) amount(what string, got, want int) {
	k.t.Helper()
	k.t.Logf("%s: %d KiB", what, got)
	if got != want {
		k.t.Errorf("%s: %d KiB instead of %d", what, got, want)
	}
}

// protocol writes from both sides with other settings, with a disconnect in between.
func (k *kernelSite) protocol(options string) {
	k.ready(options)
	k.kernel("drbdadm primary r0")
	k.writeKernel(200, 400, 20)
	k.kernel("blkdiscard -o 4194304 -l 1048576 /dev/drbd0; blkdiscard -z -o 8388608 -l 65536 /dev/drbd0")
	k.same("writes of the kernel")
	k.gcrm("disconnect", "r0")
	k.writeKernel(5000, 10, 21)
	k.gcrm("connect", "r0")
	k.same("resync to gcrm")
	k.amount("resync", k.resynced(), 40)
	k.kernel("drbdadm secondary r0")
	k.gcrm("primary", "r0")
	k.client("write -P 22 1M 2M", "discard 4M 64k", "write -z 5M 64k", "flush")
	k.same("writes of gcrm")
	k.kernel("drbdadm disconnect r0")
	k.write(6000, 10, 23)
	k.kernel("drbdadm connect r0")
	k.same("resync to the kernel")
	k.amount("resync", k.resynced(), 40)
}

// damage changes a block of gcrm's disk behind everybody's back.
func (k *kernelSite) damage(block int64, count int) {
	k.t.Helper()
	f, err := os.OpenFile(k.disk, os.O_WRONLY, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte("damaged!"), 512*count), block*4096); err != nil {
		k.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		k.t.Fatal(err)
	}
}

// swapDisks gives each side the disk of the other.
func (k *kernelSite) swapDisks() {
	k.t.Helper()
	read := k.lab.Command("exec", "node1", "--", "dd", "if=/dev/vdb", "bs=1M", "iflag=direct", "status=none")
	theirs, err := read.Output()
	if err != nil || len(theirs) != k.megabytes<<20 {
		k.t.Fatalf("reading the kernel's disk: %d bytes, %v", len(theirs), err)
	}
	mine, err := os.Open(k.disk)
	if err != nil {
		k.t.Fatal(err)
	}
	defer mine.Close()
	put := k.lab.Command("exec", "node1", "--", "dd", "of=/dev/vdb", "bs=1M", "iflag=fullblock", "oflag=direct", "status=none")
	put.Stdin = mine
	if out, err := put.CombinedOutput(); err != nil {
		k.t.Fatalf("writing the kernel's disk: %v\n%s", err, out)
	}
	if err := os.WriteFile(k.disk, theirs, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

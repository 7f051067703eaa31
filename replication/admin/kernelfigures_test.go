package admin

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
)

// TestWithKernelFigures measures the kernel's DRBD and gcrm beside each other, on the
// same two machines and disks, with the same settings; gcrm's device is one of the
// kernel's NBD client. Emulated machines on a busy host tell little by themselves, so
// rounds of both alternate, and what the machines cost the host in processor time is
// told as well:
//
//	go test ./replication/admin -run TestWithKernelFigures -v -timeout 60m -figures 8s -lab ../shared/lab/lab
func TestWithKernelFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("SKIPPED: runs with -figures TIME and -lab PATH")
	}
	m := lab.Boot(t, 2, "--mem", "768", "--disk", "600M")
	m.OnFailure("cat /proc/drbd; /root/gcrm volume status -c /root/both.res; tail -30 /run/gcrm/volumes/g0.log; dmesg | tail -20")
	binary := m.Build()
	resource := func(name, device, half string, port int) string {
		return fmt.Sprintf(`resource %s {
  net { protocol C; max-buffers 8000; max-epoch-size 8000; }
  disk { al-extents 3389; resync-rate 1G; c-plan-ahead 0; c-min-rate 0; }
  on node1 { device %s; disk /dev/mapper/%s; meta-disk internal; address 10.9.1.1:%d; }
  on node2 { device %s; disk /dev/mapper/%s; meta-disk internal; address 10.9.1.2:%d; }
}
`, name, device, half, port, device, half, port)
	}
	kernel := resource("k0", "/dev/drbd0", "k", 7788)
	own := resource("g0", "/dev/drbd_g0 minor 5", "g", 7789)
	const with = "gcrm() { c=$1; shift; /root/gcrm volume $c -c /root/g0.res \"$@\"; }; "
	for _, n := range m.Names() {
		m.Copy(binary, n+":/root/gcrm")
		m.Run(n, "cat > /etc/drbd.d/k0.res <<'END'\n"+kernel+"END\ncat > /root/g0.res <<'END'\n"+own+`END
modprobe -a drbd nbd dm_mod; half=$(( $(blockdev --getsz /dev/vdb) / 2 ))
dmsetup create k --table "0 $half linear /dev/vdb 0"; dmsetup create g --table "0 $half linear /dev/vdb $half"
yes yes | drbdadm create-md --force k0 >/dev/null 2>&1; drbdadm up k0; `+with+`gcrm create-md --force g0 && gcrm up --device nbd g0`)
	}
	t.Cleanup(func() {
		for _, n := range m.Names() {
			_, _ = m.In(t.Context(), t).TryFor(time.Minute, n, with+"gcrm secondary g0; gcrm down g0; drbdadm down k0")
		}
	})
	m.Run("node1", "drbdadm primary --force k0; "+with+"gcrm wait-connect --timeout 300s g0 && gcrm primary --force g0 && gcrm wait-sync --timeout 600s g0; until grep -q UpToDate/UpToDate /proc/drbd; do sleep 1; done")
	device := m.Run("node1", with+"gcrm status --json g0 | grep -o '/dev/nbd[0-9]*' | head -1")
	var machines []int
	for _, f := range regexp.MustCompile(`pid=(\d+)`).FindAllStringSubmatch(m.Lab("status"), -1) {
		pid, _ := strconv.Atoi(f[1])
		machines = append(machines, pid)
	}
	busy := func() (sum float64) {
		for _, p := range machines {
			sum += cpu(p)
		}
		return sum
	}
	for _, r := range rows {
		var rate, cost [2][]float64 // kernel, gcrm
		for range rounds {
			for i, d := range []string{"/dev/drbd0", device} {
				before := busy()
				out := m.Run("node1", fmt.Sprintf("fio --name=x --output-format=json --time_based --randrepeat=0 --runtime=%d --size=200M --ioengine=libaio --direct=1 --filename=%s %s", int(figures.Seconds()), d, strings.Join(r.args, " ")))
				iops, bytes := readFio(t, out, r)
				rate[i] = append(rate[i], iops)
				cost[i] = append(cost[i], (busy()-before)/max(1, bytes)*(1<<20))
			}
		}
		k, g := median(rate[0]), median(rate[1])
		t.Logf("%-32s kernel %7.0f /s, gcrm %7.0f /s: ratio %.2f; CPU of both machines per MiB: kernel %.3f s, gcrm %.3f s; %s", r.name, k, g, g/k, median(cost[0]), median(cost[1]), lab.HostLoad())
	}
	sums := m.Run("node1", with+"gcrm secondary g0; drbdadm secondary k0; gcrm wait-sync --timeout 60s g0; gcrm down g0; drbdadm down k0") + m.Run("node2", with+"gcrm down g0; drbdadm down k0")
	t.Log(sums)
	for _, half := range []string{"k", "g"} {
		// The last 128 KiB hold metadata, which differ.
		sum := "head -c $(( ($(blockdev --getsz /dev/mapper/" + half + ") - 256) * 512 )) /dev/mapper/" + half + " | sha256sum"
		if a, b := m.Run("node1", sum), m.Run("node2", sum); a != b {
			t.Errorf("the disks of %s differ", half)
		}
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

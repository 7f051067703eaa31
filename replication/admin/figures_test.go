package admin

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var figures = flag.Duration("figures", 0, "how long each row of TestFigures runs; 0 leaves it out")

// row is one load of fio.
type row struct {
	name string
	args []string
	read bool
}

var rows = []row{
	{"4 KiB random write, depth 1", []string{"--rw=randwrite", "--bs=4k", "--iodepth=1"}, false},
	{"4 KiB random write, depth 16", []string{"--rw=randwrite", "--bs=4k", "--iodepth=16"}, false},
	{"1 MiB sequential write, depth 4", []string{"--rw=write", "--bs=1M", "--iodepth=4"}, false},
	{"1 MiB sequential read, depth 4", []string{"--rw=read", "--bs=1M", "--iodepth=4"}, true},
}

// fio runs one load and gives operations per second and bytes.
func fio(t *testing.T, r row, target ...string) (iops float64, bytes float64) {
	t.Helper()
	argv := append([]string{"--name=x", "--output-format=json", "--time_based", "--randrepeat=0", fmt.Sprintf("--runtime=%ds", int(figures.Seconds())), "--size=400M"}, r.args...)
	out, err := exec.CommandContext(t.Context(), "fio", append(argv, target...)...).Output()
	if err != nil {
		t.Fatalf("fio: %v", err)
	}
	return readFio(t, string(out), r)
}

// readFio reads fio's output.
func readFio(t *testing.T, text string, r row) (iops float64, bytes float64) {
	t.Helper()
	var got struct {
		Jobs []struct {
			Read, Write struct {
				IOPS    float64 `json:"iops"`
				IOBytes float64 `json:"io_bytes"`
			}
		}
	}
	if i := strings.IndexByte(text, '{'); i > 0 {
		text = text[i:]
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("fio: %v\n%s", err, text)
	}
	for _, j := range got.Jobs { // of several at once the mean
		if r.read {
			iops, bytes = iops+j.Read.IOPS, bytes+j.Read.IOBytes
		} else {
			iops, bytes = iops+j.Write.IOPS, bytes+j.Write.IOBytes
		}
	}
	n := float64(len(got.Jobs))
	return iops / n, bytes / n
}

// cpu is the time a process has used, in seconds.
func cpu(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// rounds is how often everything is measured that is compared, in turn: the rate of a disk changes from minute to minute.
const rounds = 5

// beside is what a volume is compared with: how many operations per second it does when every so many writes
// are flushed.
type beside struct {
	name    string
	measure func(r row, perFlush int) float64
	writes  bool // only
}

// TestFigures measures a volume between two processes on this host, in turn with a file with
// direct I/O, two files written at once (as the volume does here: both its disks are on one)
// and a mirror made of two qemu-nbd (quorum over a file and NBD), which do as
// many flushes per write as the volume's other node did. Ratios are medians of those of the rounds:
//
//	go test ./replication/admin -run TestFigures -v -figures 2s
//
// It needs fio (with its nbd engine) and qemu-utils; on a machine that does nothing else.
func TestFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("SKIPPED: runs with -figures TIME")
	}
	for _, p := range []string{"fio", "qemu-nbd", "fallocate"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: %s is not installed (packages fio, qemu-utils, util-linux)", p)
		}
	}
	loopback(t)
	others := append(besideFiles(t), besideMirror(t))
	for _, protocol := range []string{"A", "B", "C"} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			s := newSite(t, 410, "net { protocol "+protocol+"; max-buffers 8000; max-epoch-size 8000; } disk { resync-rate 1G; c-plan-ahead 0; c-min-rate 0; al-extents 3389; }")
			s.firstSync()
			for _, r := range rows {
				s.compare(r, others)
			}
			s.ok(0, "secondary", "r0")
		})
	}
}

// compare measures one row of a volume in turn with others.
func (s *site) compare(r row, others []beside) {
	var volume, processor, perFlush []float64
	rates, ratios := make([][]float64, len(others)), make([][]float64, len(others))
	for range rounds {
		a, b := s.status(0), s.status(1)
		before := cpu(a.PID) + cpu(b.PID)
		iops, bytes := fio(s.t, r, "--ioengine=nbd", "--uri=nbd+unix:///r0?socket="+s.folder(0).NBD("r0"))
		processor = append(processor, (cpu(a.PID)+cpu(b.PID)-before)/bytes*(1<<30))
		volume = append(volume, iops)
		every := 0 // writes
		if flushes := float64(s.status(1).Counters.Flushes - b.Counters.Flushes); !r.read && flushes > 0 {
			every = max(1, int(iops*figures.Seconds()/flushes+0.5))
		}
		perFlush = append(perFlush, float64(every))
		for i, o := range others {
			if !o.writes || !r.read {
				rate := o.measure(r, every)
				rates[i], ratios[i] = append(rates[i], rate), append(ratios[i], iops/rate*100)
			}
		}
	}
	s.t.Logf("%-32s %8.0f /s, %.2f s CPU per GiB, a flush for %.0f writes", r.name, median(volume), median(processor), median(perFlush))
	for i, o := range others {
		if len(rates[i]) > 0 {
			s.t.Logf("%-32s %8.0f /s: the volume has %.0f %% of that (%.0f to %.0f)", "  "+o.name, median(rates[i]), median(ratios[i]), slices.Min(ratios[i]), slices.Max(ratios[i]))
		}
	}
}

// flushes lets fio flush so often, by an option that its engine has.
func flushes(option string, every int) []string {
	if every == 0 {
		return nil
	}
	return []string{fmt.Sprintf("--%s=%d", option, every)}
}

func besideFiles(t *testing.T) []beside {
	path := filepath.Join(t.TempDir(), "file")
	shell(t, "fallocate", "-l", "400M", path+".0")
	shell(t, "fallocate", "-l", "400M", path+".1")
	target := []string{"--ioengine=libaio", "--direct=1", "--filename_format=" + path + ".$jobnum"}
	both := append([]string{"--numjobs=2"}, target...)
	fio(t, rows[2], both...) // writes every block once
	with := func(target []string) func(row, int) float64 {
		return func(r row, every int) float64 {
			iops, _ := fio(t, r, append(flushes("fdatasync", every), target...)...)
			return iops
		}
	}
	return []beside{{"file", with(target), false}, {"each of two files at once", with(both), true}}
}

func besideMirror(t *testing.T) beside {
	dir := t.TempDir()
	for _, n := range []string{"a", "b"} {
		shell(t, "fallocate", "-l", "400M", filepath.Join(dir, n))
	}
	port := freePort(t)
	start := func(args ...string) {
		cmd := exec.Command("qemu-nbd", args...)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		time.Sleep(500 * time.Millisecond)
	}
	start("-t", "-e", "4", "-f", "raw", "--cache=none", "--aio=native", "-b", "127.0.0.1", "-p", fmt.Sprint(port), filepath.Join(dir, "b"))
	sock := filepath.Join(dir, "s")
	start("-t", "-e", "4", "-k", sock, "--image-opts", fmt.Sprintf("driver=quorum,vote-threshold=1,read-pattern=fifo,"+
		"children.0.driver=raw,children.0.file.driver=file,children.0.file.filename=%s/a,children.0.file.cache.direct=on,children.0.file.aio=native,"+
		"children.1.driver=raw,children.1.file.driver=nbd,children.1.file.host=127.0.0.1,children.1.file.port=%d", dir, port))
	target := []string{"--ioengine=nbd", "--uri=nbd+unix:///?socket=" + sock}
	fio(t, rows[2], target...)
	return beside{"mirror of two qemu-nbd", func(r row, every int) float64 {
		iops, _ := fio(t, r, append(flushes("fsync", every), target...)...)
		return iops
	}, false}
}

// loopback measures what one TCP connection over loopback carries, in writes of 1 MiB.
func loopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		for b := make([]byte, 1<<20); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began, total := time.Now(), 0
	for b := make([]byte, 1<<20); ; {
		n, err := c.Read(b)
		if total += n; err != nil {
			break
		}
	}
	t.Logf("loopback: %.0f MiB/s", float64(total)/(1<<20)/time.Since(began).Seconds())
}

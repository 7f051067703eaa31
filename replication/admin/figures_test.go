package admin

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	var got struct {
		Jobs []struct {
			Read, Write struct {
				IOPS    float64 `json:"iops"`
				IOBytes float64 `json:"io_bytes"`
			}
		}
	}
	text := string(out)
	if i := strings.IndexByte(text, '{'); i > 0 {
		text = text[i:]
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("fio: %v\n%s", err, out)
	}
	j := got.Jobs[0]
	if r.read {
		return j.Read.IOPS, j.Read.IOBytes
	}
	return j.Write.IOPS, j.Write.IOBytes
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

// TestFigures measures a volume between two processes on this host, beside a file with
// direct I/O and a mirror made of two qemu-nbd (quorum over a file and NBD).
func TestFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("runs with -figures TIME")
	}
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if out, err := exec.Command("fallocate", "-l", "400M", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		fio(t, rows[2], "--ioengine=libaio", "--direct=1", "--filename="+path) // writes every block once
		for _, r := range rows {
			iops, _ := fio(t, r, "--ioengine=libaio", "--direct=1", "--filename="+path)
			t.Logf("%-32s %8.0f /s", r.name, iops)
		}
	})
	t.Run("qemu mirror", func(t *testing.T) {
		dir := t.TempDir()
		for _, n := range []string{"a", "b"} {
			if out, err := exec.Command("fallocate", "-l", "400M", filepath.Join(dir, n)).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		port := freePort(t)
		start := func(args ...string) int {
			cmd := exec.Command("qemu-nbd", args...)
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			time.Sleep(500 * time.Millisecond)
			return cmd.Process.Pid
		}
		far := start("-t", "-e", "4", "-f", "raw", "--cache=none", "--aio=native", "-b", "127.0.0.1", "-p", fmt.Sprint(port), filepath.Join(dir, "b"))
		sock := filepath.Join(dir, "s")
		near := start("-t", "-e", "4", "-k", sock, "--image-opts", fmt.Sprintf("driver=quorum,vote-threshold=1,read-pattern=fifo,"+
			"children.0.driver=raw,children.0.file.driver=file,children.0.file.filename=%s/a,children.0.file.cache.direct=on,children.0.file.aio=native,"+
			"children.1.driver=raw,children.1.file.driver=nbd,children.1.file.host=127.0.0.1,children.1.file.port=%d", dir, port))
		uri := "--uri=nbd+unix:///?socket=" + sock
		fio(t, rows[2], "--ioengine=nbd", uri)
		for _, r := range rows {
			before := cpu(far) + cpu(near)
			iops, bytes := fio(t, r, "--ioengine=nbd", uri)
			t.Logf("%-32s %8.0f /s, %.2f s CPU per GiB", r.name, iops, (cpu(far)+cpu(near)-before)/bytes*(1<<30))
		}
	})
	for _, protocol := range []string{"A", "B", "C"} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			s := newSite(t, 410, "net { protocol "+protocol+"; max-buffers 8000; max-epoch-size 8000; } disk { resync-rate 1G; c-plan-ahead 0; al-extents 3389; }")
			s.firstSync()
			uri := "--uri=nbd+unix:///r0?socket=" + s.folder(0).NBD("r0")
			for _, r := range rows {
				a, b := s.status(0).PID, s.status(1).PID
				before := cpu(a) + cpu(b)
				iops, bytes := fio(t, r, "--ioengine=nbd", uri)
				t.Logf("%-32s %8.0f /s, %.2f s CPU per GiB", r.name, iops, (cpu(a)+cpu(b)-before)/bytes*(1<<30))
			}
			s.ok(0, "secondary", "r0")
		})
	}
}

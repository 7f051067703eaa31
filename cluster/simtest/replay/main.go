// Command replay runs one simulated cluster of cluster/simtest/whole exactly as
// it always runs:
//
//	go run ./cluster/simtest/replay -seed 42                   with its journal
//	go run ./cluster/simtest/replay -seed 42 -twice            shows that it does
//	go run ./cluster/simtest/replay -first 1 -worlds 12500     100,000 schedules
//	go run ./cluster/simtest/replay -break all                 builds without a safeguard
//
// Everything in a simulation follows from its seed but for what Go's runtime
// decides by dice, by the real time or by addresses: which ready case a select
// takes, in which order a map is walked, the children of a context are cancelled
// and timers of the same instant fire, when a
// goroutine that runs for long or waits in the kernel gives way, and when a
// mutex turns fair. The command builds the tests with a copy of some files of
// the runtime in which the dice of a synctest bubble always fall the same, and
// switches preemption and the second processor off; the tests themselves see
// to garbage and to the randomness of keys.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// change is one replacement in a file of the standard library.
type change struct{ file, old, new string }

var changes = []change{
	{"runtime/synctest.go", "	done    bool   // true if main has exited\n", "	done    bool   // true if main has exited\n	dice    uint64\n"},
	{"runtime/rand.go", "	mp := getg().m\n	c := &mp.chacha8\n", `	mp := getg().m
	if gp := mp.curg; gp != nil && gp.bubble != nil {
		return uint64(bubbleDice(gp.bubble))<<32 | uint64(bubbleDice(gp.bubble))
	}
	c := &mp.chacha8
`},
	{"runtime/rand.go", "//go:linkname maps_rand internal/runtime/maps.rand\n", `//go:nosplit
func bubbleDice(b *synctestBubble) uint32 {
	b.dice += 0xa0761d6478bd642f
	hi, lo := math.Mul64(b.dice, b.dice^0xe7037ed1a0b428db)
	return uint32(hi ^ lo)
}

//go:linkname maps_rand internal/runtime/maps.rand
`},
	{"runtime/select.go", "		j := cheaprandn(uint32(norder + 1))\n", `		var j uint32
		if b := getg().bubble; b != nil {
			j = uint32((uint64(bubbleDice(b)) * uint64(norder+1)) >> 32)
		} else {
			j = cheaprandn(uint32(norder + 1))
		}
`},
	{"runtime/time.go", "			t.rand = cheaprand()\n", "			t.rand = bubbleDice(getg().bubble)\n"},
	{"runtime/alg.go", "		key[i] = bootstrapRand()\n", "		key[i] = 0x9e3779b97f4a7c15 * uint64(i+1)\n"},
	{"runtime/sema.go", "func internal_sync_nanotime() int64 {\n", `func internal_sync_nanotime() int64 {
	if b := getg().bubble; b != nil {
		return b.now
	}
`},
	{"runtime/proc.go", "		// Take the P. Note: because we have the scan bit, the goroutine\n", `		if sched.gcwaiting.Load() == false {
			thread.resume()
			goto done
		}
		// Take the P. Note: because we have the scan bit, the goroutine
`},
	{"runtime/proc.go", "const forcePreemptNS = 10 * 1000 * 1000 // 10ms\n", "const forcePreemptNS = 1000 * 1000 * 1000 * 1000\n"},
	// Children of a context are cancelled in the order in which they were made.
	{"context/context.go", "	children map[canceler]struct{} // set to nil by the first cancel call\n", "	children map[canceler]uint64 // set to nil by the first cancel call\n"},
	{"context/context.go", "				p.children = make(map[canceler]struct{})\n", "				p.children = make(map[canceler]uint64)\n"},
	{"context/context.go", "			p.children[child] = struct{}{}\n", "			p.children[child] = made.Add(1)\n"},
	{"context/context.go", "// A cancelCtx can be canceled. When", "var made atomic.Uint64\n\n// A cancelCtx can be canceled. When"},
	{"context/context.go", "	for child := range c.children {\n", `	for len(c.children) > 0 {
		var child canceler
		for other, n := range c.children {
			if child == nil || n < c.children[child] {
				child = other
			}
		}
		delete(c.children, child)
`},
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 0, "the world to run, with its journal")
	flag.Uint64Var(&o.first, "first", 1, "the first of many worlds to run")
	flag.IntVar(&o.worlds, "worlds", 0, "how many of them")
	flag.Float64Var(&o.hours, "hours", 0, "run them for that long instead")
	flag.IntVar(&o.patience, "patience", 3, "stop after that many bad ones")
	flag.IntVar(&o.schedules, "schedules", 8, "fault schedules in the life of a world; it has to be the same number for the same run")
	twice := flag.Bool("twice", false, "run everything twice and compare what happened")
	broken := flag.String("break", "", "build the daemon without one of its safeguards, by a part of its name or all, and see that it is noticed")
	flag.StringVar(&o.faults, "faults", "", "names of the only faults that come, with semicolons between")
	flag.Parse()
	if o.seed == 0 && o.worlds == 0 && o.hours == 0 && *broken == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o, *twice, *broken); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

// options are handed on to the test.
type options struct {
	seed, first                 uint64
	worlds, patience, schedules int
	hours                       float64
	faults, total               string
}

// arguments are of one length, whatever is asked for: they lie in memory before
// all that follows.
func (o options) arguments() []string {
	number := func(n uint64) string { return fmt.Sprintf("%#018x", n) }
	return []string{"-test.run", "^TestSchedules$", "-test.v", "-test.timeout", "10m", "-schedules", fmt.Sprint(o.schedules), "-faults", o.faults,
		"-seed", number(o.seed), "-first", number(o.first), "-worlds", number(uint64(o.worlds)), "-traces", "-total", o.total}
}

func run(o options, twice bool, broken string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	// The same place each time, so that what was built is found again.
	dir := filepath.Join(cache, "gcrm-replay")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	overlay, replace, err := withoutDice(dir)
	if err != nil {
		return err
	}
	if broken != "" {
		root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "gcrm").Output()
		if err != nil {
			return err
		}
		return tryBreakages(dir, strings.TrimSpace(string(root)), replace, broken, o)
	}
	binary, err := build(dir, overlay)
	if err != nil {
		return err
	}
	defer os.Remove(binary)
	o.total = totalFile()
	run := life
	if o.seed == 0 {
		run = lives
	}
	if !twice {
		return run(binary, o, os.Stdout)
	}
	var first, second bytes.Buffer
	err = run(binary, o, io.MultiWriter(os.Stdout, &first))
	run(binary, o, &second)
	return errors.Join(err, compare(first.String(), second.String()))
}

// compare says how much of two outputs is the same: all lines of a journal, or
// the traces of many worlds.
func compare(first, second string) error {
	a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
	same, traces := 0, 0
	for i := range min(len(a), len(b)) {
		if strings.Contains(a[i], "trace ") {
			traces++
			if a[i] == b[i] {
				same++
			}
		}
		if timed(a[i]) || a[i] == b[i] || strings.HasPrefix(a[i], "seed ") {
			continue
		}
		return fmt.Errorf("the second run differs in line %d:\n%s\n%s", i+1, a[i], b[i])
	}
	if len(a) != len(b) {
		return fmt.Errorf("the second run has %d lines, the first %d", len(b), len(a))
	}
	fmt.Printf("%d of %d worlds are the same in both runs\n", same, traces)
	if same != traces {
		return errors.New("the runs differ")
	}
	return nil
}

// timed lines tell how long something really took.
func timed(line string) bool {
	return strings.HasPrefix(line, "---") || strings.HasPrefix(line, "ok") || strings.Contains(line, "of processor")
}

// totalFile is where worlds add up what happened; its name is always as long.
func totalFile() string {
	return fmt.Sprintf("%s.%010d", filepath.Join(os.TempDir(), "gcrm-replay-total"), os.Getpid())
}

// lives runs many worlds, each in a process of its own, since addresses, and by
// them the order in which some maps are walked, depend on what was before.
func lives(binary string, o options, out io.Writer) error {
	defer os.Remove(o.total)
	one := o
	one.worlds = 1
	bad := 0
	for began, n := time.Now(), 0; bad < o.patience && (n < o.worlds || time.Since(began).Hours() < o.hours); n++ {
		one.first = o.first + uint64(n)
		var told bytes.Buffer
		if err := life(binary, one, &told); err == nil {
			for line := range strings.Lines(told.String()) {
				if strings.Contains(line, " trace ") {
					io.WriteString(out, line)
				}
			}
			continue
		}
		bad++
		if _, err := told.WriteTo(out); err != nil {
			return err
		}
		fmt.Fprintln(out, "The same once more, with the logs of the nodes:")
		alone := one
		alone.seed = one.first
		if life(binary, alone, out) == nil {
			fmt.Fprintln(out, "it went another way")
		}
	}
	one.worlds = 0
	if err := life(binary, one, out); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d bad worlds", bad)
	}
	return nil
}

// life runs one world.
func life(binary string, o options, out io.Writer) error {
	c := exec.Command(binary, o.arguments()...)
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	c.Stdout, c.Stderr = out, out
	return c.Run()
}

// writeOverlay makes the changed files and the list of them and others.
func writeOverlay(dir string, changes []change, others map[string]string) (string, error) {
	replace := maps.Clone(others)
	text := map[string]string{}
	for _, c := range changes {
		if _, ok := text[c.file]; !ok {
			b, err := os.ReadFile(c.file)
			if err != nil {
				return "", err
			}
			text[c.file] = string(b)
		}
		if strings.Count(text[c.file], c.old) != 1 {
			return "", fmt.Errorf("%s is not as expected: %q is not in it once", c.file, c.old)
		}
		text[c.file] = strings.Replace(text[c.file], c.old, c.new, 1)
	}
	for file, t := range text {
		path := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(path, []byte(t), 0o600); err != nil {
			return "", err
		}
		replace[file] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// withoutDice is the overlay of the runtime.
func withoutDice(dir string) (overlay string, replace map[string]string, err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", nil, err
	}
	var list []change
	replace = map[string]string{}
	for _, c := range changes {
		file := filepath.Join(strings.TrimSpace(string(root)), "src", c.file)
		replace[file] = filepath.Join(dir, filepath.Base(c.file))
		list = append(list, change{file, c.old, c.new})
	}
	overlay, err = writeOverlay(dir, list, map[string]string{})
	return overlay, replace, err
}

// build builds the tests. Whoever builds the next ones does not disturb these.
func build(dir, overlay string) (string, error) {
	binary := filepath.Join(dir, fmt.Sprintf("whole.test.%010d", os.Getpid()))
	build := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, "gcrm/cluster/simtest/whole")
	build.Stderr = os.Stderr
	build.Env = append(os.Environ(), "GOEXPERIMENT=norandomizedheapbase64")
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("building the tests: %w", err)
	}
	return binary, nil
}

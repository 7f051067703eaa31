// Command replay runs one simulated cluster of cluster/simtest/whole exactly as
// it always runs:
//
//	go run ./cluster/simtest/replay -seed 42
//	go run ./cluster/simtest/replay -seed 42 -twice     shows that it does
//
// Everything in a simulation follows from its seed but for what Go's runtime
// decides by dice: which ready case a select takes, in which order a map is
// walked, and when a goroutine that runs for long gives way. The command
// builds the tests with a copy of three files of the runtime in which the
// dice of a synctest bubble always fall the same, and switches garbage
// collection, preemption and the second processor off.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// change is one replacement in a file of the runtime.
type change struct{ file, old, new string }

var changes = []change{
	{"synctest.go", "	done    bool   // true if main has exited\n", "	done    bool   // true if main has exited\n	dice    uint64\n"},
	{"rand.go", "	mp := getg().m\n	c := &mp.chacha8\n", `	mp := getg().m
	if gp := mp.curg; gp != nil && gp.bubble != nil {
		return uint64(bubbleDice(gp.bubble))<<32 | uint64(bubbleDice(gp.bubble))
	}
	c := &mp.chacha8
`},
	{"rand.go", "//go:linkname maps_rand internal/runtime/maps.rand\n", `//go:nosplit
func bubbleDice(b *synctestBubble) uint32 {
	b.dice += 0xa0761d6478bd642f
	hi, lo := math.Mul64(b.dice, b.dice^0xe7037ed1a0b428db)
	return uint32(hi ^ lo)
}

//go:linkname maps_rand internal/runtime/maps.rand
`},
	{"select.go", "		j := cheaprandn(uint32(norder + 1))\n", `		var j uint32
		if b := getg().bubble; b != nil {
			j = uint32((uint64(bubbleDice(b)) * uint64(norder+1)) >> 32)
		} else {
			j = cheaprandn(uint32(norder + 1))
		}
`},
	{"proc.go", "const forcePreemptNS = 10 * 1000 * 1000 // 10ms\n", "const forcePreemptNS = 1000 * 1000 * 1000 * 1000\n"},
}

func main() {
	seed := flag.Uint64("seed", 1, "the world to run")
	count := flag.Int("schedules", 8, "fault schedules in its life; it has to be the same number for the same run")
	twice := flag.Bool("twice", false, "run it twice and compare the journals")
	flag.Parse()
	if err := run(*seed, *count, *twice); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(seed uint64, count int, twice bool) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	// The same place each time, so that what was built is found again.
	dir := filepath.Join(cache, "gcrm-replay")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	overlay, err := writeOverlay(dir)
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "whole.test")
	build := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, "gcrm/cluster/simtest/whole")
	build.Stderr = os.Stderr
	build.Env = append(os.Environ(), "GOEXPERIMENT=norandomizedheapbase64")
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the tests: %w", err)
	}
	first, err := life(binary, seed, count)
	os.Stdout.Write(first)
	if !twice {
		return err
	}
	second, _ := life(binary, seed, count)
	a, b := strings.Split(string(first), "\n"), strings.Split(string(second), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "---") && !strings.HasPrefix(a[i], "ok") {
			return fmt.Errorf("the second run differs in line %d:\n%s\n%s", i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("the second run has %d lines, the first %d", len(b), len(a))
	}
	fmt.Println("both runs are the same,", len(a), "lines")
	return err
}

// life runs a world and returns its output.
func life(binary string, seed uint64, count int) ([]byte, error) {
	c := exec.Command(binary, "-test.run", "^TestSchedules$", "-test.v", "-seed", fmt.Sprint(seed), "-schedules", fmt.Sprint(count))
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// writeOverlay makes the changed files and the list of them.
func writeOverlay(dir string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	runtime := filepath.Join(strings.TrimSpace(string(root)), "src", "runtime")
	text := map[string]string{}
	for _, c := range changes {
		if _, ok := text[c.file]; !ok {
			b, err := os.ReadFile(filepath.Join(runtime, c.file))
			if err != nil {
				return "", err
			}
			text[c.file] = string(b)
		}
		if strings.Count(text[c.file], c.old) != 1 {
			return "", fmt.Errorf("runtime/%s of this version of Go is not as expected: %q is not in it once", c.file, c.old)
		}
		text[c.file] = strings.Replace(text[c.file], c.old, c.new, 1)
	}
	replace := map[string]string{}
	for file, t := range text {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(t), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(runtime, file)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

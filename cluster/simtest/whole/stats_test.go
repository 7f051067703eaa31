package whole

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"math/bits"
	"os"
	"slices"
	"strings"
	"time"
)

// stats counts what happened in worlds.
type stats struct {
	Clusters, Bad, Schedules, Commits, Unknown, Starts, Actions, Fencings, Repeated, Expulsions, Forced int
	Simulated                                                                                           time.Duration
	Datagrams                                                                                           uint64
	Processor                                                                                           time.Duration
	// Faults counts those that came, by kind.
	Faults map[string]int
}

func (s *stats) add(o stats) {
	s.Clusters += o.Clusters
	s.Processor += o.Processor
	s.Bad += o.Bad
	s.Schedules += o.Schedules
	s.Commits += o.Commits
	s.Unknown += o.Unknown
	s.Starts += o.Starts
	s.Actions += o.Actions
	s.Fencings += o.Fencings
	s.Repeated += o.Repeated
	s.Expulsions += o.Expulsions
	s.Forced += o.Forced
	s.Simulated += o.Simulated
	s.Datagrams += o.Datagrams
	if s.Faults == nil {
		s.Faults = map[string]int{}
	}
	for k, n := range o.Faults {
		s.Faults[k] += n
	}
}

// accumulate adds what is in a file, and writes the sum there.
func (s *stats) accumulate(file string) error {
	if file == "" {
		return nil
	}
	var before stats
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.add(before)
	if b, err = json.Marshal(s); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func (s *stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %v simulated, %d datagrams\n", s.Schedules, s.Simulated.Round(time.Second), s.Datagrams)
	fmt.Fprintf(&b, "%d commits, %d with unknown outcome; %d agent actions, %d of them starts; %d fencings, %d of nodes that were fenced already, %d forced electorates, %d expulsions\n",
		s.Commits, s.Unknown, s.Actions, s.Starts, s.Fencings, s.Repeated, s.Forced, s.Expulsions)
	for _, k := range slices.Sorted(maps.Keys(s.Faults)) {
		fmt.Fprintf(&b, "%8d  %s\n", s.Faults[k], k)
	}
	return b.String()
}

// digest is what a world did, in one number: its journal without the logs of
// nodes, and every packet.
type digest uint64

func (d *digest) add(text string) {
	h := fnv.New64a()
	h.Write([]byte(text))
	d.mix(h.Sum64())
}

func (d *digest) mix(numbers ...uint64) {
	for _, n := range numbers {
		hi, lo := bits.Mul64(uint64(*d)^n^0xa0761d6478bd642f, 0xe7037ed1a0b428db)
		*d = digest(hi ^ lo + n)
	}
}

// count notes that a fault came.
func (w *world) count(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stats.Faults == nil {
		w.stats.Faults = map[string]int{}
	}
	w.stats.Faults[kind]++
}

// trace is the digest of all that happened.
func (w *world) trace() uint64 {
	w.mu.Lock()
	mine := w.digest
	w.mu.Unlock()
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	mine.mix(uint64(w.net.digest))
	return uint64(mine)
}

// Command plocks tries the POSIX locks of a file system that several machines share: many
// processes on each of them run it at once on the same file.
//
//	go run ./cluster/simtest/lab/plocks -node 1 -processes 20 -for 1m /mnt/file
//
// The file has slots. Who holds a slot alone writes its mark into it, looks whether it
// stays, adds one to the slot's counter and takes the mark away; who shares a slot looks
// that there is no mark and that the counter stays. Anything else is a violation: it is
// printed, and the exit status is 1. At the end the counts of all are printed, which have
// to be equal to the counters in the file (-sum prints those).
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	slots    = 16
	slotSize = 64
)

// slot is what is in the file.
type slot struct {
	mark    uint64 // of who holds it alone: the node, then the process
	counter uint64
}

type player struct {
	file *os.File
	mark uint64
	gone uint64 // node whose marks may have been left
	// careless does not lock, to show that it is noticed.
	careless bool
	// what was done
	Alone, Shared, Refused, Asked, Left int
}

func main() {
	node := flag.Uint64("node", 1, "number of this machine")
	processes := flag.Int("processes", 1, "how many processes")
	how := flag.Duration("for", time.Minute, "how long")
	gone := flag.Uint64("gone", 0, "a machine that may be lost meanwhile, and leave its marks")
	sum := flag.Bool("sum", false, "print the sum of the counters")
	careless := flag.Bool("careless", false, "do not lock, which has to be noticed")
	child := flag.Int("child", -1, "")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *node, *processes, *how, *gone, *sum, *careless, *child); err != nil {
		fmt.Println("VIOLATION or error:", err)
		os.Exit(1)
	}
}

func run(path string, node uint64, processes int, how time.Duration, gone uint64, sum, careless bool, child int) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	p := &player{file: f, mark: node<<32 | uint64(max(0, child)+1), gone: gone, careless: careless}
	switch {
	case sum:
		return p.sum()
	case child >= 0:
		err := p.play(time.Now().Add(how), rand.New(rand.NewPCG(node, uint64(child))))
		fmt.Printf("%d %d %d %d %d\n", p.Alone, p.Shared, p.Refused, p.Asked, p.Left)
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	type result struct {
		out string
		err error
	}
	results := make(chan result)
	for i := range processes {
		c := exec.Command(self, "-child", fmt.Sprint(i), "-node", fmt.Sprint(node), "-for", how.String(), "-gone", fmt.Sprint(gone), fmt.Sprintf("-careless=%v", careless), path)
		go func() {
			out, err := c.CombinedOutput()
			results <- result{string(out), err}
		}()
	}
	var all player
	for range processes {
		r := <-results
		var one player
		if _, e := fmt.Sscan(r.out, &one.Alone, &one.Shared, &one.Refused, &one.Asked, &one.Left); e != nil || r.err != nil {
			err = errors.Join(err, fmt.Errorf("%v: %s", r.err, strings.TrimSpace(r.out)))
		}
		all.Alone, all.Shared, all.Refused, all.Asked, all.Left = all.Alone+one.Alone, all.Shared+one.Shared, all.Refused+one.Refused, all.Asked+one.Asked, all.Left+one.Left
	}
	fmt.Printf("alone %d shared %d refused %d asked %d left %d\n", all.Alone, all.Shared, all.Refused, all.Asked, all.Left)
	return err
}

// lock locks slots, or tells that somebody else has one of them.
func (p *player) lock(command int, kind int16, first, count int) (bool, error) {
	if p.careless {
		return true, nil
	}
	l := unix.Flock_t{Type: kind, Start: int64(first * slotSize), Len: int64(count * slotSize)}
	for {
		err := unix.FcntlFlock(p.file.Fd(), command, &l)
		switch {
		case err == nil:
			return command != unix.F_GETLK || l.Type == unix.F_UNLCK, nil
		case errors.Is(err, unix.EINTR):
		case command == unix.F_SETLK && (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES)):
			return false, nil
		default:
			return false, fmt.Errorf("lock of slots %d to %d: %w", first, first+count-1, err)
		}
	}
}

func (p *player) read(i int) (slot, error) {
	b := make([]byte, 16)
	n, err := p.file.ReadAt(b, int64(i*slotSize))
	if n == 0 && errors.Is(err, io.EOF) {
		return slot{}, nil // nobody was there before
	}
	if err != nil {
		return slot{}, err
	}
	return slot{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}, nil
}

func (p *player) write(i int, s slot) error {
	b := make([]byte, slotSize)
	binary.LittleEndian.PutUint64(b, s.mark)
	binary.LittleEndian.PutUint64(b[8:], s.counter)
	_, err := p.file.WriteAt(b, int64(i*slotSize))
	return err
}

func (p *player) play(end time.Time, dice *rand.Rand) error {
	for time.Now().Before(end) {
		first := dice.IntN(slots)
		count := 1 + dice.IntN(min(3, slots-first))
		var err error
		switch n := dice.IntN(10); {
		case n < 4:
			err = p.alone(unix.F_SETLKW, first, count)
		case n < 6:
			err = p.alone(unix.F_SETLK, first, count)
		case n < 9:
			err = p.shared(first, count)
		default:
			p.Asked++
			_, err = p.lock(unix.F_GETLK, unix.F_WRLCK, first, count)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone holds slots alone for a while.
func (p *player) alone(command, first, count int) error {
	if got, err := p.lock(command, unix.F_WRLCK, first, count); err != nil || !got {
		p.Refused++
		return err
	}
	held := make([]slot, count)
	for k := range count {
		s, err := p.read(first + k)
		if err == nil {
			err = p.clean(first+k, &s)
		}
		if err != nil {
			return err
		}
		s.mark = p.mark
		if err := p.write(first+k, s); err != nil {
			return err
		}
		held[k] = s
	}
	for k := range count {
		if s, err := p.read(first + k); err != nil || s != held[k] {
			return fmt.Errorf("slot %d, held alone by %x, changed from %+v to %+v: %v", first+k, p.mark, held[k], s, err)
		}
		if err := p.write(first+k, slot{0, held[k].counter + 1}); err != nil {
			return err
		}
		p.Alone++
	}
	_, err := p.lock(unix.F_SETLK, unix.F_UNLCK, first, count)
	return err
}

// shared looks at slots that nobody may write meanwhile.
func (p *player) shared(first, count int) error {
	if _, err := p.lock(unix.F_SETLKW, unix.F_RDLCK, first, count); err != nil {
		return err
	}
	for k := range count {
		before, err := p.read(first + k)
		if err != nil {
			return err
		}
		after, err := p.read(first + k)
		if err != nil || after != before {
			return fmt.Errorf("slot %d, shared by %x, changed from %+v to %+v: %v", first+k, p.mark, before, after, err)
		}
		if before.mark != 0 && (p.gone == 0 || before.mark>>32 != p.gone) {
			return fmt.Errorf("slot %d is shared by %x and has the mark %x", first+k, p.mark, before.mark)
		}
	}
	p.Shared++
	_, err := p.lock(unix.F_SETLK, unix.F_UNLCK, first, count)
	return err
}

// clean forgets the mark of a machine that was lost.
func (p *player) clean(i int, s *slot) error {
	if s.mark == 0 {
		return nil
	}
	if p.gone == 0 || s.mark>>32 != p.gone {
		return fmt.Errorf("slot %d is held alone by %x and has the mark %x", i, p.mark, s.mark)
	}
	p.Left++
	s.mark = 0
	return nil
}

func (p *player) sum() error {
	total := uint64(0)
	for i := range slots {
		s, err := p.read(i)
		if err != nil {
			return err
		}
		if err := p.clean(i, &s); err != nil {
			return err
		}
		total += s.counter
	}
	fmt.Println(total)
	return nil
}

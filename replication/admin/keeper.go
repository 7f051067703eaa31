package admin

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/replication/fusefile"
	"gcrm/replication/nbd"
)

// Keeper starts the process of a resource again whenever it dies, and keeps what must
// outlive it: the channels of the FUSE files.
type Keeper struct {
	Options ServeOptions
	Volumes []string // their names
	CPUs    string   // that the process may use, as a hexadecimal mask; empty for all (cpu-mask)
	// Worker is the command line of the process itself.
	Worker []string
	Log    func(string)
}

// clear takes the file and a loop device on it away. A loop device that somebody
// still uses goes when that ends.
func (k *Keeper) clear(path string) {
	loop := fusefile.FindLoop(path)
	if err := fusefile.Unmount(path, true); err != nil && !errors.Is(err, os.ErrNotExist) {
		k.Log(err.Error())
	}
	if loop != "" {
		if err := fusefile.AbandonLoop(loop); err != nil {
			k.Log(err.Error())
		}
	}
}

// channelFD is where the process finds the channel of the first FUSE file.
const channelFD = 3

// InheritedChannels are those that a keeper gave this process, one for each volume.
func InheritedChannels(volumes int) []*os.File {
	var out []*os.File
	for i := range volumes {
		out = append(out, os.NewFile(uintptr(channelFD+i), "fuse"))
	}
	return out
}

// startOn starts a process on some processors.
func startOn(cmd *exec.Cmd, mask string) error {
	if mask == "" {
		return cmd.Start()
	}
	set, err := cpuSet(mask)
	if err != nil {
		return err
	}
	// The process inherits what its parent's thread may use. The thread ends with this
	// goroutine, since it stays locked to it.
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			started <- fmt.Errorf("cpu-mask %s: %w", mask, err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// cpuSet reads a mask: hexadecimal digits, commas between them allowed.
func cpuSet(mask string) (set unix.CPUSet, err error) {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(mask, ",", ""), 16)
	if !ok || n.Sign() <= 0 {
		return set, fmt.Errorf("cpu-mask %q is no hexadecimal number", mask)
	}
	for i := range n.BitLen() {
		if n.Bit(i) == 1 {
			set.Set(i)
		}
	}
	return set, nil
}

// Run keeps the process alive until it ends in good order or ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	o := k.Options
	if err := os.MkdirAll(string(o.Folder), 0o755); err != nil {
		return err
	}
	var channels []*os.File
	for _, name := range k.Volumes {
		switch o.Device {
		case "loop":
			path := o.Folder.Mount(name)
			k.clear(path) // what a keeper before this one may have left
			channel, err := fusefile.Mount(path, name)
			if err != nil {
				return err
			}
			defer k.clear(path)
			defer channel.Close()
			channels = append(channels, channel)
		case "nbd":
			drop := func() {
				if err := nbd.DropKernel(kernelName(name)); err != nil {
					k.Log(err.Error())
				}
			}
			drop() // what a keeper before this one may have left
			defer drop()
		}
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)
	pause := 50 * time.Millisecond
	for {
		cmd := exec.Command(k.Worker[0], k.Worker[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.ExtraFiles = channels
		began := time.Now()
		if err := startOn(cmd, k.CPUs); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
		asked := false
		for running := true; running; {
			select {
			case err = <-ended:
				running = false
			case sig := <-signals:
				asked = true
				_ = cmd.Process.Signal(sig)
			case <-ctx.Done():
				asked = true
				_ = cmd.Process.Signal(unix.SIGTERM)
				ctx = context.WithoutCancel(ctx)
			}
		}
		var exit *exec.ExitError
		switch {
		case err == nil || asked:
			return nil
		case errors.As(err, &exit) && exit.ExitCode() == exitFailed && time.Since(began) < 2*time.Second:
			return fmt.Errorf("%s cannot be served; its last words are above", o.Resource)
		}
		k.Log(fmt.Sprintf("the process of %s ended: %v; starting it again", o.Resource, err))
		if time.Since(began) > 10*time.Second {
			pause = 50 * time.Millisecond
		}
		time.Sleep(pause)
		pause = min(2*pause, 5*time.Second)
	}
}

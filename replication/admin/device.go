package admin

import (
	"fmt"
	"os"
	"path/filepath"

	"gcrm/replication/blockdev"
	"gcrm/replication/fusefile"
)

// serveFile answers the FUSE file, if there is one; with resume also what a
// predecessor left unanswered.
func (v *served) serveFile(resume bool) {
	if v.channel == nil {
		return
	}
	v.fuse = fusefile.New(v.channel, (*patient)(v))
	mount := v.mount()
	v.device.set(fusefile.FindLoop(mount))
	if resume || v.device.get() != "" {
		if err := v.fuse.Resume(); err != nil {
			v.s.log(err.Error())
		}
	}
	go func() {
		if err := v.fuse.Serve(); err != nil {
			v.s.log(err.Error())
		}
	}()
}

// kernelName is how a successor finds the device of the kernel's NBD client.
func kernelName(volume string) string { return "gcrm:" + volume }

func (v *served) mount() string { return v.s.o.Folder.Mount(v.conf.Name()) }

// attachKernel makes a device of the kernel's NBD client, or takes over what the process
// before this one left.
func (v *served) attachKernel() error {
	if v.kernel != nil {
		return nil
	}
	if err := v.Open(); err != nil {
		return err
	}
	k, err := v.s.nbd.AttachKernel(kernelName(v.conf.Name()), (*patient)(v), v.logicalBlock())
	if err != nil {
		v.Release()
		return err
	}
	v.kernel = k
	v.device.set(k.Path)
	v.s.log("block device " + k.Path)
	v.link(k.Path)
	return nil
}

// logicalBlock is the size of the logical blocks of the device: that of the disk
// below, as in the kernel, so that a file system made there can be mounted here.
func (v *served) logicalBlock() uint32 {
	return blockdev.LogicalBlock(v.conf.Conf.Disk)
}

// attachDevice makes the block device of a Primary.
func (v *served) attachDevice() error {
	if v.s.o.Device == "nbd" {
		return v.attachKernel()
	}
	if v.channel == nil || v.device.get() != "" {
		return nil
	}
	loop, err := fusefile.AttachLoop(v.mount(), v.logicalBlock())
	if err != nil {
		return err
	}
	v.device.set(loop)
	v.s.log("block device " + loop)
	v.link(loop)
	return nil
}

// link gives the block device the names of the configuration.
func (v *served) link(target string) {
	for _, name := range v.names() {
		if st, err := os.Lstat(name); err == nil && st.Mode()&os.ModeSymlink == 0 {
			v.s.log(name + " is there already and stays as it is")
			continue
		}
		_ = os.MkdirAll(filepath.Dir(name), 0o755)
		_ = os.Remove(name)
		if err := os.Symlink(target, name); err != nil {
			v.s.log(err.Error())
		}
	}
}

// watchSize passes a new size of a volume on to its block device.
func (s *server) watchSize() {
	known := make([]uint64, len(s.volumes))
	for i, v := range s.volumes {
		known[i] = v.Size()
	}
	for {
		c := s.v.Changed()
		for i, v := range s.volumes {
			if size := v.Size(); size != known[i] {
				known[i] = size
				s.mu.Lock()
				v.grown()
				s.mu.Unlock()
			}
		}
		select {
		case <-c:
		case <-s.quit:
			return
		}
	}
}

func (v *served) grown() {
	if v.kernel != nil {
		if err := v.kernel.Resize(); err != nil {
			v.s.log(err.Error())
		}
	}
	if v.fuse == nil {
		return
	}
	v.fuse.Grown()
	if v.device.get() != "" {
		if err := fusefile.ResizeLoop(v.device.get(), v.mount()); err != nil {
			v.s.log(err.Error())
		}
	}
}

// names are the paths under which the block device is found.
func (v *served) names() []string {
	byName := "/dev/drbd/by-res/" + v.s.o.Resource
	if len(v.s.volumes) > 1 || v.s.r.Conf.Global.UdevAlwaysUseVNR {
		byName = fmt.Sprintf("%s/%d", byName, v.conf.Number())
	}
	return append([]string{byName}, v.conf.nodes()...)
}

// detachDevice takes the block device away; whoever has it open keeps it.
func (v *served) detachDevice() error {
	if v.device.get() == "" {
		return nil
	}
	if v.kernel != nil {
		if err := v.kernel.Detach(); err != nil {
			return err
		}
		v.kernel = nil
		v.Release()
	} else if err := fusefile.DetachLoop(v.device.get()); err != nil {
		return err
	}
	for _, name := range v.names() {
		if to, err := os.Readlink(name); err == nil && to == v.device.get() {
			_ = os.Remove(name)
		}
	}
	v.device.set("")
	return nil
}

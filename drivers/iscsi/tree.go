package iscsi

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gcrm/drivers/native"
)

// tree is the kernel's target below configfs: making a folder makes an object
// with its attributes as files, removing the folder removes the object, and
// links connect objects.
type tree struct {
	root         string
	mkdir, rmdir func(path string) error
}

func (t tree) path(parts ...string) string {
	return filepath.Join(append([]string{t.root}, parts...)...)
}

// make makes the folders on the way to a path below the root, as far as they
// are missing.
func (t tree) make(c *native.Call, parts ...string) error {
	for i := range parts {
		dir := t.path(parts[:i+1]...)
		if ok, err := native.Exists(dir); err != nil {
			return err
		} else if ok {
			continue
		}
		if err := c.Do("mkdir "+dir, func() error { return t.mkdir(dir) }); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// remove removes the folder of an object; one that is gone is fine.
func (t tree) remove(c *native.Call, dir string) error {
	if ok, err := native.Exists(dir); err != nil || !ok {
		return err
	}
	err := c.Do("rmdir "+dir, func() error { return t.rmdir(dir) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// set writes an attribute. It must be there: a kernel without it cannot do
// what is asked for.
func (t tree) set(c *native.Call, dir, name, value string) error {
	return t.write(c, dir, name, value, value)
}

// conceal writes an attribute whose value is shown to nobody.
func (t tree) conceal(c *native.Call, dir, name, value string) error {
	return t.write(c, dir, name, value, "(concealed)")
}

func (t tree) write(c *native.Call, dir, name, value, shown string) error {
	file := filepath.Join(dir, name)
	return c.Do("write "+shown+" to "+file, func() error {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(value)
		return errors.Join(err, f.Close())
	})
}

// get reads an attribute; one that is not there is empty.
func (t tree) get(dir, name string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(raw)), err
}

func (t tree) link(c *native.Call, to, at string) error {
	if ok, err := native.Exists(at); err != nil || ok {
		return err
	}
	return c.Do("ln -s "+to+" "+at, func() error { return os.Symlink(to, at) })
}

// unlinkAll removes the links in a folder.
func (t tree) unlinkAll(c *native.Call, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			err = errors.Join(err, c.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// folders lists the folders with a prefix in a folder.
func folders(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}

// clear removes units with their links: those of a target, or the ones that
// an initiator is shown.
func (t tree) clear(c *native.Call, dir string) error {
	units, err := folders(dir, "lun_")
	for _, u := range units {
		if err == nil {
			err = t.unlinkAll(c, u)
		}
		if err == nil {
			err = t.remove(c, u)
		}
	}
	return err
}

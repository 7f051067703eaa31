package cib

import (
	"errors"
	"fmt"
	"time"
)

// ErrConflict is what a configuration change gets whose base is not the
// current version. [errors.Is] finds it in a [ConflictError].
var ErrConflict = errors.New("the configuration was changed meanwhile")

// ConflictError tells which version a refused change would have to start from.
type ConflictError struct {
	Base, Current Version
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: the change starts from version %d.%d, the cluster is at %d.%d; merge with the current version and commit again",
		ErrConflict, e.Base.AdminEpoch, e.Base.Epoch, e.Current.AdminEpoch, e.Current.Epoch)
}

// Is makes the error known as [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Apply returns the document that a change leads to. It is a pure function:
// the same document and change give the same result on every node. The
// receiver stays untouched and shares with the result what did not change; a
// refused change gives an error and no document.
//
// The cost of a status change does not depend on the size of the
// configuration, only on the number of nodes and of history entries of the
// node it concerns (pointers copied: microseconds for a thousand).
func (c *CIB) Apply(ch Change) (next *CIB, err error) {
	switch {
	case ch.Configuration != nil && ch.Status != nil:
		return nil, errors.New("change: both configuration and status are set")
	case ch.Configuration != nil:
		return c.applyConfiguration(ch.Configuration, ch.Origin)
	case ch.Status != nil:
		return c.applyStatus(ch.Status)
	}
	return nil, errors.New("change: neither configuration nor status is set")
}

func (c *CIB) applyConfiguration(ch *ConfigurationChange, by Origin) (*CIB, error) {
	now := c.Version()
	if !ch.Base.SameConfiguration(now) {
		return nil, &ConflictError{Base: ch.Base, Current: now}
	}
	conf, err := ParseElement(ch.XML, DefaultLimits)
	if err != nil {
		return nil, fmt.Errorf("new configuration: %w", err)
	}
	if err := checkStructure(conf); err != nil {
		return nil, fmt.Errorf("new configuration: %w", err)
	}
	if ch.Schema != "" && !validSchemaName(ch.Schema) {
		return nil, fmt.Errorf("new configuration: %q is not the name of a schema (pacemaker-3.9, none, ...)", ch.Schema)
	}

	d := newDraft(c.Root)
	i := indexNamed(d.root, "configuration")
	d.root.Children[i] = conf
	next := &CIB{Root: d.root}
	for _, s := range sections {
		conf.Ensure(s)
	}
	if ch.Schema != "" {
		d.root.Set("validate-with", ch.Schema)
	}
	next.SetVersion(Version{AdminEpoch: now.AdminEpoch, Epoch: now.Epoch + 1})
	written := ""
	if !by.Time.IsZero() {
		written = by.Time.Format(time.ANSIC)
	}
	setOrUnset(d.root, "cib-last-written", written)
	setOrUnset(d.root, "update-origin", by.Node)
	setOrUnset(d.root, "update-client", by.Client)
	setOrUnset(d.root, "update-user", by.User)
	return next, nil
}

func setOrUnset(e *Element, name, value string) {
	if value == "" {
		e.Unset(name)
	} else {
		e.Set(name, value)
	}
}

// checkStructure refuses what could not be worked with at all, whatever the
// schema: another root, two sections of one name, objects without an id or
// with an id that is taken.
func checkStructure(conf *Element) error {
	if conf.Name != "configuration" {
		return fmt.Errorf("the root element is <%s>, not <configuration>", conf.Name)
	}
	if conf.Text != "" {
		return errors.New("<configuration> contains text")
	}
	seen := map[string]bool{}
	ids := map[string]string{}
	nodes := map[string]bool{}
	for section := range conf.Elements() {
		if seen[section.Name] {
			return fmt.Errorf("section <%s> is given twice", section.Name)
		}
		seen[section.Name] = true
		for object := range section.Elements() {
			if !object.Has("id") && !object.Has("id-ref") && !declaresNoID(object.Name) {
				return fmt.Errorf("<%s> in <%s> has no id", object.Name, section.Name)
			}
			if object.Name == "node" {
				if nodes[object.ID()] {
					return fmt.Errorf("two nodes have the id %q", object.ID())
				}
				nodes[object.ID()] = true
			}
		}
		var dup error
		section.Walk(func(e *Element) bool {
			if dup != nil {
				return false
			}
			if id, ok := e.Lookup("id"); ok && declaresID(e.Name) {
				if other, taken := ids[id]; taken {
					dup = fmt.Errorf("id %q is given to both a <%s> and a <%s>", id, other, e.Name)
				}
				ids[id] = e.Name
			}
			return true
		})
		if dup != nil {
			return dup
		}
	}
	return nil
}

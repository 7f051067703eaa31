package cib

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Version is the version of a CIB. AdminEpoch and Epoch count configuration
// changes (the former only by an administrator's hand), NumUpdates counts
// status changes since.
type Version struct {
	AdminEpoch, Epoch, NumUpdates int64
}

func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.AdminEpoch, v.Epoch, v.NumUpdates)
}

// Compare orders versions as Pacemaker does.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.AdminEpoch, o.AdminEpoch),
		cmp.Compare(v.Epoch, o.Epoch), cmp.Compare(v.NumUpdates, o.NumUpdates))
}

// SameConfiguration reports whether two versions differ in status only.
func (v Version) SameConfiguration(o Version) bool {
	return v.AdminEpoch == o.AdminEpoch && v.Epoch == o.Epoch
}

// ParseVersion reads "admin_epoch.epoch.num_updates".
func ParseVersion(s string) (Version, error) {
	var v Version
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return v, fmt.Errorf("%q is not a CIB version (admin_epoch.epoch.num_updates)", s)
	}
	for i, p := range []*int64{&v.AdminEpoch, &v.Epoch, &v.NumUpdates} {
		n, err := strconv.ParseInt(parts[i], 10, 64)
		if err != nil || n < 0 {
			return v, fmt.Errorf("%q is not a CIB version (admin_epoch.epoch.num_updates)", s)
		}
		*p = n
	}
	return v, nil
}

// DefaultSchema is the schema of a new CIB: the newest that Pacemaker 2.1 and
// 3.x tools both accept.
const DefaultSchema = "pacemaker-3.9"

// FeatureSet is the crm_feature_set that gcrm writes and announces to agents.
const FeatureSet = "3.16.1"

// CIB is a whole document.
type CIB struct {
	// Root is the cib element. It is never nil and always has a
	// configuration with crm_config, nodes, resources and constraints, and
	// a status element.
	Root *Element
}

// New returns an empty CIB of version 0.0.0.
func New() *CIB {
	c := &CIB{Root: NewElement("cib", "crm_feature_set", FeatureSet, "validate-with", DefaultSchema,
		"epoch", "0", "num_updates", "0", "admin_epoch", "0")}
	c.complete()
	return c
}

// Parse reads a CIB from XML. The result shares memory with text.
func Parse(text string) (*CIB, error) { return ParseWithin(text, DefaultLimits) }

// ParseWithin is [Parse] with other limits.
func ParseWithin(text string, lim Limits) (*CIB, error) {
	root, err := ParseElement(text, lim)
	if err != nil {
		return nil, err
	}
	return FromElement(root)
}

// FromElement makes root, a cib element, a CIB; missing sections and version
// numbers are added.
func FromElement(root *Element) (*CIB, error) {
	if root == nil || root.Name != "cib" {
		return nil, errors.New("the root element is not <cib>")
	}
	for _, name := range []string{"admin_epoch", "epoch", "num_updates"} {
		v, ok := root.Lookup(name)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < 0 {
			return nil, fmt.Errorf("<cib> has %s=%q, which is not a version number", name, v)
		}
	}
	c := &CIB{Root: root}
	c.complete()
	return c, nil
}

func (c *CIB) complete() {
	for _, name := range []string{"epoch", "num_updates", "admin_epoch"} {
		if !c.Root.Has(name) {
			c.Root.Set(name, "0")
		}
	}
	conf := c.Root.Ensure("configuration")
	for _, s := range sections {
		conf.Ensure(s)
	}
	c.Root.Ensure("status")
}

// Version returns the document's version; absent attributes count as 0.
func (c *CIB) Version() Version {
	n := func(name string) int64 {
		v, _ := strconv.ParseInt(c.Root.Get(name), 10, 64)
		return v
	}
	return Version{n("admin_epoch"), n("epoch"), n("num_updates")}
}

// SetVersion stores a version in the document.
func (c *CIB) SetVersion(v Version) {
	c.Root.Set("epoch", strconv.FormatInt(v.Epoch, 10))
	c.Root.Set("num_updates", strconv.FormatInt(v.NumUpdates, 10))
	c.Root.Set("admin_epoch", strconv.FormatInt(v.AdminEpoch, 10))
}

// Schema returns the name of the schema the document declares (validate-with).
func (c *CIB) Schema() string { return c.Root.Get("validate-with") }

// Clone returns a deep copy.
func (c *CIB) Clone() *CIB { return &CIB{Root: c.Root.Clone()} }

// String returns the document as XML.
func (c *CIB) String() string { return c.Root.String() }

// Configuration returns the configuration element.
func (c *CIB) Configuration() *Element { return c.Root.Child("configuration") }

// Section returns a section of the configuration (crm_config, nodes,
// resources, constraints, rsc_defaults, op_defaults, fencing-topology, acls,
// tags, alerts), or nil if it is absent.
func (c *CIB) Section(name string) *Element { return c.Configuration().Child(name) }

// Status returns the status element.
func (c *CIB) Status() *Element { return c.Root.Child("status") }

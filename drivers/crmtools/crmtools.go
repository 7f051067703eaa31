// Package crmtools is the commands that agent scripts call to speak with the
// cluster: crm_master, crm_attribute, crm_node, crm_resource, attrd_updater,
// crm_mon, cibadmin (to read), stonith_admin (to fence) and pacemakerd.
// They take the options agents use, and print and exit as Pacemaker's do.
//
// The program answers to these names in a folder that is first in the PATH of
// scripts (drivers.InstallHelpers).
package crmtools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
)

// Exit codes, as Pacemaker numbers them.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 64
	exitNoHost       = 68
	exitUnavailable  = 69
	exitDisconnected = 102
	exitNoSuch       = 105
)

// Section is where an attribute lives.
type Section int

const (
	Transient   Section = iota // of a node, until it leaves the cluster
	Permanent                  // of a node, in the configuration
	Utilization                // of a node
	Properties                 // of the cluster
	RscDefaults
	OpDefaults
	ResourceParameters
	ResourceMeta
	ResourceUtilization
)

// String is the name as crm_attribute prints it.
func (s Section) String() string {
	return [...]string{"status", "nodes", "nodes", "crm_config", "rsc_defaults", "op_defaults", "resources", "resources", "resources"}[s]
}

// Attribute names one attribute.
type Attribute struct {
	Section Section
	Node    string // name; empty outside the sections of nodes
	// Resource is the id in the sections of resources; instances of clones
	// may be named.
	Resource string
	Set      string // id of the set in the configuration; empty for the usual one
	Name     string
}

// Node is a member as crm_node tells of it.
type Node struct {
	Name, ID string
	Online   bool
}

// ErrNoNode is what a Backend returns for a node the cluster does not have.
var ErrNoNode = errors.New("no such node")

// Place is where a resource is active.
type Place struct {
	Node     string
	Promoted bool
}

// ErrNoResource is what a Backend returns for a resource the configuration
// does not have.
var ErrNoResource = errors.New("no such resource")

// Backend is the way to the node's daemon.
type Backend interface {
	// LocalNode returns the node this runs on.
	LocalNode(ctx context.Context) (Node, error)
	// Nodes returns all nodes of the cluster.
	Nodes(ctx context.Context) ([]Node, error)
	// Quorate tells whether this part of the cluster has quorum.
	Quorate(ctx context.Context) (bool, error)
	// Located returns where a resource is active.
	Located(ctx context.Context, resource string) ([]Place, error)
	// Attribute reads; ok is false if the attribute is not set.
	Attribute(ctx context.Context, a Attribute) (value string, ok bool, err error)
	// SetAttribute sets, or with nil removes. When it returns, the
	// scheduler's next run sees the change. A delay asks to wait that long
	// for further changes first; a backend may do without.
	SetAttribute(ctx context.Context, a Attribute, value *string, delay time.Duration) error
	// Status returns what the shell's status prints; words are its options.
	Status(ctx context.Context, words []string) (string, error)
	// Query returns elements of the CIB as text; none if nothing is there.
	Query(ctx context.Context, q Query) ([]string, error)
	// Fence returns when a node is known to be down.
	Fence(ctx context.Context, node, action string) error
}

// Query asks for parts of the CIB: all of it, a section, or what an XPath finds.
type Query struct {
	Section, XPath string
	Bare           bool // without children
}

// Environment is what the commands read from their surroundings.
type Environment struct {
	Getenv         func(string) string
	Stdout, Stderr io.Writer
	// Connect opens the way to the daemon; it is called once, and only by
	// commands that need it.
	Connect func(ctx context.Context) (Backend, error)
}

// timeout bounds a whole command: agents run them within their own time.
const timeout = 30 * time.Second

// Names lists the commands of this package.
func Names() []string { return drivers.HelperCommands() }

// Main runs the command of that name and returns its exit code.
func Main(name string, args []string, env Environment) int {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c := &command{ctx: ctx, name: name, env: env}
	if slices.Contains(args, "-$") || slices.Contains(args, "--version") {
		// Shell libraries read the number to find out what is there.
		fmt.Fprintf(env.Stdout, "Pacemaker %s\ngcrm serves the commands agents use\n", version)
		return exitOK
	}
	switch name {
	case "crm_attribute":
		return c.crmAttribute(args)
	case "crm_master":
		return c.crmMaster(args)
	case "crm_node":
		return c.crmNode(args)
	case "crm_resource":
		return c.crmResource(args)
	case "attrd_updater":
		return c.attrdUpdater(args)
	case "crm_mon":
		return c.crmMon(args)
	case "cibadmin":
		return c.cibAdmin(args)
	case "stonith_admin":
		return c.stonithAdmin(args)
	case "pacemakerd":
		return c.fail(exitUsage, "only --version is served: gcrm is not Pacemaker")
	}
	return c.fail(exitUsage, "unknown command")
}

// version is the Pacemaker release whose commands these are like.
const version = "2.1.5"

type command struct {
	ctx  context.Context
	name string
	env  Environment
	back Backend
}

func (c *command) fail(code int, format string, args ...any) int {
	fmt.Fprintf(c.env.Stderr, "%s: %s\n", c.name, fmt.Sprintf(format, args...))
	return code
}

// backend connects on first use.
func (c *command) backend() (Backend, error) {
	if c.back != nil {
		return c.back, nil
	}
	var err error
	c.back, err = c.env.Connect(c.ctx)
	return c.back, err
}

// failed maps an error of the backend to an exit code.
func (c *command) failed(err error) int {
	switch {
	case c.back == nil:
		return c.fail(exitDisconnected, "the daemon of this node does not answer: %v", err)
	case errors.Is(err, ErrNoNode):
		return c.fail(exitNoHost, "%v", err)
	case errors.Is(err, ErrNoResource):
		return c.fail(exitNoSuch, "%v", err)
	}
	return c.fail(exitError, "%v", err)
}

// localName is the name of this node: agents are told by their environment,
// which saves asking.
func (c *command) localName() (string, error) {
	for _, name := range []string{"OCF_RESKEY_CRM_meta_on_node", drivers.EnvNode} {
		if v := c.env.Getenv(name); v != "" {
			return v, nil
		}
	}
	b, err := c.backend()
	if err != nil {
		return "", err
	}
	n, err := b.LocalNode(c.ctx)
	return n.Name, err
}

// node resolves the node an attribute belongs to; "localhost" and nothing
// mean this one.
func (c *command) node(name string) (string, error) {
	switch name {
	case "", "localhost":
		return c.localName()
	case "auto":
		if c.env.Getenv("OCF_RESKEY_CRM_meta_container_attribute_target") == "host" {
			if host := c.env.Getenv("OCF_RESKEY_CRM_meta_physical_host"); host != "" {
				return host, nil
			}
		}
		return c.localName()
	}
	return name, nil
}

// apply sets or removes an attribute and exits accordingly.
func (c *command) apply(a Attribute, value *string, delay time.Duration) int {
	b, err := c.backend()
	if err == nil {
		err = b.SetAttribute(c.ctx, a, value, delay)
	}
	if err != nil {
		return c.failed(err)
	}
	return exitOK
}

// promotionAttribute is the name of the attribute with the promotion score of
// a resource; instances of anonymous clones share it.
func promotionAttribute(resource string) string { return "master-" + strings.TrimSpace(resource) }

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// breakage is a build of the daemon in which one of its safeguards is missing.
// The simulation has to notice each of them.
type breakage struct {
	name    string
	changes []change // in files of this repository
	faults  string   // that bring it to light sooner; any if empty
}

const isolationFile, membershipFile, nodeFile = "cluster/node/isolation.go", "cluster/node/membership.go", "cluster/node/node.go"

// breakages are the safeguards that are tried; those that concern disks,
// devices, agents and plans are in cluster/simtest/whole.
func breakages() []breakage {
	return []breakage{
		{"a minority of three goes on alone", []change{
			{isolationFile, "err != nil || len(voters) != 2 ||", "err != nil || len(voters) < 2 ||"},
			{isolationFile, "	if !cons.Indispensable(peer) {\n", "	if false {\n"},
			{isolationFile, "n.closing.Load() || !cons.Indispensable(peer) {", "n.closing.Load() {"},
		}, "network splits;one is cut off"},
		{"one of two goes on alone without having fenced the other", []change{
			{isolationFile, "	case left:\n", "	case true:\n"}}, ""},
		{"the cluster recovers what a lost node ran without having fenced it", []change{
			{"cluster/node/rpc.go", "	proof, err := n.cfg.Fencer.Fence(ctx, req)\n", "	proof, err := \"nobody looked\", error(nil)\n"}}, ""},
		{"a node that was never a member since it started fences others", []change{
			{isolationFile, "n.quorate() || !admitted {", "n.quorate() || !admitted && n.closing.Load() {"}}, "one is cut off over several boots;power failure of all"},
		{"an old proof of fencing counts after the others were back", []change{
			{isolationFile, "n.incarnationOf(peer); now > incarnation {", "n.incarnationOf(peer); now > incarnation && now == 0 {"},
			{isolationFile, "n.incarnationOf(peer), n.keepOut(peer)\n", "n.incarnationOf(peer), func() {}\n"},
			{"cluster/consensus/force.go", "lead.Self || c.LastIndex() != since {", "lead.Self {"}}, "two meet before the switch answers;link flaps"},
		{"an incarnation that the cluster went on without comes back", []change{
			{membershipFile, "		case s.up && s.incarnation > m.Expelled && (m.State", "		case s.up && (m.State"},
			{nodeFile, "&& h.Incarnation <= m.Expelled {", "&& h.Incarnation == 0 && m.Expelled == 0 {"},
			{"cluster/node/govern.go", "	case m.Expelled >= n.incarnation && m.State != consensus.Left:\n", "	case false:\n"}}, "host hangs;one is cut off;link flaps"},
		{"who does not lead any more goes on acting", []change{
			{"cluster/node/govern.go", "		if !lead.Self || lead.Term != term {\n			n.rule(0)", "		if false {\n			n.rule(0)"},
			{"cluster/executor/core.go", "	if d.Token.Less(c.floor) {\n		return nil", "	if false {\n		return nil"},
			{"cluster/consensus/apply.go", "lead, _ := c.Leadership(); !lead.Self || lead.Term != term {", "lead, _ := c.Leadership(); !lead.Self {"}}, "overtaken while an order is on its way"},
		{"what a node leaves running when it leaves is forgotten", []change{
			{membershipFile, "len(operation.Active(doc, m.ID)) == 0", "true"}}, "leaves what it runs behind;leaves;maintenance mode"},
		{"who leaves while it is not known what it runs is taken for idle", []change{
			{membershipFile, "	all := append(unprobed(doc, m), operation.UnderWay(doc, m.ID)...)\n", "	var all []string\n"}}, "leaves what it runs behind;daemon killed;agents are slow"},
	}
}

// seeds is how many worlds a breakage may survive.
const seeds = 60

var (
	caught    = regexp.MustCompile(`seed (\d+): \[(.*)`)
	schedules = regexp.MustCompile(`(?m)^ +(\d+) schedules, `) // that were run
)

// tryBreakages builds and runs those whose name contains the text, and prints
// what became of them.
func tryBreakages(dir, root string, replace map[string]string, text string, o options) error {
	var missed []string
	for i, b := range breakages() {
		if text != "all" && !strings.Contains(b.name, text) {
			continue
		}
		overlay, err := b.overlay(filepath.Join(dir, fmt.Sprintf("broken%d", i)), root, replace)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		o := o
		o.seed, o.first, o.worlds, o.hours, o.patience, o.faults, o.total = 0, 1, seeds, 0, 1, b.faults, totalFile()
		var out bytes.Buffer
		binary, err := build(dir, overlay)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		lives(binary, o, &out) // who is bad is what is looked for
		os.Remove(binary)
		m, run := caught.FindStringSubmatch(out.String()), schedules.FindAllStringSubmatch(out.String(), -1)
		if len(run) == 0 {
			return fmt.Errorf("%s: %s", b.name, out.String())
		}
		count := run[len(run)-1][1]
		if m == nil {
			missed = append(missed, b.name)
			fmt.Printf("MISSED  in %s schedules: %s\n", count, b.name)
			continue
		}
		fmt.Printf("caught  after %s schedules, in world %s: %s\n            %.300s\n", count, m[1], b.name, m[2])
	}
	if len(missed) > 0 {
		return errors.New("not noticed: " + strings.Join(missed, "; "))
	}
	return nil
}

// overlay writes the changed files of a breakage, besides those of the runtime.
func (b breakage) overlay(dir, root string, replace map[string]string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	var changes []change
	for _, c := range b.changes {
		c.file = filepath.Join(root, c.file)
		changes = append(changes, c)
	}
	return writeOverlay(dir, changes, replace)
}

package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// runSecret is resource secret: parameters whose values the nodes keep.
func runSecret(ctx context.Context, s *Session, c *call) error {
	id, action, name := c.arg(0), strings.ToLower(c.arg(1)), c.arg(2)
	keeper, ok := s.cluster.(client.SecretKeeper)
	if !ok {
		return problemf("%s: only the nodes of a running cluster keep secret values", c.path)
	}
	if len(c.words) > 3 && action != "set" {
		return problemf("%s: %s takes no value", c.path, action)
	}
	if s.changed() {
		return problemf("%s: there are staged changes, and this takes effect at once", c.path).hinting("commit them, or drop them with refresh, first")
	}
	doc, err := s.current(ctx)
	if err != nil {
		return err
	}
	t, ok := findResource(doc, id)
	if !ok {
		return noResource(doc, id, c.at(0))
	}
	if t.element.Name != "primitive" {
		return problemf("%s is a %s; its members have parameters, it has none", id, t.element.Name).at(c.at(0)).
			hinting("name one of %s", strings.Join(primitivesBelow(t.element), ", "))
	}
	value, set := pairValue(t.element, "instance_attributes", name)
	k := secretCall{s, c, keeper, id, name}
	isSecret := set && value == cib.SecretMarker
	switch action {
	case "set":
		return k.set(ctx, value, set, isSecret)
	case "stash":
		if isSecret {
			return problemf("%s of %s is secret already", name, id).at(c.at(2))
		}
		if !set {
			return problemf("%s has no parameter %s", id, name).at(c.at(2)).hinting("resource secret %s set %s gives it one", id, name)
		}
		if err := k.store(ctx, value); err != nil {
			return err
		}
		if err := k.configure(ctx, cib.SecretMarker); err != nil {
			return err
		}
		s.msg.info("former versions of the configuration (cib history) still hold the value; change it if others may have seen it")
		return nil
	}
	if !isSecret && action != "delete" {
		return problemf("%s of %s is not secret", name, id).at(c.at(2)).hinting("resource secret %s stash %s makes it so", id, name)
	}
	if action == "delete" {
		if !set {
			return problemf("%s has no parameter %s", id, name).at(c.at(2))
		}
		if err := k.unset(ctx); err != nil {
			return err
		}
		return k.remove(ctx)
	}
	a, err := keeper.Secret(ctx, id, name)
	if err != nil {
		return err
	}
	if action == "check" {
		return k.check(a)
	}
	if a.Value == nil {
		return problemf("no node has the value of %s of %s", name, id).hinting("give it again: resource secret %s set %s", id, name)
	}
	if action == "show" {
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]string{"resource": id, "name": name, "value": *a.Value})
		}
		s.printf("%s\n", *a.Value)
		return nil
	}
	// unstash: the configuration has the value before the nodes forget it.
	if err := k.configure(ctx, *a.Value); err != nil {
		return err
	}
	return k.remove(ctx)
}

// secretCall is one invocation, about one parameter.
type secretCall struct {
	s             *Session
	c             *call
	keeper        client.SecretKeeper
	id, parameter string
}

func primitivesBelow(e *cib.Element) []string {
	var ids []string
	e.Walk(func(m *cib.Element) bool {
		if m.Name == "primitive" {
			ids = append(ids, m.ID())
		}
		return true
	})
	return ids
}

// set stores a value that is given, asked for, or read from the input.
func (k secretCall) set(ctx context.Context, old string, had, wasSecret bool) error {
	value := k.c.arg(3)
	if len(k.c.words) < 4 {
		var err error
		if value, err = k.s.readSecret(fmt.Sprintf("value of %s of %s: ", k.parameter, k.id)); err != nil {
			return problemf("%s: %v", k.c.path, err).hinting("type the value when asked, or give it on the standard input")
		}
	} else if k.c.src.fromArguments {
		k.s.msg.warning("other users of this host can see the arguments of a command (ps); leave the value out to be asked for it")
	}
	if value == cib.SecretMarker || value == "" {
		return problemf("%s: %q cannot be a secret value", k.c.path, value)
	}
	if had && !wasSecret && old != value && !k.s.confirm(fmt.Sprintf("%s of %s has another value in the configuration; replace it", k.parameter, k.id)) {
		return problemf("%s of %s has another value in the configuration", k.parameter, k.id).
			hinting("resource secret %s stash %s keeps that one, --force replaces it", k.id, k.parameter)
	}
	if err := k.store(ctx, value); err != nil {
		return err
	}
	if wasSecret {
		k.s.msg.info("what runs goes on with the former value until it is started again: resource restart %s", k.id)
		return nil
	}
	return k.configure(ctx, cib.SecretMarker)
}

// store gives a value to all nodes.
func (k secretCall) store(ctx context.Context, value string) error {
	a, err := k.keeper.SetSecret(ctx, client.SecretRequest{Resource: k.id, Parameter: k.parameter, Value: &value})
	if err != nil {
		return err
	}
	k.tell(a)
	return nil
}

// remove makes all nodes forget it.
func (k secretCall) remove(ctx context.Context) error {
	a, err := k.keeper.SetSecret(ctx, client.SecretRequest{Resource: k.id, Parameter: k.parameter})
	if err != nil {
		return err
	}
	k.tell(a)
	return nil
}

// tell warns of nodes that did not take the change.
func (k secretCall) tell(a *client.SecretAnswer) {
	for _, n := range a.Nodes {
		switch n.State {
		case client.SecretAway:
			k.s.msg.info("node %s cannot be reached; it is told when it is back", n.Node)
		case client.SecretFailed:
			k.s.msg.warning("node %s did not take it: %s; try again", n.Node, n.Text)
		}
	}
}

func (k secretCall) configure(ctx context.Context, value string) error {
	return k.s.change(ctx, k.c, func(work *cib.CIB) error {
		t, ok := findResource(work, k.id)
		if !ok {
			return noResource(work, k.id, k.c.at(0))
		}
		setPair(work, t.element, "instance_attributes", k.id, k.parameter, value)
		return nil
	})
}

func (k secretCall) unset(ctx context.Context) error {
	return k.s.change(ctx, k.c, func(work *cib.CIB) error {
		if t, ok := findResource(work, k.id); ok {
			deletePair(t.element, "instance_attributes", k.parameter)
		}
		return nil
	})
}

// check tells which nodes have the value; it fails unless all do.
func (k secretCall) check(a *client.SecretAnswer) error {
	t := newTable("Node", "Value", "Note")
	bad := false
	for _, n := range a.Nodes {
		t.row(n.Node, n.State, n.Text)
		bad = bad || n.State != client.SecretHeld
	}
	if err := k.s.writeTable(t); err != nil || !bad {
		return err
	}
	if !slices.ContainsFunc(a.Nodes, func(n client.SecretNode) bool { return n.State != client.SecretHeld && n.State != client.SecretAway }) {
		return problemf("not all nodes can be asked for %s of %s", k.parameter, k.id)
	}
	return problemf("not all nodes have the same value of %s of %s", k.parameter, k.id).
		hinting("give it again: resource secret %s set %s", k.id, k.parameter)
}

// readSecret asks for a value without showing it, or reads a line of the input.
func (s *Session) readSecret(prompt string) (string, error) {
	if s.cfg.Interactive && s.cfg.AskHidden != nil {
		return s.cfg.AskHidden(prompt)
	}
	if f, ok := s.cfg.In.(*os.File); ok && fileIsTerminal(f) {
		fmt.Fprint(s.msg.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.msg.err)
		return string(b), err
	}
	if s.cfg.In == nil {
		return "", errors.New("there is no value")
	}
	line, err := bufio.NewReader(s.cfg.In).ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	} else if errors.Is(err, io.EOF) {
		err = errors.New("there is no value")
	}
	return strings.TrimRight(line, "\r\n"), err
}

// secretCommand matches a command that has a secret value in it.
var secretCommand = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)(\bsecret\s+\S+\s+\S+\s+\S+\s+)\S.*`) })

// withoutSecret is a line as it may be shown in a message.
func withoutSecret(line string) string {
	if !strings.Contains(strings.ToLower(line), "secret") {
		return line
	}
	return secretCommand().ReplaceAllString(line, "${1}******")
}

package corosync

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Plan is what a gcrm cluster takes over from a corosync.conf.
type Plan struct {
	Cluster string
	Nodes   []Node
	// Detection is how long a crash may go unnoticed: as long as the token
	// may be away.
	Detection time.Duration
	// Notes say what is not taken over, or is done in another way.
	Notes []string
}

// Node is one node of the file.
type Node struct {
	// Name is empty where the file does not tell: in the old form.
	Name, ID string
	// Addresses are one for each network (ring).
	Addresses []string
}

// Limits of the detection time that a cluster can have.
const (
	leastDetection = 200 * time.Millisecond
	mostDetection  = time.Minute
)

// Defaults of corosync: of the token in versions 3 and before, and what every
// node beyond the second adds.
const (
	tokenNow         = 3000
	tokenBefore      = 1000
	tokenCoefficient = 650
)

// Read makes a plan of the text of a file.
func Read(text string) (*Plan, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	r := &reader{plan: p}
	var totem, quorum *section
	for _, k := range root.keys {
		r.note("line %d: %s stands outside of all sections and is left out", k.line, k.name)
	}
	for _, s := range root.sections {
		switch s.name {
		case "totem":
			totem = s
		case "quorum":
			quorum = s
		case "nodelist":
			r.nodelist(s)
		case "logging", "uidgid", "aisexec", "amf", "event":
			r.note("section %s (line %d) is not needed: gcrm logs to the journal, and its daemon has an API of its own", s.name, s.line)
		case "service":
			r.note("section service (line %d): %s is part of gcrm", s.line, cmp.Or(s.get("name"), "the resource manager"))
		case "system", "resources", "nozzle":
			r.note("section %s (line %d) has no counterpart", s.name, s.line)
		default:
			r.note("section %s (line %d) is unknown and is left out", s.name, s.line)
		}
	}
	if totem == nil {
		return nil, errors.New("the file has no section totem: it is no corosync.conf")
	}
	r.totem(totem)
	if len(p.Nodes) == 0 {
		return nil, errors.New("the file names no nodes: there is neither a nodelist nor a member (it uses multicast); make the cluster with 'gcrm cluster init', and have the other hosts join")
	}
	if quorum != nil {
		r.quorum(quorum)
	}
	r.token(totem)
	networks := len(p.Nodes[0].Addresses)
	for _, n := range p.Nodes {
		if len(n.Addresses) != networks {
			r.note("node %s has %d addresses, others have %d: only the first ones count", cmp.Or(n.Name, n.Addresses[0]), len(n.Addresses), networks)
		}
	}
	return p, nil
}

type reader struct{ plan *Plan }

func (r *reader) note(format string, args ...any) {
	r.plan.Notes = append(r.plan.Notes, fmt.Sprintf(format, args...))
}

func (r *reader) nodelist(s *section) {
	for _, n := range s.sections {
		if n.name != "node" {
			r.note("section %s (line %d) in nodelist is unknown and is left out", n.name, n.line)
			continue
		}
		node := Node{ID: n.get("nodeid")}
		rings := map[int]string{}
		for _, k := range n.keys {
			switch {
			case strings.HasPrefix(k.name, "ring") && strings.HasSuffix(k.name, "_addr"):
				i, err := strconv.Atoi(k.name[4 : len(k.name)-5])
				if err != nil || i < 0 || i > 7 {
					r.note("line %d: %s is no ring that corosync has", k.line, k.name)
					continue
				}
				rings[i] = k.value
			case k.name == "name":
				node.Name = k.value
			case k.name == "nodeid":
			case k.name == "quorum_votes":
				if k.value != "1" {
					r.note("line %d: node %s has %s votes; in gcrm every node has one, and 'gcrm cluster witness' adds one on any machine", k.line, cmp.Or(n.get("name"), n.get("ring0_addr")), k.value)
				}
			default:
				r.note("line %d: %s of a node is unknown and is left out", k.line, k.name)
			}
		}
		for i := range 8 {
			if a := rings[i]; a != "" {
				node.Addresses = append(node.Addresses, a)
			}
		}
		if len(node.Addresses) == 0 {
			r.note("the node in line %d has no address and is left out", n.line)
			continue
		}
		// A name that is no address is a name.
		if node.Name == "" && strings.ContainsFunc(node.Addresses[0], func(c rune) bool { return c > '9' && c != ':' }) && !strings.Contains(node.Addresses[0], ":") {
			node.Name, _, _ = strings.Cut(node.Addresses[0], ".")
		}
		r.plan.Nodes = append(r.plan.Nodes, node)
	}
}

func (r *reader) totem(s *section) {
	r.plan.Cluster = s.get("cluster_name")
	var members [][]string // by ring
	for _, sub := range s.sections {
		switch sub.name {
		case "interface":
			ring, err := strconv.Atoi(cmp.Or(sub.get("ringnumber"), sub.get("linknumber"), "0"))
			if err != nil || ring < 0 || ring > 7 {
				r.note("the interface in line %d has no usable number", sub.line)
				continue
			}
			for len(members) <= ring {
				members = append(members, nil)
			}
			for _, m := range sub.named("member") {
				if a := m.get("memberaddr"); a != "" {
					members[ring] = append(members[ring], a)
				}
			}
			for _, k := range sub.keys {
				switch k.name {
				case "ringnumber", "linknumber":
				case "bindnetaddr", "mcastaddr", "broadcast", "ttl":
					r.note("line %d: %s is not needed: nodes know each other's addresses", k.line, k.name)
				case "mcastport":
					r.note("line %d: gcrm has a port of its own, 7488 for TCP and UDP; choose another with --address ADDR:PORT", k.line)
				default:
					r.note("line %d: %s of an interface has no counterpart: all networks are used at once", k.line, k.name)
				}
			}
		default:
			r.note("section %s (line %d) in totem is unknown and is left out", sub.name, sub.line)
		}
	}
	for _, k := range s.keys {
		switch k.name {
		case "version", "cluster_name", "token", "token_coefficient":
		case "secauth", "crypto_cipher", "crypto_hash", "crypto_model", "crypto_type", "keyfile", "key":
			r.note("line %d: %s is not needed: gcrm always encrypts, with certificates of its own", k.line, k.name)
		case "transport":
			if k.value == "udp" {
				r.note("line %d: multicast is not used", k.line)
			}
		case "rrp_mode", "link_mode":
			r.note("line %d: %s is not needed: all networks are watched, and connections move to one that works", k.line, k.name)
		default:
			r.note("line %d: %s is derived from the detection time in gcrm", k.line, k.name)
		}
	}
	if len(r.plan.Nodes) > 0 || len(members) == 0 {
		return
	}
	for i, a := range members[0] {
		n := Node{Addresses: []string{a}}
		for _, ring := range members[1:] {
			if i < len(ring) {
				n.Addresses = append(n.Addresses, ring[i])
			}
		}
		r.plan.Nodes = append(r.plan.Nodes, n)
	}
}

func (r *reader) quorum(s *section) {
	for _, sub := range s.sections {
		if sub.name == "device" {
			host := ""
			for _, m := range sub.sections {
				host = cmp.Or(host, m.get("host"))
			}
			r.note("section device (line %d): in place of a quorum device, 'gcrm cluster witness' makes any machine a voter%s", sub.line, map[bool]string{true: ", for example " + host}[host != ""])
			continue
		}
		r.note("section %s (line %d) in quorum is unknown and is left out", sub.name, sub.line)
	}
	for _, k := range s.keys {
		switch k.name {
		case "provider", "expected_votes":
		case "two_node":
			if k.value == "1" {
				r.note("line %d: two_node: with two nodes, the survivor fences the other and goes on; without a fence device nobody does", k.line)
			}
		case "wait_for_all", "last_man_standing", "last_man_standing_window", "allow_downscale":
			r.note("line %d: %s is always so: a node waits at its start until it is part of a quorum, and fenced nodes lose their vote", k.line, k.name)
		case "auto_tie_breaker", "auto_tie_breaker_node":
			if k.value != "0" {
				r.note("line %d: %s has no counterpart: half of the votes is no quorum; add a witness", k.line, k.name)
			}
		default:
			r.note("line %d: %s is unknown and is left out", k.line, k.name)
		}
	}
}

// token computes how long corosync waits for the token, and takes that for the
// detection time.
func (r *reader) token(totem *section) {
	number := func(name string, or int) int {
		text := totem.get(name)
		if text == "" {
			return or
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			r.note("%s: %q is no number of milliseconds; %d is taken", name, text, or)
			return or
		}
		return n
	}
	def := tokenNow
	if t := totem.get("transport"); t == "udp" || t == "udpu" || slices.ContainsFunc(totem.named("interface"), func(s *section) bool { return s.get("bindnetaddr") != "" }) {
		def = tokenBefore
	}
	token := number("token", def)
	if c := number("token_coefficient", tokenCoefficient); len(r.plan.Nodes) > 2 {
		token += c * (len(r.plan.Nodes) - 2)
	}
	d := time.Duration(token) * time.Millisecond
	r.plan.Detection = min(max(d, leastDetection), mostDetection)
	if r.plan.Detection != d {
		r.note("a token of %v is taken for a detection time of %v", d, r.plan.Detection)
	}
}

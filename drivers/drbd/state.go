package drbd

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// state is one DRBD resource as the kernel sees it.
type state struct {
	// exists is false if the kernel has no such resource.
	exists  bool
	role    string // Primary, Secondary
	volumes []volume
	peers   []peer
}

// volume is one volume of the resource on this node.
type volume struct {
	number, minor int
	disk          string // UpToDate, Inconsistent, Diskless, ...
	client        bool   // without disk by intention
	quorum        bool
}

// peer is a connection, with what is known of the disks at its other end.
type peer struct {
	id, name   string
	connection string            // Connected, Connecting, StandAlone, ...
	role       string            // Primary, Secondary, Unknown
	disks      map[string]string // by volume number
	clients    map[string]bool   // volumes without disk by intention
}

// parseEvents reads the output of "drbdsetup events2 --now RESOURCE", which is
// the same for the modules of version 8.4 and 9. Output that does not come to
// its end mark is an error: nothing can be concluded from half a state.
func parseEvents(text, resource string) (state, error) {
	var s state
	ended := false
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 2 || w[0] != "exists" {
			continue
		}
		if w[1] == "-" {
			ended = true
			break
		}
		f := fields(w[2:])
		if f["name"] != resource {
			continue
		}
		switch w[1] {
		case "resource":
			s.exists, s.role = true, f["role"]
		case "device":
			v := volume{disk: f["disk"], client: f["client"] == "yes", quorum: f["quorum"] != "no"}
			var err1, err2 error
			v.number, err1 = strconv.Atoi(f["volume"])
			v.minor, err2 = strconv.Atoi(f["minor"])
			if err := cmp.Or(err1, err2); err != nil || v.disk == "" {
				return state{}, fmt.Errorf("drbdsetup events2: cannot read %q", strings.TrimSpace(line))
			}
			s.volumes = append(s.volumes, v)
		case "connection":
			p := s.peer(f)
			p.connection, p.role = f["connection"], f["role"]
		case "peer-device":
			p := s.peer(f)
			p.disks[f["volume"]] = f["peer-disk"]
			p.clients[f["volume"]] = f["peer-client"] == "yes"
		}
	}
	if !ended {
		return state{}, fmt.Errorf("drbdsetup events2: the state of resource %s is cut off, its last line is not \"exists -\"", resource)
	}
	if s.exists && s.role == "" {
		return state{}, fmt.Errorf("drbdsetup events2: no role of resource %s", resource)
	}
	return s, nil
}

func fields(words []string) map[string]string {
	f := map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, ":"); ok {
			f[k] = v
		}
	}
	return f
}

// peer returns the entry of the peer a line is about, made if it is new.
func (s *state) peer(f map[string]string) *peer {
	for i := range s.peers {
		if s.peers[i].id == f["peer-node-id"] && s.peers[i].name == f["conn-name"] {
			return &s.peers[i]
		}
	}
	s.peers = append(s.peers, peer{id: f["peer-node-id"], name: f["conn-name"], disks: map[string]string{}, clients: map[string]bool{}})
	return &s.peers[len(s.peers)-1]
}

// configured tells whether there is something to run. A resource without
// volumes, or with neither disk nor peer, serves nobody: that is what is left
// of a start that did not come to its end.
func (s state) configured() bool {
	if !s.exists || len(s.volumes) == 0 {
		return false
	}
	return s.primary() || len(s.peers) > 0 || s.diskless() || !s.everyDisk("Diskless")
}

func (s state) primary() bool { return s.role == "Primary" }

func (s state) connected() bool {
	for _, p := range s.peers {
		if p.connection != "Connected" {
			return false
		}
	}
	return len(s.peers) > 0
}

func (s state) peerPrimary() bool {
	for _, p := range s.peers {
		if p.role == "Primary" {
			return true
		}
	}
	return false
}

// everyDisk tells whether all local disks are in one of some states.
func (s state) everyDisk(states ...string) bool {
	for _, v := range s.volumes {
		found := false
		for _, x := range states {
			found = found || v.disk == x
		}
		if !found {
			return false
		}
	}
	return true
}

func (s state) anyDisk(states ...string) bool {
	for _, v := range s.volumes {
		for _, x := range states {
			if v.disk == x {
				return true
			}
		}
	}
	return false
}

// diskless tells whether the node uses the data of others by intention.
func (s state) diskless() bool {
	for _, v := range s.volumes {
		if v.disk != "Diskless" || !v.client {
			return false
		}
	}
	return true
}

func (s state) quorate() bool {
	for _, v := range s.volumes {
		if !v.quorum {
			return false
		}
	}
	return true
}

// peerDisksUnknown tells whether the state of any peer's disk is not known.
// Without any connection nothing is known of anybody.
func (s state) peerDisksUnknown() bool {
	for _, p := range s.peers {
		for _, v := range s.volumes {
			n := strconv.Itoa(v.number)
			if d := p.disks[n]; !p.clients[n] && (d == "" || d == "DUnknown") {
				return true
			}
		}
	}
	return len(s.peers) == 0
}

// upToDatePeers counts the peers that have all volumes up to date, and those
// that are to have data at all.
func (s state) upToDatePeers() (good, of int) {
	for _, p := range s.peers {
		upToDate, clients := 0, 0
		for _, v := range s.volumes {
			n := strconv.Itoa(v.number)
			switch {
			case p.clients[n]:
				clients++
			case p.disks[n] == "UpToDate":
				upToDate++
			}
		}
		if clients == len(s.volumes) {
			continue
		}
		of++
		if upToDate == len(s.volumes) {
			good++
		}
	}
	return good, of
}

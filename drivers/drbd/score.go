package drbd

import (
	"fmt"
	"strconv"
	"strings"
)

// scores are the four values of adjust_master_score, ascending.
type scores struct {
	onlyConsistent int // the local data is consistent, nothing is known of newer
	onlyRemote     int // the data is good at a peer alone
	localOK        int // the local data is good, a peer's is not known
	best           int
}

func parseScores(text string) (scores, error) {
	words := strings.Fields(text)
	if len(words) != 4 {
		return scores{}, fmt.Errorf("parameter adjust_master_score: %q are not four numbers such as \"0 10 1000 10000\"", text)
	}
	var n [4]int
	for i, w := range words {
		v, err := strconv.Atoi(w)
		if err != nil || v < 0 {
			return scores{}, fmt.Errorf("parameter adjust_master_score: %q is not a whole number from 0", w)
		}
		if i > 0 && v < n[i-1] {
			return scores{}, fmt.Errorf("parameter adjust_master_score: %d comes after %d, the values must ascend", v, n[i-1])
		}
		n[i] = v
	}
	return scores{n[0], n[1], n[2], n[3]}, nil
}

// verdict is what a state says about promotion: a score to set, where 0
// withdraws it; or, with keep, nothing for the moment.
type verdict struct {
	score int
	keep  bool
}

// judge finds how fit the node is to become Primary. Scores are never
// negative: a negative one would stop the instance, whose start would set it
// again. yield withdraws the score while a healthy peer is Primary.
func judge(s state, n scores, yield bool) verdict {
	good, of := s.upToDatePeers()
	everyPeer := of > 0 && good == of && !s.peerDisksUnknown()
	switch {
	case !s.configured() || !s.quorate():
		return verdict{}
	case yield && !s.primary() && s.peerPrimary() && good > 0:
		return verdict{}
	case s.diskless():
		switch {
		case everyPeer || s.primary() && good > 0:
			return verdict{score: max(n.best-1, 0)}
		case good > 0:
			return verdict{score: max(n.localOK-1, 0)}
		}
		return verdict{}
	case s.everyDisk("UpToDate"):
		if s.primary() || !s.peerDisksUnknown() {
			return verdict{score: n.best}
		}
		return verdict{score: n.localOK}
	case good > 0:
		return verdict{score: n.onlyRemote}
	case s.anyDisk("Attaching", "Negotiating"):
		return verdict{keep: true}
	case s.everyDisk("UpToDate", "Consistent"):
		return verdict{score: n.onlyConsistent}
	}
	return verdict{}
}

// version is one of the kernel module, such as 8.4.11.
type version [3]int

// parseVersion reads x.y.z; anything after it is passed over.
func parseVersion(s string) (version, bool) {
	var v version
	parts := strings.SplitN(strings.TrimSpace(s), ".", 3)
	if len(parts) != 3 {
		return v, false
	}
	for i, p := range parts {
		if end := strings.IndexFunc(p, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 && i == 2 {
			p = p[:end]
		}
		n, err := strconv.Atoi(p)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) less(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}

// loadedVersion reads the version from the text of /proc/drbd.
func loadedVersion(proc string) (version, bool) {
	for line := range strings.Lines(proc) {
		if rest, ok := strings.CutPrefix(line, "version:"); ok {
			return parseVersion(rest)
		}
	}
	return version{}, false
}

// twoPrimaries tells whether a dumped configuration allows them.
func twoPrimaries(dump string) bool {
	for line := range strings.Lines(dump) {
		w := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";"))
		if len(w) > 0 && w[0] == "allow-two-primaries" {
			return len(w) == 1 || w[1] == "yes"
		}
	}
	return false
}

package mysql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// gtid is a position: the last transaction of every domain.
type gtid map[uint32]uint64

// parseGTID reads a list of DOMAIN-SERVER-SEQUENCE; of several for one domain
// the highest counts.
func parseGTID(s string) (gtid, error) {
	g := gtid{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		f := strings.Split(part, "-")
		if len(f) != 3 {
			return nil, fmt.Errorf("%q is not a global transaction id", part)
		}
		domain, err1 := strconv.ParseUint(f[0], 10, 32)
		seq, err2 := strconv.ParseUint(f[2], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%q is not a global transaction id", part)
		}
		g[uint32(domain)] = max(g[uint32(domain)], seq)
	}
	return g, nil
}

// String writes the position; never empty.
func (g gtid) String() string {
	var out []string
	for d, n := range g {
		out = append(out, fmt.Sprintf("%d-0-%d", d, n))
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "0-0-0"
	}
	return strings.Join(out, ",")
}

func (g gtid) covers(h gtid) bool {
	for d, n := range h {
		if g[d] < n {
			return false
		}
	}
	return true
}

// compareGTID orders two positions; those of which each has something the
// other lacks have no order.
func compareGTID(a, b string) (int, bool) {
	x, err1 := parseGTID(a)
	y, err2 := parseGTID(b)
	if err1 != nil || err2 != nil {
		return 0, false
	}
	switch over, under := x.covers(y), y.covers(x); {
	case over && under:
		return 0, true
	case over:
		return 1, true
	case under:
		return -1, true
	}
	return 0, false
}

package scheduler

import (
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strings"

	"gcrm/cib"
)

// Operation digests. A digest says with which parameters an operation was
// executed; the history carries it so that changes are noticed.

type digestResult uint8

const (
	digestMatch digestResult = iota
	digestRestart
	digestMismatch
	digestUnknown
)

type opDigests struct {
	params  table
	all     string
	restart string // of what is not reloadable; empty if the first entry compared had none
	hasOpIA bool
}

// Digest returns the op-digest of parameters: the MD5 sum, in hexadecimal, of
// the parameters as an XML element with sorted attributes.
//
// What does not belong into a digest is left out: CRM_meta_* values except
// CRM_meta_timeout of a recurring operation (one with CRM_meta_interval), and
// bookkeeping attributes.
func Digest(params []cib.Attr) string { return digestOf(filterDigest(params)) }

// RestartDigest returns the op-restart-digest: the digest of those parameters
// alone whose change needs a restart. names are their names.
func RestartDigest(params []cib.Attr, names []string) string {
	var t table
	for _, a := range filterDigest(params) {
		if slices.Contains(names, a.Name) {
			t = append(t, a)
		}
	}
	return digestOf(t)
}

// SecureDigest returns the op-secure-digest: the digest without the
// parameters named private.
func SecureDigest(params []cib.Attr, private []string) string {
	var t table
	for _, a := range filterDigest(params) {
		if !slices.Contains(private, a.Name) {
			t = append(t, a)
		}
	}
	return digestOf(t)
}

func filterDigest(params []cib.Attr) table {
	recurring := false
	for _, a := range params {
		if a.Name == "CRM_meta_interval" && a.Value != "0" && a.Value != "" {
			recurring = true
		}
	}
	t := make(table, 0, len(params))
	for _, a := range params {
		switch a.Name {
		case "id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip":
			continue
		case "CRM_meta_timeout":
			if recurring {
				t = append(t, a)
			}
			continue
		}
		if strings.HasPrefix(a.Name, "CRM_meta_") {
			continue
		}
		t = append(t, a)
	}
	return t
}

func digestOf(t table) string {
	t = slices.Clone(t)
	slices.SortFunc(t, func(a, b cib.Attr) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString(" <parameters")
	for _, a := range t {
		b.WriteByte(' ')
		b.WriteString(a.Name)
		b.WriteString(`="`)
		escapeAttr(&b, a.Value)
		b.WriteByte('"')
	}
	b.WriteString("/>\n")
	sum := md5.Sum([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

func escapeAttr(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '"':
			b.WriteString("&quot;")
		case '\n':
			b.WriteString("&#10;")
		case '\t':
			b.WriteString("&#9;")
		case '\r':
			b.WriteString("&#13;")
		default:
			b.WriteByte(c)
		}
	}
}

// digests computes the digest of an operation as it would be executed now.
// The first computation per node and key is kept.
func (e *engine) digests(r *resource, n *node, task string, interval int64, el *cib.Element) *opDigests {
	key := digestKey{r, opKey(r.id, task, interval)}
	if d := n.digestCache[key]; d != nil {
		return d
	}
	d := &opDigests{}
	op := e.opFor(r, task, interval)
	params := e.params(r, n)
	d.params = make(table, 0, len(params)+2)
	d.params = append(d.params, params...)
	if e.needsRemoteName(r) {
		d.params.set("addr", e.remoteName(r))
	}
	if op != nil {
		var extra table
		in := r.ruleInput()
		in.node = n
		in.opName, in.opInterval = task, interval
		e.unpackSets(op, "instance_attributes", &in, false, "", &extra)
		d.hasOpIA = len(extra) > 0
		for _, a := range extra {
			d.params.setNew(a.Name, a.Value)
		}
	}
	d.params = filterDigest(d.params)
	if interval > 0 {
		d.params.set("CRM_meta_timeout", e.opMeta(r, n, task, interval, op).val("timeout"))
	}
	if len(d.params) == 0 {
		d.all = emptyDigest
	} else if ts := d.params; len(ts) == 1 && ts[0].Name == "CRM_meta_timeout" && ts[0].Value == "20000" {
		d.all = defaultMonitorDigest
	} else {
		d.all = digestOf(d.params)
	}
	if el.Has("op-restart-digest") || e.expiredMonitors[el] {
		t := d.params
		if force, ok := el.Lookup("op-force-restart"); ok {
			names := strings.Fields(force)
			t = slices.DeleteFunc(slices.Clone(t), func(a cib.Attr) bool { return !slices.Contains(names, a.Name) })
		}
		d.restart = digestOf(t)
	}
	if n.digestCache == nil {
		n.digestCache = map[digestKey]*opDigests{}
	}
	n.digestCache[key] = d
	return d
}

// Digests of the two most frequent parameter lists: none, and a recurring
// monitor of no parameters with the default timeout.
const (
	emptyDigest          = "f2317cad3d54cec5d7d7aa7d0bf35cf8"
	defaultMonitorDigest = "4811cef7f7f94e3a35a70be7916cb2fd"
)

// compareDigests tells whether a history entry was executed with the present
// parameters.
func (e *engine) compareDigests(r *resource, n *node, el *cib.Element) digestResult {
	interval := parseIntervalMS(el.Get("interval"))
	d := e.digests(r, n, el.Get("operation"), interval, el)
	if rd, ok := el.Lookup("op-restart-digest"); d.restart != "" && (ok && d.restart != rd || e.expiredMonitors[el]) {
		return digestRestart
	}
	old, ok := el.Lookup("op-digest")
	switch {
	case !ok:
		return digestUnknown
	case old == d.all:
		return digestMatch
	case interval == 0 && d.hasOpIA:
		return digestRestart
	}
	return digestMismatch
}

// onlySecretsChanged reports that the parameters agree but for secret ones.
func (e *engine) onlySecretsChanged(r *resource, n *node, el *cib.Element) bool {
	old, ok := el.Lookup("op-secure-digest")
	if !ok {
		return false
	}
	secret := strings.Fields(el.Get("op-secure-params"))
	ancient := compareVersions(el.Get("crm_feature_set"), "3.16.0") < 0
	var t table
	interval := parseIntervalMS(el.Get("interval"))
	for _, a := range e.digests(r, n, el.Get("operation"), interval, el).params {
		if a.Name == "CRM_meta_timeout" || slices.Contains(secret, a.Name) || ancient && r.fenceDevice && strings.HasPrefix(a.Name, "pcmk_") {
			continue
		}
		t = append(t, a)
	}
	return digestOf(t) == old
}

// needsRemoteName reports a bundle connection whose address is the name of
// the node that runs the container.
func (e *engine) needsRemoteName(r *resource) bool {
	return r.isRemoteConn && r.replica != nil && r.replica.connection == r && e.params(r, nil).val("addr") == "#uname"
}

func (e *engine) remoteName(r *resource) string {
	c := r.replica.container
	n := c.assigned
	if n == nil {
		n = e.currentNode(c)
	}
	if n == nil {
		return "#uname"
	}
	return n.name
}

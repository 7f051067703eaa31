package operation

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
	"gcrm/scheduler"
)

// Traits are what an agent's meta-data says about its parameters, as far as
// the history needs it. The zero value is that of an agent without meta-data.
type Traits struct {
	// ReloadAgent is set if the agent has the reload-agent action; then
	// Reloadable are the parameters it can change while running.
	ReloadAgent bool
	Reloadable  []string
	// Parameters are all the agent's parameters, Private those whose values
	// are secrets.
	Parameters, Private []string
}

// digests are the attributes that let the scheduler see changed parameters.
func digests(j *Job, t Traits) []cib.Attr {
	all := digestible(j)
	attrs := []cib.Attr{}
	if j.Interval == 0 && t.ReloadAgent {
		names := slices.DeleteFunc(slices.Clone(t.Parameters), func(p string) bool { return slices.Contains(t.Reloadable, p) })
		if len(names) > 0 {
			attrs = append(attrs,
				cib.Attr{Name: "op-force-restart", Value: wordList(names)},
				cib.Attr{Name: "op-restart-digest", Value: scheduler.RestartDigest(all, names)})
		}
	}
	attrs = append(attrs, cib.Attr{Name: "op-digest", Value: scheduler.Digest(all)})
	if len(t.Private) > 0 {
		attrs = append(attrs,
			cib.Attr{Name: "op-secure-params", Value: wordList(t.Private)},
			cib.Attr{Name: "op-secure-digest", Value: scheduler.SecureDigest(j.Params, t.Private)})
	}
	return attrs
}

// wordList is a list as history entries have it, every word between blanks.
func wordList(words []string) string { return " " + strings.Join(words, " ") + " " }

// digestible are the parameters with what tells the digest's function that an
// operation recurs: then its timeout counts.
func digestible(j *Job) []cib.Attr {
	if j.Interval == 0 || j.MetaValue("timeout") == "" {
		return j.Params
	}
	return append(slices.Clip(j.Params),
		cib.Attr{Name: "CRM_meta_interval", Value: strconv.FormatInt(j.Interval.Milliseconds(), 10)},
		cib.Attr{Name: "CRM_meta_timeout", Value: j.MetaValue("timeout")})
}

package operation

import (
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strings"

	"gcrm/cib"
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
		var names []string
		for _, p := range t.Parameters {
			if !slices.Contains(t.Reloadable, p) {
				names = append(names, p)
			}
		}
		if len(names) > 0 {
			restart := slices.DeleteFunc(slices.Clone(all), func(a cib.Attr) bool { return !slices.Contains(names, a.Name) })
			attrs = append(attrs,
				cib.Attr{Name: "op-force-restart", Value: wordList(names)},
				cib.Attr{Name: "op-restart-digest", Value: digest(restart)})
		}
	}
	attrs = append(attrs, cib.Attr{Name: "op-digest", Value: digest(all)})
	if len(t.Private) > 0 {
		secure := slices.DeleteFunc(slices.Clone(all), func(a cib.Attr) bool {
			return slices.Contains(t.Private, a.Name) || strings.HasPrefix(a.Name, "CRM_meta_")
		})
		attrs = append(attrs,
			cib.Attr{Name: "op-secure-params", Value: wordList(t.Private)},
			cib.Attr{Name: "op-secure-digest", Value: digest(secure)})
	}
	return attrs
}

// wordList is a list as history entries have it, every word between blanks.
func wordList(words []string) string { return " " + strings.Join(words, " ") + " " }

// digestible are the parameters that count: those of the agent, and a
// recurring operation's timeout.
func digestible(j *Job) []cib.Attr {
	var attrs []cib.Attr
	for _, a := range j.Params {
		switch a.Name {
		case "id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip":
			continue
		}
		if !strings.HasPrefix(a.Name, "CRM_meta_") {
			attrs = append(attrs, a)
		}
	}
	if v := j.MetaValue("timeout"); v != "" && j.Interval > 0 {
		attrs = append(attrs, cib.Attr{Name: "CRM_meta_timeout", Value: v})
	}
	return attrs
}

func digest(params []cib.Attr) string {
	params = slices.Clone(params)
	slices.SortFunc(params, func(a, b cib.Attr) int { return strings.Compare(a.Name, b.Name) })
	e := cib.Element{Name: "parameters", Attrs: params}
	sum := md5.Sum([]byte(" " + e.String()))
	return hex.EncodeToString(sum[:])
}

package cib

import "strings"

// newVocabulary reports names of cluster properties that the older tools,
// Pacemaker up to 3.0.0 among them, do not know.
func newVocabulary(name string) bool {
	return strings.HasPrefix(name, "fencing-") || name == "stop-removed-resources" || name == "cancel-removed-actions"
}

// PropertyName returns the spelling of a cluster property that fits the
// document: the one in use; else that of the vocabulary of its other
// properties; else the older one, which all tools know. A name that is not
// known is returned as it is.
func (c *CIB) PropertyName(name string) string {
	o := FindOption(clusterOptions, name)
	if o == nil || len(o.Aliases) == 0 {
		return name
	}
	modern := false
	for set := range c.Section("crm_config").Named("cluster_property_set") {
		for p := range set.Named("nvpair") {
			used := p.Get("name")
			if FindOption(clusterOptions, used) == o {
				return used
			}
			modern = modern || newVocabulary(used)
		}
	}
	if newVocabulary(o.Name) && !modern {
		return o.Aliases[0]
	}
	return o.Name
}

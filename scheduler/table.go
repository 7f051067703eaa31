package scheduler

import (
	"slices"

	"gcrm/cib"
)

// table is a small list of name/value pairs with unique names.
type table []cib.Attr

func (t table) get(name string) (string, bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i].Value, true
		}
	}
	return "", false
}

func (t table) val(name string) string {
	v, _ := t.get(name)
	return v
}

func (t table) has(name string) bool {
	_, ok := t.get(name)
	return ok
}

func (t *table) set(name, value string) {
	for i := range *t {
		if (*t)[i].Name == name {
			(*t)[i].Value = value
			return
		}
	}
	*t = append(*t, cib.Attr{Name: name, Value: value})
}

// setNew adds a pair unless the name exists.
func (t *table) setNew(name, value string) {
	if !t.has(name) {
		*t = append(*t, cib.Attr{Name: name, Value: value})
	}
}

func (t *table) unset(name string) {
	for i := range *t {
		if (*t)[i].Name == name {
			*t = slices.Delete(*t, i, i+1)
			return
		}
	}
}

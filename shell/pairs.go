package shell

import (
	"strconv"
	"strings"

	"gcrm/cib"
)

// nvpairs live in sets (instance_attributes, meta_attributes, utilization)
// below an object. The functions here change a document that is being edited.

// idSet are the ids of a document.
type idSet map[string]bool

func idsOf(work *cib.CIB) idSet {
	ids := idSet{}
	work.Configuration().Walk(func(e *cib.Element) bool {
		if id := e.ID(); id != "" {
			ids[id] = true
		}
		return true
	})
	return ids
}

// fresh makes an id that is not taken: base itself, else base-0, base-1, ...
func (ids idSet) fresh(base string) string {
	base = strings.ReplaceAll(base, "#", ".")
	id := base
	for n := 0; ids[id]; n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	ids[id] = true
	return id
}

// setPair sets a name in the sets of an object: where it stands already, else
// in every set, else in a new set whose id begins with prefix.
func setPair(work *cib.CIB, object *cib.Element, setName, prefix, name, value string) {
	found := false
	for set := range object.Named(setName) {
		for p := range set.Named("nvpair") {
			if p.Get("name") == name {
				p.Set("value", value)
				found = true
			}
		}
	}
	if found {
		return
	}
	ids := idsOf(work)
	var sets []*cib.Element
	for set := range object.Named(setName) {
		if !set.Has("id-ref") {
			sets = append(sets, set)
		}
	}
	if len(sets) == 0 {
		set := cib.NewElement(setName, "id", ids.fresh(prefix+"-"+setName))
		insertSet(object, set)
		sets = []*cib.Element{set}
	}
	for _, set := range sets {
		set.Add(cib.NewElement("nvpair", "id", ids.fresh(set.ID()+"-"+name), "name", name))
		set.Children[len(set.Children)-1].Set("value", value)
	}
}

// insertSet adds an attribute set to an object: to a primitive at its end, as
// all tools do; to a container before its members.
func insertSet(object, set *cib.Element) {
	if object.Name == "primitive" || object.Name == "template" {
		object.Add(set)
		return
	}
	i := 0
	for i < len(object.Children) {
		switch object.Children[i].Name {
		case "instance_attributes", "meta_attributes", "utilization", cib.CommentName,
			"docker", "podman", "network", "storage", "obj_ref":
			i++
			continue
		}
		break
	}
	object.Children = append(object.Children[:i:i], append([]*cib.Element{set}, object.Children[i:]...)...)
}

// deletePair removes a name from the sets of an object and reports whether it
// was there. A set stays even if it becomes empty: something may refer to it.
func deletePair(object *cib.Element, setName, name string) bool {
	found := false
	for set := range object.Named(setName) {
		for i := len(set.Children) - 1; i >= 0; i-- {
			if p := set.Children[i]; p.Name == "nvpair" && p.Get("name") == name {
				set.Remove(p)
				found = true
			}
		}
	}
	return found
}

// pairValue returns the value of a name in the sets of an object.
func pairValue(object *cib.Element, setName, name string) (string, bool) {
	return cib.SetValue(object, setName, name)
}

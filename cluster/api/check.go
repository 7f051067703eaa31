package api

import (
	"fmt"
	"strings"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// maxProblems is how many of its problems a refused configuration is told.
const maxProblems = 5

// check refuses a configuration that violates its schema. What was wrong
// before is no reason, or nobody could set it right step by step.
func check(doc *cib.CIB, change cib.Change) error {
	if change.Configuration == nil || change.Status != nil {
		return nil
	}
	next, err := doc.Apply(change)
	if err != nil {
		return &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	return schemaErrors(doc, next)
}

func schemaErrors(before, after *cib.CIB) error {
	known := map[string]bool{}
	for _, p := range cib.CheckSchema(withoutStatus(before), "") {
		known[p.String()] = true
	}
	var texts []string
	more := 0
	for _, p := range cib.CheckSchema(withoutStatus(after), "") {
		switch {
		case p.Severity != cib.Error || known[p.String()]:
		case len(texts) == maxProblems:
			more++
		default:
			texts = append(texts, p.String())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	if more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return &client.Error{Code: client.CodeRefused, Text: "the configuration violates its schema: " + strings.Join(texts, "; ")}
}

// withoutStatus is the document with an empty status section: who commits a
// configuration does not answer for it.
func withoutStatus(doc *cib.CIB) *cib.CIB {
	root := &cib.Element{Name: doc.Root.Name, Attrs: doc.Root.Attrs}
	for _, e := range doc.Root.Children {
		if e.Name == "status" {
			e = cib.NewElement("status")
		}
		root.Add(e)
	}
	return &cib.CIB{Root: root}
}

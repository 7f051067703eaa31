package cib

import "testing"

func TestSchemaTableCompiles(t *testing.T) {
	rules, err := compileSchema(schemaTable)
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) < 50 {
		t.Errorf("%d element types", len(rules))
	}
	if p := CheckSchema(New(), ""); len(p) != 0 {
		t.Errorf("an empty CIB has problems: %v", p)
	}
}

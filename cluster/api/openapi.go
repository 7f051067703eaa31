package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"gcrm/cluster/client"
)

// openAPI describes the API: every route, with the types of the bodies as they
// are in Go.
func (s *Server) openAPI() []byte {
	d := &describer{schemas: map[string]any{}}
	paths := map[string]map[string]any{}
	for _, r := range s.routes() {
		op := map[string]any{"summary": r.help, "operationId": operationID(r)}
		var params []any
		for _, q := range r.query {
			params = append(params, map[string]any{"name": q.name, "in": "query", "description": q.help, "schema": map[string]any{"type": "string"}})
		}
		if params != nil {
			op["parameters"] = params
		}
		if r.request != nil {
			op["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/json": map[string]any{"schema": d.schema(reflect.TypeOf(r.request))}}}
		}
		media := r.media
		if media == "" {
			media = "application/json"
		}
		responses := map[string]any{
			"200":     map[string]any{"description": "done", "content": map[string]any{media: map[string]any{"schema": d.schema(reflect.TypeOf(r.answer))}}},
			"default": map[string]any{"description": "not done; Code says why, Text says it to people", "content": map[string]any{"application/json": map[string]any{"schema": d.schema(reflect.TypeOf(client.Error{}))}}},
		}
		if r.path == client.PathCIB {
			responses["304"] = map[string]any{"description": "the document is still the one of If-None-Match"}
		}
		op["responses"] = responses
		op["x-access"] = [...]string{"none", "by the parts of the CIB concerned", "read the whole CIB", "write the whole CIB"}[r.need]
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = op
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "gcrm node API", "version": "1", "description": "On the unix socket of a node's daemon, for root and members of the group " + adminGroup +
			"; and on the node's TCP port over TLS, with the certificate of an administrator ('gcrm cluster admin-cert'). Where access lists are enabled, they hold here."},
		"paths":      paths,
		"components": map[string]any{"schemas": d.schemas},
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // maps of strings can be written
	}
	return append(b, '\n')
}

func operationID(r route) string {
	words := strings.FieldsFunc(strings.TrimPrefix(r.path, "/v1"), func(c rune) bool { return c == '/' || c == '-' || c == '.' })
	id := strings.ToLower(r.method)
	for _, w := range words {
		id += strings.ToUpper(w[:1]) + w[1:]
	}
	return id
}

// describer makes JSON schemas of Go types.
type describer struct{ schemas map[string]any }

func (d *describer) schema(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "integer", "description": "nanoseconds"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Uint8:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map, reflect.Interface:
		return map[string]any{"type": "object"}
	case reflect.Struct:
		if t.Name() == "" {
			return map[string]any{"type": "object"}
		}
		if _, ok := d.schemas[t.Name()]; !ok {
			d.schemas[t.Name()] = nil // in the works; types may refer to themselves
			d.schemas[t.Name()] = d.structure(t)
		}
		return map[string]any{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

func (d *describer) structure(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for f := range t.Fields() {
		if !f.IsExported() {
			continue
		}
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		properties[name] = d.schema(f.Type)
		if !strings.Contains(options, "omit") && f.Type.Kind() != reflect.Pointer {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

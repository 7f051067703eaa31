package api

import (
	"bufio"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Prometheus' text format, version 0.0.4: families by name, in each the samples
// by their labels. (The client library would cost every command a tenth of its
// start: it prepares for far more than the gauges that a scrape needs here.)
// https://prometheus.io/docs/instrumenting/exposition_formats/

const expositionType = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"

// families are metrics by name.
type families map[string]*family

type family struct {
	help, kind string             // kind is gauge or counter
	samples    map[string]float64 // by the labels as they are written
}

// escapes of help texts, and of values of labels.
var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// add sends a gauge; labels are names and values in turn. Of several samples
// with the same labels the first counts.
func (f families) add(name, help string, value float64, labels ...string) {
	f.send(name, help, "gauge", value, labels)
}

func (f families) send(name, help, kind string, value float64, labels []string) {
	m := f[name]
	if m == nil {
		m = &family{help: help, kind: kind, samples: map[string]float64{}}
		f[name] = m
	}
	pairs := make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+`="`+labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "�"))+`"`)
	}
	slices.Sort(pairs)
	at := ""
	if len(pairs) > 0 {
		at = "{" + strings.Join(pairs, ",") + "}"
	}
	if _, taken := m.samples[at]; !taken {
		m.samples[at] = value
	}
}

// write puts the families out under the exporter's prefix.
func (f families) write(to io.Writer) error {
	w := bufio.NewWriter(to)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		m := f[name]
		full := "ha_cluster_" + name
		w.WriteString("# HELP " + full + " " + helpEscapes.Replace(m.help) + "\n# TYPE " + full + " " + m.kind + "\n")
		for _, at := range slices.Sorted(maps.Keys(m.samples)) {
			w.WriteString(full + at + " " + strconv.FormatFloat(m.samples[at], 'g', -1, 64) + "\n")
		}
	}
	return w.Flush()
}

package shell

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"sync"
)

// escapes are the colours of a terminal.
var escapes = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("\x1b\\[[0-9;]*m") })

// statusHTML is the text of a status, written with colours, as a web page that
// loads itself again after some seconds; 0 for never.
func statusHTML(text string, again int) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Cluster Status</title>\n")
	if again > 0 {
		fmt.Fprintf(&b, "<meta http-equiv=\"refresh\" content=\"%d\">\n", again)
	}
	b.WriteString("<style>\n.good { color: green }\n.warn { color: darkgoldenrod }\n.bad { color: red; font-weight: bold }\n</style>\n</head>\n<body>\n")
	level := 0
	to := func(l int) {
		for ; level < l; level++ {
			b.WriteString("<ul>\n")
		}
		for ; level > l; level-- {
			b.WriteString("</ul>\n")
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		body := strings.TrimLeft(line, " ")
		item, isItem := strings.CutPrefix(body, "* ")
		switch {
		case body == "":
		case isItem:
			to((len(line) - len(body)) / 2)
			fmt.Fprintf(&b, "<li>%s</li>\n", spans(item))
		case line == body:
			to(0)
			fmt.Fprintf(&b, "<h2>%s</h2>\n", html.EscapeString(strings.TrimSuffix(escapes().ReplaceAllString(body, ""), ":")))
		default:
			to(0)
			fmt.Fprintf(&b, "<p class=\"warn\">%s</p>\n", spans(body))
		}
	}
	to(0)
	b.WriteString("</body>\n</html>\n")
	return b.String()
}

// spans turns the colours of a line into classes of a style sheet.
func spans(line string) string {
	var b strings.Builder
	open, at := false, 0
	for _, m := range escapes().FindAllStringIndex(line, -1) {
		b.WriteString(html.EscapeString(line[at:m[0]]))
		at = m[1]
		if open {
			b.WriteString("</span>")
			open = false
		}
		code := ";" + strings.TrimSuffix(line[m[0]+2:m[1]], "m") + ";"
		for _, c := range [][2]string{{";31;", "bad"}, {";32;", "good"}, {";33;", "warn"}} {
			if strings.Contains(code, c[0]) {
				b.WriteString(`<span class="` + c[1] + `">`)
				open = true
			}
		}
	}
	b.WriteString(html.EscapeString(line[at:]))
	if open {
		b.WriteString("</span>")
	}
	return b.String()
}

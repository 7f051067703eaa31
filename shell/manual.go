package shell

import (
	"fmt"
	"strings"
)

// Manual returns the manual page in the macros of man(7), made from the table
// of verbs: every level and command with its usage and example. options is the
// program's own usage text.
func Manual(options string) string {
	var b strings.Builder
	b.WriteString(`.\" Made from the program's help (gcrm help --man); changes belong there.
.TH GCRM 8 "" "gcrm" "High-availability clustering"
.SH NAME
gcrm \- high-availability clustering in one program, spoken in the crm language
.SH SYNOPSIS AND OPTIONS
.nf
`)
	b.WriteString(manText(options))
	b.WriteString(".fi\n")
	root := Root()
	manLevel(&b, root, nil)
	b.WriteString(`.SH EXIT STATUS
.IP 0
Everything was done; what should run runs.
.IP 1
A command failed, a commit was refused, or a resource that should run does not.
.IP 2
The script file or an option cannot be used.
.IP "64, 65, 66"
gcrm simulate: wrong options, input that is no CIB, input that cannot be read.
.IP 75
The cluster does not answer or settle in time.
.IP 77
gcrm daemon: this node was removed from its cluster.
.IP 102
There is no cluster to talk to.
.IP 130
Interrupted.
.SH ENVIRONMENT
.IP CIB_file
A CIB file to work on instead of a cluster.
.IP CIB_shadow_dir
Where shadow CIBs are kept.
.IP CRM_CONFIG_FILE
The file with the settings of options save.
.IP "EDITOR, PAGER"
What edit and long output use.
.IP GCRM_SOCKET
The daemon's socket.
`)
	return b.String()
}

func manLevel(b *strings.Builder, l *Level, path []string) {
	title := "COMMANDS"
	if l.Name != "" {
		path = append(path[:len(path):len(path)], l.Name)
		title = "LEVEL " + strings.ToUpper(strings.Join(path, " "))
	}
	fmt.Fprintf(b, ".SH %s\n%s\n", title, manText(l.Help))
	if l.Long != "" {
		fmt.Fprintf(b, ".PP\n%s\n", manText(l.Long))
	}
	verbs := l.Verbs
	if l.Name == "" {
		verbs = append(verbs[:len(verbs):len(verbs)], l.common...)
	}
	for _, v := range verbs {
		if v.Hidden {
			continue
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", manText(v.Usage()), manText(v.Help))
		if v.Long != "" {
			fmt.Fprintf(b, "%s\n", manText(v.Long))
		}
		if v.Example != "" {
			fmt.Fprintf(b, ".br\nExample: %s\n", manText(strings.TrimSpace(strings.Join(path, " ")+" "+v.Example)))
		}
	}
	for _, sub := range l.Levels {
		if len(path) == 0 { // a level below another is told at the top, too
			manLevel(b, sub, path)
		}
	}
}

// manText escapes what troff would take for its own.
func manText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimSpace(s))
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n") + ifText(strings.Contains(s, "\n"), "\n", "")
}

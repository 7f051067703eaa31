package crmtools

import (
	"fmt"
	"slices"
	"strings"
)

// option is one option of a command: its long name and, if there is one, its
// letter.
type option struct {
	long     string
	letters  string
	argument int // noArgument, hasArgument, mayHaveArgument
}

const (
	noArgument = iota
	hasArgument
	mayHaveArgument // taken only if it does not begin with a dash
)

// flags are the options found: long name to the last argument.
type flags map[string]string

func (f flags) has(name string) bool { _, ok := f[name]; return ok }

// parseFlags reads options as getopt_long does: letters may be bundled,
// arguments may follow at once, after =, or as the next word, and long names
// may be cut short. Words that are no options are returned. Of several of the
// options that are commands only the last is found.
func parseFlags(args []string, options []option, commands ...string) (flags, []string, error) {
	out := flags{}
	var rest []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		take := func(o option, inline string, has bool) error {
			if slices.Contains(commands, o.long) {
				for _, other := range commands {
					delete(out, other)
				}
			}
			switch {
			case o.argument == noArgument && has:
				return fmt.Errorf("option --%s takes no argument", o.long)
			case o.argument == noArgument:
				out[o.long] = ""
			case has:
				out[o.long] = inline
			case i+1 < len(args) && (o.argument == hasArgument || !strings.HasPrefix(args[i+1], "-")):
				i++
				out[o.long] = args[i]
			case o.argument == mayHaveArgument:
				out[o.long] = ""
			default:
				return fmt.Errorf("missing argument for --%s", o.long)
			}
			return nil
		}
		switch {
		case arg == "--":
			return out, append(rest, args[i+1:]...), nil
		case strings.HasPrefix(arg, "--"):
			name, inline, has := strings.Cut(arg[2:], "=")
			o, ok := findLong(options, name)
			if !ok {
				return nil, nil, fmt.Errorf("unknown option --%s", name)
			}
			if err := take(o, inline, has); err != nil {
				return nil, nil, err
			}
		case len(arg) > 1 && arg[0] == '-':
			for j := 1; j < len(arg); j++ {
				o, ok := findLetter(options, arg[j])
				if !ok {
					return nil, nil, fmt.Errorf("unknown option -%c", arg[j])
				}
				if o.argument != noArgument && j+1 < len(arg) {
					if err := take(o, strings.TrimPrefix(arg[j+1:], "="), true); err != nil {
						return nil, nil, err
					}
					break
				}
				if err := take(o, "", false); err != nil {
					return nil, nil, err
				}
			}
		default:
			rest = append(rest, arg)
		}
	}
	return out, rest, nil
}

func findLong(options []option, name string) (option, bool) {
	var found []option
	for _, o := range options {
		if o.long == name {
			return o, true
		}
		if strings.HasPrefix(o.long, name) {
			found = append(found, o)
		}
	}
	if len(found) == 1 {
		return found[0], true
	}
	return option{}, false
}

func findLetter(options []option, letter byte) (option, bool) {
	for _, o := range options {
		if strings.IndexByte(o.letters, letter) >= 0 {
			return o, true
		}
	}
	return option{}, false
}

package anything

import (
	"errors"
	"strings"
)

// line is a command line taken apart.
type line struct {
	words []string
	// shell is set if the line has characters that only a shell can give
	// their meaning.
	shell bool
}

// splitWords takes arguments apart as a shell does: blanks separate, quotes
// and backslashes keep together.
func splitWords(s string) (line, error) {
	var l line
	var word strings.Builder
	inWord := false
	flush := func() {
		if inWord {
			l.words = append(l.words, word.String())
			word.Reset()
			inWord = false
		}
	}
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; ch {
		case ' ', '\t', '\n':
			flush()
		case '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return l, errors.New("a single quote is not closed")
			}
			word.WriteString(s[i+1 : i+1+end])
			i += end + 1
			inWord = true
		case '"':
			inWord = true
			for i++; ; i++ {
				if i >= len(s) {
					return l, errors.New("a double quote is not closed")
				}
				if s[i] == '"' {
					break
				}
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\\\"$`", s[i+1]) >= 0 {
					i++
				} else if s[i] == '$' || s[i] == '`' {
					l.shell = true
				}
				word.WriteByte(s[i])
			}
		case '\\':
			if i+1 >= len(s) {
				return l, errors.New("nothing follows the last backslash")
			}
			i++
			word.WriteByte(s[i])
			inWord = true
		default:
			if strings.IndexByte("$`|&;<>()*?[]{}~#!", ch) >= 0 {
				l.shell = true
			}
			word.WriteByte(ch)
			inWord = true
		}
	}
	flush()
	return l, nil
}

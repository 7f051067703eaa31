package shell

import (
	"time"

	"gcrm/grammar"
)

func readTestLine(text string) grammar.Line { return grammar.ReadCommand("", text) }

// testClock returns a clock that goes on by a second with every look.
func testClock() func() time.Time {
	now := time.Unix(1000, 0)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

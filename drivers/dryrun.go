package drivers

import "context"

// DryRunner is what agents implement that can show, without doing it, what an
// action would do in the present state of the host: one line per command or
// system call.
type DryRunner interface {
	DryRun(ctx context.Context, req Request) (steps []string, res Result)
}

package shell

import (
	"context"
)

func runConfigureSimulate(ctx context.Context, s *Session, c *call) error { return errReported }
func runScores(ctx context.Context, s *Session, c *call) error            { return errReported }
func runSimulate(ctx context.Context, s *Session, c *call) error          { return errReported }

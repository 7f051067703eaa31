package shell

import (
	"context"
)

func runConfigureSimulate(ctx context.Context, s *Session, c *call) error { return nil }
func runGraph(ctx context.Context, s *Session, c *call) error             { return nil }
func runResourceStatus(ctx context.Context, s *Session, c *call) error    { return nil }
func runLocate(ctx context.Context, s *Session, c *call) error            { return nil }
func runScores(ctx context.Context, s *Session, c *call) error            { return nil }
func runClusterHealth(ctx context.Context, s *Session, c *call) error     { return nil }
func runStatus(ctx context.Context, s *Session, c *call) error            { return nil }
func runSimulate(ctx context.Context, s *Session, c *call) error          { return nil }

func (s *Session) runsOn(ctx context.Context, id string) ([]string, error) { return nil, nil }
func (s *Session) runningResources(ctx context.Context) ([]string, error)  { return nil, nil }

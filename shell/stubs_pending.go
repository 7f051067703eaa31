package shell

import (
	"context"
	"gcrm/cib"
)

func runDelete(ctx context.Context, s *Session, c *call) error            { return nil }
func runRename(ctx context.Context, s *Session, c *call) error            { return nil }
func runConfigureSimulate(ctx context.Context, s *Session, c *call) error { return nil }
func runGraph(ctx context.Context, s *Session, c *call) error             { return nil }
func runResourceStatus(ctx context.Context, s *Session, c *call) error    { return nil }
func runRestart(ctx context.Context, s *Session, c *call) error           { return nil }
func runCleanup(ctx context.Context, s *Session, c *call) error           { return nil }
func runFailcount(ctx context.Context, s *Session, c *call) error         { return nil }
func runLocate(ctx context.Context, s *Session, c *call) error            { return nil }
func runOperations(ctx context.Context, s *Session, c *call) error        { return nil }
func runScores(ctx context.Context, s *Session, c *call) error            { return nil }
func runTrace(ctx context.Context, s *Session, c *call) error             { return nil }
func runClusterStatus(ctx context.Context, s *Session, c *call) error     { return nil }
func runClusterHealth(ctx context.Context, s *Session, c *call) error     { return nil }
func runClusterWait(ctx context.Context, s *Session, c *call) error       { return nil }
func runOptionsShow(ctx context.Context, s *Session, c *call) error       { return nil }
func runOptionsSet(ctx context.Context, s *Session, c *call) error        { return nil }
func runMaintenance(ctx context.Context, s *Session, c *call) error       { return nil }
func runTicket(ctx context.Context, s *Session, c *call) error            { return nil }
func runStatus(ctx context.Context, s *Session, c *call) error            { return nil }
func runSimulate(ctx context.Context, s *Session, c *call) error          { return nil }

func (s *Session) runsOn(ctx context.Context, id string) ([]string, error) { return nil, nil }
func (s *Session) runningResources(ctx context.Context) ([]string, error)  { return nil, nil }
func (s *Session) merge(ctx context.Context) error                         { return cib.ErrConflict }
func (s *Session) completeStatement(ctx context.Context, v *Verb, done []string, partial string) []Candidate {
	return nil
}

type sessionOption struct{ name, help string }

func sessionOptions() []sessionOption { return nil }

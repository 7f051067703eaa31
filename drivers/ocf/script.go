package ocf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/process"
	"gcrm/drivers/secret"
)

const reasonPrefix = "ocf-exit-reason:"

// Script is one OCF agent script.
type Script struct {
	name   drivers.Name
	path   string
	root   string
	finder *Finder
}

// Metadata returns what the script prints for meta-data. The answer is kept
// until the file changes.
func (s *Script) Metadata(ctx context.Context) (string, error) { return s.finder.metadata(ctx, s) }

// metadataTimeout bounds meta-data when the caller sets no limit.
const metadataTimeout = 30 * time.Second

func (s *Script) askMetadata(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	req := drivers.Request{Agent: s.name, Action: drivers.MetaData}
	out := process.Run(ctx, process.Command{Path: s.path, Args: []string{drivers.MetaData},
		Env: Environment(s.root, req, os.Environ()), Limit: 1 << 20})
	if out.Err != nil {
		return "", fmt.Errorf("meta-data of agent %s: %w", s.name, out.Err)
	}
	if out.Code != 0 {
		return "", fmt.Errorf("meta-data of agent %s: %s ended with %v: %s", s.name, s.path, drivers.RC(out.Code), lastLine(out.Stderr))
	}
	return out.Stdout, nil
}

// Run executes the script with one argument, the action, and the environment
// the OCF API defines.
func (s *Script) Run(ctx context.Context, req drivers.Request) drivers.Result {
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Timeout)
		defer cancel()
	}
	filled, err := secret.Fill(req.Node.Secrets, req.Resource, req.Params)
	if err != nil && req.Action != drivers.Stop {
		return drivers.Result{RC: drivers.NotConfigured, Reason: err.Error()}
	}
	req.Params = filled.Params
	// Agents keep their pseudo state files in this folder and take it for granted.
	if req.Node.StateDir != "" {
		if err := os.MkdirAll(filepath.Join(req.Node.StateDir, "resource-agents"), 0o755); err != nil {
			return drivers.Result{RC: drivers.GenericError, Status: drivers.Error,
				Reason: fmt.Sprintf("state folder of node %s: %v", req.Node.Name, err)}
		}
	}
	command := process.Command{Path: s.path, Args: []string{req.Action}, Env: Environment(s.root, req, os.Environ())}
	if req.Action == drivers.MetaData {
		command.Limit = 1 << 20
	} else {
		command.Notes = req.Node.CallNotes()
	}
	res := s.result(ctx, req, process.Run(ctx, command))
	res.Reason, res.Output = filled.Hide(res.Reason), filled.Hide(res.Output)
	return res
}

func (s *Script) result(ctx context.Context, req drivers.Request, out process.Outcome) drivers.Result {
	res := drivers.Result{RC: drivers.RC(out.Code), Output: out.Stdout, Reason: exitReason(out.Stderr)}
	if req.Action != drivers.MetaData {
		res.Output += out.Stderr
	}
	var start *process.StartError
	switch {
	case errors.As(out.Err, &start):
		res.RC, res.Status, res.Reason = startFailure(start)
	case out.Err != nil:
		res.RC, res.Status = drivers.GenericError, drivers.TimedOut
		last := res.Reason
		limit := ""
		if req.Timeout > 0 {
			limit = fmt.Sprintf(" after %v", req.Timeout)
		}
		res.Reason = fmt.Sprintf("%s of %s timed out%s and was killed", req.Action, s.name, limit)
		if errors.Is(ctx.Err(), context.Canceled) {
			res.Status = drivers.Cancelled
			res.Reason = fmt.Sprintf("%s of %s was cancelled and killed", req.Action, s.name)
		}
		if out.Stuck {
			res.Reason += fmt.Sprintf(", but process %d is caught in the kernel", out.Pid)
		}
		if last != "" {
			res.Reason += "; it last said: " + last
		}
	case out.Signal != 0:
		res.RC, res.Status = drivers.GenericError, drivers.Error
		res.Reason = fmt.Sprintf("%s of %s was interrupted by signal %d (%v)", req.Action, s.name, int(out.Signal), out.Signal)
	case !res.RC.Known():
		if res.Reason == "" {
			res.Reason = fmt.Sprintf("%s ended with exit code %d, which the OCF API does not have", s.path, out.Code)
		}
		res.RC = drivers.GenericError
	}
	return res
}

// startFailure maps the errors of exec as Pacemaker does.
func startFailure(err *process.StartError) (drivers.RC, drivers.Status, string) {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR),
		errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOEXEC):
		return drivers.NotInstalled, drivers.NoSuchAgent, err.Error()
	case errors.Is(err, fs.ErrPermission):
		return drivers.Permission, drivers.Error, err.Error() + " (is the script executable?)"
	}
	return drivers.GenericError, drivers.Error, err.Error()
}

// exitReason is the last reason on stderr, to the end of its line.
func exitReason(stderr string) string {
	i := strings.LastIndex(stderr, reasonPrefix)
	if i < 0 {
		return ""
	}
	line, _, _ := strings.Cut(stderr[i+len(reasonPrefix):], "\n")
	return strings.TrimSpace(line)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

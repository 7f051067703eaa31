package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"gcrm/replication/engine"
	"gcrm/replication/wire"
)

// status is the picture of the resource.
func (s *server) status() *Status {
	var list []*Status
	for _, v := range s.volumes {
		list = append(list, v.status())
	}
	return together(list)
}

// status is the picture of a volume.
func (v *served) status() *Status {
	s := v.s
	st := picture(v.Status())
	st.Resource, st.Volume, st.Minor = s.o.Resource, v.conf.Number(), v.conf.Minor()
	st.Protocol = s.r.Net.Protocol.String()
	st.Ignored, st.PID, st.NBD = s.r.Ignored, os.Getpid(), s.o.Folder.NBD(s.o.Resource)
	s.takingMu.Lock()
	st.Takeover = s.taking != nil
	s.takingMu.Unlock()
	if v.channel != nil {
		st.File = v.mount()
	}
	st.Device, st.KeepsOthersWaiting = v.device.get(), v.Volume.KeepsOthersWaiting()
	return &st
}

// answer does one command of a client.
func (s *server) answer(call Call, send func(Answer) bool) {
	if call.Command == "events" {
		s.events(send)
		return
	}
	a := Answer{}
	if call.Command != "status" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		s.mu.Lock()
		err := s.do(ctx, call)
		s.mu.Unlock()
		if err != nil {
			a.Error, a.Code = explain(err)
		}
	}
	a.Status = s.status()
	send(a)
	if call.Command == "down" && a.Error == "" || call.Command == "stop" {
		s.once.Do(func() { close(s.quit) })
	}
}

// events sends the state at every change, and now and then during a resync.
func (s *server) events(send func(Answer) bool) {
	for {
		c := s.v.Changed()
		st := s.status()
		if !send(Answer{Status: st}) {
			return
		}
		wait := 10 * time.Second
		if st.Progress != nil {
			wait = 500 * time.Millisecond
		}
		select {
		case <-c:
		case <-time.After(wait):
		case <-s.quit:
			return
		}
	}
}

// do carries out a command.
func (s *server) do(ctx context.Context, call Call) error {
	v, list := s.v, s.volumes
	if call.Volume != nil {
		i := slices.IndexFunc(list, func(v *served) bool { return v.conf.Number() == *call.Volume })
		if i < 0 {
			return fmt.Errorf("the process has no volume %d; it knows the configuration of its start", *call.Volume)
		}
		list = list[i : i+1]
	}
	switch call.Command {
	case "attach":
		return each(list, func(v *served) error {
			if err := v.Attach(); err != nil && !errors.Is(err, engine.ErrAttached) {
				return err
			}
			s.setWanted(func(w *wanted) { w.Attached, w.Detached = true, except(w.Detached, v.conf.Number(), false) })
			return nil
		})
	case "detach":
		return each(list, func(v *served) error {
			if err := v.Detach(ctx); err != nil {
				return err
			}
			s.setWanted(func(w *wanted) {
				w.Detached = except(w.Detached, v.conf.Number(), true)
				if len(w.Detached) == len(s.volumes) {
					w.Attached, w.Detached = false, nil
				}
			})
			return nil
		})
	case "connect":
		if err := v.Connect(ctx, call.Discard); err != nil {
			return err
		}
		s.setWanted(func(w *wanted) { w.Connected = true })
	case "disconnect":
		if err := v.Disconnect(ctx, call.Force); err != nil {
			return err
		}
		s.setWanted(func(w *wanted) { w.Connected = false })
	case "primary":
		return s.promote(ctx, list, call.Force)
	case "secondary":
		return s.demote(ctx, list)
	case "verify":
		return each(list, func(v *served) error { return v.Verify(ctx) })
	case "invalidate":
		return each(list, func(v *served) error { return v.Invalidate(ctx, false) })
	case "invalidate-remote":
		return each(list, func(v *served) error { return v.Invalidate(ctx, true) })
	case "outdate":
		return each(list, func(v *served) error { return v.Outdate(ctx) })
	case "resize":
		return each(list, func(v *served) error {
			return v.Resize(ctx, engine.ResizeOptions{User: call.Sectors, Clean: call.Clean, Force: call.Force})
		})
	case "pause-sync":
		return each(list, func(v *served) error { return v.PauseSync(ctx) })
	case "resume-sync":
		return each(list, func(v *served) error { return v.ResumeSync(ctx) })
	case "suspend-io":
		return each(list, func(v *served) error { return v.Suspend(ctx) })
	case "resume-io":
		return each(list, func(v *served) error { return v.Resume(ctx) })
	case "down":
		return s.down(ctx)
	case "stop": // at once, as it is; a successor goes on
	default:
		return fmt.Errorf("unknown command %q", call.Command)
	}
	return nil
}

// promote makes volumes Primary and gives them their block devices. All volumes of the
// resource become Primary together or not at all.
func (s *server) promote(ctx context.Context, list []*served, force bool) error {
	var err error
	if len(list) == len(s.volumes) {
		err = s.v.PromoteAll(ctx, force)
	} else {
		err = list[0].Promote(ctx, force)
	}
	if err != nil {
		return err
	}
	s.setRoles()
	return each(list, (*served).attachDevice)
}

// setRoles notes which volumes are Primary now, for a successor.
func (s *server) setRoles() {
	s.setWanted(func(w *wanted) {
		w.Primary, w.Secondary = false, nil
		for _, v := range s.volumes {
			if v.State().Role() == wire.Primary {
				w.Primary = true
			} else {
				w.Secondary = append(w.Secondary, v.conf.Number())
			}
		}
		if !w.Primary {
			w.Secondary = nil
		}
	})
}

func (s *server) demote(ctx context.Context, list []*served) error {
	if slices.ContainsFunc(list, func(v *served) bool { return v.State().Role() == wire.Primary }) {
		defer s.setRoles()
	}
	return each(list, func(v *served) error { return v.demote(ctx) })
}

func (v *served) demote(ctx context.Context) error {
	if v.State().Role() != wire.Primary {
		return v.detachDevice()
	}
	loop := v.device.get()
	if err := v.detachDevice(); err != nil {
		return err
	}
	// The kernel lets go of the file a moment after the loop device is gone.
	var err error
	for range 40 {
		if err = v.Demote(ctx); err != wire.DeviceInUse || loop == "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// down ends everything in good order.
func (s *server) down(ctx context.Context) error {
	if err := s.demote(ctx, s.volumes); err != nil {
		return err
	}
	s.nbd.Disconnect()
	if slices.ContainsFunc(s.volumes, func(v *served) bool { return v.State().Conn() >= wire.Connected }) {
		if err := s.v.Disconnect(ctx, false); err != nil {
			return err
		}
	}
	if err := s.v.Close(ctx); err != nil {
		return err
	}
	return os.Remove(s.state())
}

func (s *server) state() string {
	path := s.o.Folder.State(s.o.Resource)
	if _, err := os.Stat(path); err != nil {
		_ = os.WriteFile(path, nil, 0o600)
	}
	return path
}

// Exit codes of drbdadm and drbdsetup.
const (
	exitUsage    = 1
	exitFailed   = 10
	exitRefused  = 11
	exitNoData   = 17
	exitInternal = 20
)

// explain turns an error into words for the administrator and an exit code.
func explain(err error) (string, int) {
	var r wire.Result
	if !errors.As(err, &r) {
		return err.Error(), exitFailed
	}
	text := fmt.Sprintf("State change failed: (%d) %s", int32(r), r.String())
	if r == wire.NeedUpToDate {
		return text, exitNoData
	}
	return text, exitRefused
}

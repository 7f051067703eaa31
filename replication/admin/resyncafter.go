package admin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/replication/drbdconf"
)

// predecessor is the volume whose resync comes before another one's (resync-after):
// RESOURCE, RESOURCE/VOLUME, or the minor number of its device.
type predecessor struct {
	resource string
	volume   int
}

// after finds the predecessor of a volume, nil without one. One that does not exist on
// this node is an error.
func (v *Volume) after() (*predecessor, error) {
	text := v.Disk.ResyncAfter
	if text == "" || text == "-1" {
		return nil, nil
	}
	conf, local := v.Resource.Conf, v.Resource.Local
	if minor, err := strconv.Atoi(text); err == nil {
		for _, res := range conf.Resources {
			for _, h := range res.Hosts {
				if i := slices.IndexFunc(h.Volumes, func(o *drbdconf.Volume) bool { return o.HasMinor && o.Minor == minor }); i >= 0 && sameNode(h, local) {
					return &predecessor{res.Name, h.Volumes[i].Number}, nil
				}
			}
		}
		return nil, fmt.Errorf("resync-after %s: no device of this node has that minor number", text)
	}
	name, number, _ := strings.Cut(text, "/")
	res := conf.Resource(name)
	if res == nil {
		return nil, fmt.Errorf("resync-after %s: there is no resource %s", text, name)
	}
	n := 0
	if number != "" {
		var err error
		if n, err = strconv.Atoi(number); err != nil {
			return nil, fmt.Errorf("resync-after %s: %s is no number of a volume", text, number)
		}
	}
	return &predecessor{name, n}, nil
}

func sameNode(a, b *drbdconf.Host) bool {
	return slices.ContainsFunc(a.Names, func(n string) bool { return slices.Contains(b.Names, n) }) || a.Address.IP == b.Address.IP
}

// followOthers lets resyncs wait for those of the volumes before them.
func (s *server) followOthers(ctx context.Context) {
	for _, v := range s.volumes {
		p, err := v.conf.after()
		switch {
		case err != nil:
			s.log(err.Error())
		case p == nil:
		case p.resource == s.o.Resource:
			go s.followOwn(v, p.volume)
		default:
			go s.followOther(ctx, v, *p)
		}
	}
}

func (s *server) followOwn(v *served, number int) {
	i := slices.IndexFunc(s.volumes, func(o *served) bool { return o.conf.Number() == number })
	if i < 0 || s.volumes[i] == v {
		s.log(fmt.Sprintf("resync-after: there is no other volume %d", number))
		return
	}
	for {
		c := s.v.Changed()
		v.WaitForOthers(s.volumes[i].Volume.KeepsOthersWaiting())
		select {
		case <-c:
		case <-s.quit:
			return
		}
	}
}

// followOther listens to the process of another resource. One that does not run keeps
// nobody waiting.
func (s *server) followOther(ctx context.Context, v *served, p predecessor) {
	for {
		if c, err := s.o.Folder.Dial(p.resource); err == nil {
			a, err := c.Do(ctx, Call{Command: "events"})
			for ; err == nil && a.Status != nil; a, err = c.Next() {
				for _, o := range a.Status.Each() {
					if o.Volume == p.volume {
						v.WaitForOthers(o.KeepsOthersWaiting)
					}
				}
			}
			c.Close()
			v.WaitForOthers(false)
		}
		select {
		case <-time.After(time.Second):
		case <-s.quit:
			return
		case <-ctx.Done():
			return
		}
	}
}

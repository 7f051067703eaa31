package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"gcrm/cluster/client"
)

// adminGroup are those who may administer the cluster.
const adminGroup = "haclient"

// identify stores who is at the other end of a unix socket.
func (s *Server) identify(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || cred == nil {
		s.log.Warn("a client of the API could not be identified", "err", err)
		return ctx
	}
	id := Identity{UID: cred.Uid, User: strconv.FormatUint(uint64(cred.Uid), 10)}
	if u, err := user.LookupId(id.User); err == nil {
		id.User = u.Username
	}
	return context.WithValue(ctx, identityKey{}, id)
}

// admit lets those through who may administer the cluster.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := r.Context().Value(identityKey{}).(Identity)
		if !ok || !allowed(id.UID) {
			s.log.Warn("refused a client of the API", "user", id.User)
			fail(w, &client.Error{Code: client.CodeForbidden,
				Text: "user " + id.User + " may not use the cluster's daemon; be root or a member of the group " + adminGroup})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowed looks at the groups afresh, so that a change of them counts at once.
func allowed(uid uint32) bool {
	if uid == 0 || int(uid) == os.Getuid() {
		return true
	}
	g, err := user.LookupGroup(adminGroup)
	if err != nil {
		return false
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, g.Gid)
}

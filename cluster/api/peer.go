package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// adminGroup are those who may administer the cluster.
const adminGroup = "haclient"

// Identity is who made a request.
type Identity struct {
	// UID is the user's on this host, -1 for somebody who comes over TLS.
	UID  int64
	User string
	// Via is "socket" or "tls", From the process or the address there.
	Via, From string
	// trusted is set for the daemon's own user.
	trusted bool
}

type identityKey struct{}

// identityOf returns who made a request; nobody for the daemon's own.
func identityOf(r *http.Request) Identity {
	id, _ := r.Context().Value(identityKey{}).(Identity)
	return id
}

// userMay reports whether access lists do not count for who made a request.
func userMay(r *http.Request) bool {
	id, ok := r.Context().Value(identityKey{}).(Identity)
	return !ok || id.trusted || id.UID == 0 || cib.Superuser(id.User)
}

// access returns what who made a request may do, with the document it holds for.
func (s *Server) access(r *http.Request) (*cib.Access, *cib.CIB, error) {
	doc, _, err := s.backend.CIB(r.Context(), false)
	if err != nil {
		return nil, nil, err
	}
	return accessFor(r, doc), doc, nil
}

func accessFor(r *http.Request, doc *cib.CIB) *cib.Access {
	id := identityOf(r)
	return cib.AccessFor(doc, id.User, groupsOf(id.User))
}

// groupsOf looks at the groups afresh, so that a change of them counts at
// once. Users that this host does not know are in none.
func groupsOf(name string) []string {
	u, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var names []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			names = append(names, g.Name)
		}
	}
	return names
}

// identify stores who is at the other end of a connection.
func (s *Server) identify(ctx context.Context, c net.Conn) context.Context {
	switch c := c.(type) {
	case *net.UnixConn:
		id, err := socketPeer(c)
		if err != nil {
			s.log.Warn("a client of the API could not be identified", "err", err)
			return ctx
		}
		return context.WithValue(ctx, identityKey{}, id)
	case *tls.Conn:
		if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
			return context.WithValue(ctx, identityKey{}, Identity{UID: -1, User: certs[0].Subject.CommonName, Via: "tls", From: c.RemoteAddr().String()})
		}
	}
	return ctx
}

func socketPeer(c *net.UnixConn) (Identity, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Identity{}, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return Identity{}, err
	}
	id := Identity{UID: int64(cred.Uid), User: strconv.FormatUint(uint64(cred.Uid), 10), Via: "socket",
		From: "process " + strconv.Itoa(int(cred.Pid)), trusted: int(cred.Uid) == os.Getuid()}
	if u, err := user.LookupId(id.User); err == nil {
		id.User = u.Username
	}
	return id, nil
}

// admit lets those through who may use the daemon at all. Who comes over TLS
// has a certificate that was made for it.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := r.Context().Value(identityKey{}).(Identity)
		if !ok || id.Via != "tls" && !allowed(id) {
			s.log.Warn("refused a client of the API", "user", id.User)
			fail(w, &client.Error{Code: client.CodeForbidden,
				Text: "user " + id.User + " may not use the cluster's daemon; be root or a member of the group " + adminGroup})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), controlKey{}, http.NewResponseController(w))))
	})
}

// allowed looks at the groups afresh, so that a change of them counts at once.
func allowed(id Identity) bool {
	if id.UID == 0 || id.trusted {
		return true
	}
	g, err := user.LookupGroup(adminGroup)
	if err != nil {
		return false
	}
	u, err := user.LookupId(strconv.FormatInt(id.UID, 10))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, g.Gid)
}

// openToGroup lets the administrators' group reach a socket, if there is one;
// who may do what is decided by the peer's identity.
func openToGroup(socket string) error {
	g, err := user.LookupGroup(adminGroup)
	if err != nil || os.Getuid() != 0 {
		return os.Chmod(socket, 0o600)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("group %s: %w", adminGroup, err)
	}
	if err := os.Chown(socket, -1, gid); err != nil {
		return err
	}
	return os.Chmod(socket, 0o660)
}

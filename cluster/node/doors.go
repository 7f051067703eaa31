package node

import (
	"context"
	"path/filepath"
	"time"

	"gcrm/cluster/api"
	"gcrm/cluster/client"
)

const auditFile = "audit.jsonl"

// startAPI opens the doors for programs: the socket, and the node's port for
// administrators from elsewhere.
func (n *Node) startAPI() error {
	log := n.log.With("room", "api")
	var err error
	if n.trail, err = api.OpenAuditLog(filepath.Join(n.cfg.StateDir, auditFile), log); err != nil {
		return err
	}
	n.api, err = api.Listen(api.Config{Socket: n.cfg.Socket, Node: n.cfg.Name, Backend: (*backend)(n), Audit: n.trail, Log: log})
	if err == nil {
		n.api.Serve(n.wire.Door())
	}
	return err
}

// AdminCert implements api.Administrator.
func (b *backend) AdminCert(_ context.Context, r client.AdminCertRequest) (client.AdminCertAnswer, error) {
	n := (*Node)(b)
	authority := n.keys.Load().Authority
	if authority == nil {
		return client.AdminCertAnswer{}, errNoAuthority
	}
	der, err := authority.CertifyAdministrator(r.User, r.Key, time.Duration(r.Seconds)*time.Second, time.Now())
	if err != nil {
		return client.AdminCertAnswer{}, &client.Error{Code: client.CodeMalformed, Text: err.Error()}
	}
	return client.AdminCertAnswer{Certificate: der, Authorities: authority.Certificates()}, nil
}

var errNoAuthority = &client.Error{Code: client.CodeRefused, Text: "this node does not hold the cluster's authority; ask another one"}

// record writes into the audit log what the node did of its own accord.
func (n *Node) record(what string, err error) {
	e := client.AuditEntry{Time: time.Now(), Node: n.cfg.Name, User: "gcrm", UID: -1, Via: "daemon", What: what, Result: "done"}
	if err != nil {
		e.Result, e.Error = "failed", err.Error()
	}
	n.trail.Record(e)
}

package node

import (
	"path/filepath"
	"time"

	"gcrm/cluster/api"
	"gcrm/cluster/client"
)

const auditFile = "audit.jsonl"

// startAPI opens the doors for programs: the socket.
func (n *Node) startAPI() error {
	log := n.log.With("room", "api")
	var err error
	if n.trail, err = api.OpenAuditLog(filepath.Join(n.cfg.StateDir, auditFile), log); err != nil {
		return err
	}
	n.api, err = api.Listen(api.Config{Socket: n.cfg.Socket, Node: n.cfg.Name, Backend: (*backend)(n), Audit: n.trail, Log: log})
	return err
}

// record writes into the audit log what the node did of its own accord.
func (n *Node) record(what string, err error) {
	e := client.AuditEntry{Time: time.Now(), Node: n.cfg.Name, User: "gcrm", UID: -1, Via: "daemon", What: what, Result: "done"}
	if err != nil {
		e.Result, e.Error = "failed", err.Error()
	}
	n.trail.Record(e)
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// administrated is a memory that takes what administrators want.
type administrated struct {
	*memory
	done []string
}

func (a *administrated) Token(context.Context, time.Duration) (string, error) {
	a.done = append(a.done, "token")
	return "t", nil
}
func (a *administrated) AdminCert(_ context.Context, r client.AdminCertRequest) (client.AdminCertAnswer, error) {
	a.done = append(a.done, "certificate for "+r.User)
	return client.AdminCertAnswer{}, nil
}
func (a *administrated) Rotate(context.Context, bool) error {
	a.done = append(a.done, "rotate")
	return nil
}
func (a *administrated) Lockspaces(context.Context, string) (*client.LockspaceView, error) {
	return &client.LockspaceView{Node: "node1", Number: 1, Tag: "t"}, nil
}
func (a *administrated) Lockspace(_ context.Context, e client.LockspaceEntry) error {
	a.done = append(a.done, "lockspace "+string(e.Kind))
	return nil
}
func (a *administrated) Drill(_ context.Context, r client.DrillRequest) error {
	a.done = append(a.done, "drill "+r.Kind)
	return nil
}
func (a *administrated) RemoveNode(_ context.Context, name string) error {
	a.done = append(a.done, "remove "+name)
	return nil
}
func (a *administrated) ForceAlone(_ context.Context, peer, by, words string) error {
	a.done = append(a.done, "force "+peer)
	return nil
}
func (a *administrated) StopNode(context.Context) error { a.done = append(a.done, "stop"); return nil }
func (a *administrated) Fence(_ context.Context, node, action, by string) (string, error) {
	a.done = append(a.done, "fence "+node+" by "+by)
	return "seen", nil
}
func (a *administrated) ConfirmDown(_ context.Context, node, by string) error {
	a.done = append(a.done, "confirm "+node)
	return nil
}
func (a *administrated) Rehearse(context.Context, *cib.CIB) ([]client.Rehearsed, error) {
	return []client.Rehearsed{}, nil
}
func (a *administrated) SetSecret(_ context.Context, r client.SecretRequest) (*client.SecretAnswer, error) {
	a.done = append(a.done, "secret "+r.Resource)
	return &client.SecretAnswer{}, nil
}
func (a *administrated) Secret(_ context.Context, resource, parameter string) (*client.SecretAnswer, error) {
	a.done = append(a.done, "read secret "+resource)
	return &client.SecretAnswer{}, nil
}
func (a *administrated) Act(_ context.Context, r client.ActRequest) (*client.ActAnswer, error) {
	a.done = append(a.done, r.Action+" "+r.Resource)
	return &client.ActAnswer{}, nil
}
func (a *administrated) FencePlan(context.Context) (*client.FencePlan, error) {
	return &client.FencePlan{}, nil
}
func (a *administrated) FenceTest(_ context.Context, r client.FenceTestRequest, by string) (*client.FenceReport, error) {
	a.done = append(a.done, "test "+r.Node+" by "+by)
	return &client.FenceReport{}, nil
}
func (a *administrated) Fencings(context.Context) ([]client.FenceEntry, error) {
	return []client.FenceEntry{{Target: "n1"}, {Target: "n2"}}, nil
}

const guarded = `<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="5" num_updates="0"><configuration>
<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="o-acl" name="enable-acl" value="true"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="a" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="a-m"><nvpair id="a-tr" name="target-role" value="Started"/></meta_attributes><instance_attributes id="a-i"><nvpair id="a-p" name="passwd" value="secret"/></instance_attributes></primitive></resources><constraints/>
<acls>
<acl_role id="monitor"><acl_permission id="m1" kind="read" xpath="/cib"/></acl_role>
<acl_role id="blind"><acl_permission id="b1" kind="deny" xpath="//nvpair[@name='passwd']"/></acl_role>
<acl_role id="operator"><acl_permission id="op1" kind="write" xpath="//nvpair[@name='target-role']"/><acl_permission id="op2" kind="write" xpath="/cib/status//lrm_resource[@id='a']"/></acl_role>
<acl_role id="keeper"><acl_permission id="k1" kind="write" xpath="/cib/configuration/nodes/node[@uname='n2']"/><acl_permission id="k2" kind="write" xpath="/cib/status/node_state[@uname='n2']"/></acl_role>
<acl_role id="all"><acl_permission id="a1" kind="write" xpath="/cib"/></acl_role>
<acl_target id="mona"><role id="monitor"/></acl_target>
<acl_target id="oper"><role id="monitor"/><role id="blind"/><role id="operator"/></acl_target>
<acl_target id="keep"><role id="monitor"/><role id="keeper"/></acl_target>
<acl_target id="anna"><role id="all"/></acl_target>
</acls></configuration><status><node_state id="1" uname="n1"><lrm id="1"><lrm_resources><lrm_resource id="a" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="a_last_0"/></lrm_resource><lrm_resource id="z" class="ocf" provider="pacemaker" type="Dummy"/></lrm_resources></lrm></node_state><node_state id="2" uname="n2"/></status></cib>`

// guardedServer is an API whose CIB has access lists.
func guardedServer(t *testing.T) (*Server, *administrated) {
	t.Helper()
	m := newMemory()
	doc, err := cib.Parse(guarded)
	if err != nil {
		t.Fatal(err)
	}
	m.doc = doc
	b := &administrated{memory: m}
	trail, err := OpenAuditLog(filepath.Join(t.TempDir(), "audit"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trail.Close() })
	return &Server{node: "n1", backend: b, trail: trail, log: slog.New(slog.DiscardHandler)}, b
}

// as makes a request as a user.
func as(t *testing.T, s *Server, user, method, path string, body any) (int, string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	id := Identity{UID: 12345, User: user, Via: "socket", From: "process 1"}
	if user == "root" {
		id.UID = 0
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, bytes.NewReader(b))
	s.Handler().ServeHTTP(w, r.WithContext(context.WithValue(t.Context(), identityKey{}, id)))
	return w.Code, w.Body.String()
}

func TestAccessListsHold(t *testing.T) {
	conf := func(from, to string) func(t *testing.T, s *Server, b *administrated, user string) client.ApplyRequest {
		return func(t *testing.T, s *Server, b *administrated, user string) client.ApplyRequest {
			// The user edits what he sees.
			_, text := as(t, s, user, "GET", client.PathCIB, nil)
			doc, err := cib.Parse(text)
			if err != nil {
				return client.ApplyRequest{Request: "1"}
			}
			xml := doc.Configuration().String()
			changed := strings.Replace(xml, from, to, 1)
			return client.ApplyRequest{Request: "1", Change: cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: changed}}}
		}
	}
	state := func(edits ...cib.StatusEdit) func(t *testing.T, s *Server, b *administrated, user string) client.ApplyRequest {
		return func(*testing.T, *Server, *administrated, string) client.ApplyRequest {
			return client.ApplyRequest{Request: "1", Change: cib.Change{Status: &cib.StatusChange{Edits: edits}}}
		}
	}
	stop := conf(`name="target-role" value="Started"`, `name="target-role" value="Stopped"`)
	standby := conf(`<node id="2" uname="n2"/>`, `<node id="2" uname="n2"><instance_attributes id="nodes-2"><nvpair id="nodes-2-standby" name="standby" value="on"/></instance_attributes></node>`)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, s *Server, b *administrated, user string) client.ApplyRequest
		may    string // users, of mona oper keep anna eve root
	}{
		{"stop a resource", stop, "oper anna root"},
		{"node standby", standby, "keep anna root"},
		{"delete a resource", conf(`<resources>`, `<tags><tag id="t"><obj_ref id="a"/></tag></tags><resources>`), "anna root"},
		{"change the access lists", conf(`<acl_permission id="m1" kind="read"`, `<acl_permission id="m1" kind="write"`), "anna root"},
		{"cleanup", state(cib.StatusEdit{Forget: &cib.ForgetEdit{Node: "1", Resource: "a"}}), "oper anna root"},
		{"cleanup of another one", state(cib.StatusEdit{Forget: &cib.ForgetEdit{Node: "1", Resource: "z"}}), "anna root"},
		{"an attribute of a node", state(cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: "2", Name: "x", Value: "1"}}), "keep anna root"},
		{"a ticket", state(cib.StatusEdit{Ticket: &cib.TicketEdit{ID: "t", Attributes: []cib.Attr{{Name: "granted", Value: "true"}}}}), "anna root"},
	} {
		for _, user := range strings.Fields("mona oper keep anna eve root") {
			s, b := guardedServer(t)
			before := b.doc
			code, text := as(t, s, user, "POST", client.PathApply, tt.change(t, s, b, user))
			may := strings.Contains(" "+tt.may+" ", " "+user+" ")
			if may != (code == 200) || !may && user != "eve" && code != 403 {
				t.Errorf("%s by %s: %d %s", tt.name, user, code, text)
			}
			if !may && b.doc != before {
				t.Errorf("%s by %s was refused, and done", tt.name, user)
			}
			if may && !strings.Contains(b.doc.String(), "secret") {
				t.Errorf("%s by %s: what the user does not see is gone", tt.name, user)
			}
		}
	}
	for _, tt := range []struct {
		method, path string
		body         any
		may          string
	}{
		{"GET", client.PathCIB, nil, "mona oper keep anna root"},
		{"GET", client.PathInfo, nil, "mona oper keep anna eve root"},
		{"GET", PathMetrics, nil, "mona keep anna root"},
		{"GET", client.PathAudit, nil, "anna root"},
		{"POST", client.PathTokens, client.TokenRequest{Seconds: 5}, "anna root"},
		{"POST", client.PathAdminCert, client.AdminCertRequest{User: "anna"}, "anna root"},
		{"POST", client.PathAdminCert, client.AdminCertRequest{User: "root"}, "root"},
		{"POST", client.PathRotate, client.RotateRequest{}, "anna root"},
		{"POST", client.PathDrill, client.DrillRequest{Node: "n2", Kind: "kill"}, "anna root"},
		{"POST", client.PathStop, struct{}{}, "anna root"},
		{"GET", client.PathLockspaces, nil, "mona keep anna root"},
		{"POST", client.PathLockspaces, client.LockspaceEntry{Kind: "failed"}, "anna root"},
		{"POST", client.PathForce, client.ForceRequest{Peer: "n2"}, "anna root"},
		{"DELETE", client.PathMembers + "?name=n2", nil, "anna root"},
		{"POST", client.PathFencing, client.FenceRequest{Node: "n2", Action: "off"}, "keep anna root"},
		{"POST", client.PathFencing, client.FenceRequest{Node: "n1", Action: "off"}, "anna root"},
		{"POST", client.PathFenceTest, client.FenceTestRequest{Node: "n2", Really: true}, "keep anna root"},
		{"POST", client.PathFenceTest, client.FenceTestRequest{Node: "n1"}, "anna root"},
		{"GET", client.PathFencePlan, nil, "mona keep anna root"},
		{"POST", client.PathConfirm, client.FenceRequest{Node: "n2"}, "keep anna root"},
		{"POST", client.PathTrial, client.VerdictRequest{Version: "0.5.0"}, "anna root"},
	} {
		for _, user := range strings.Fields("mona oper keep anna eve root") {
			s, b := guardedServer(t)
			code, text := as(t, s, user, tt.method, tt.path, tt.body)
			may := strings.Contains(" "+tt.may+" ", " "+user+" ")
			if may && code != 200 || !may && code != 403 {
				t.Errorf("%s %s by %s: %d %s", tt.method, tt.path, user, code, text)
			}
			if !may && len(b.done) > 0 {
				t.Errorf("%s %s by %s was refused, and done", tt.method, tt.path, user)
			}
		}
	}
	s, _ := guardedServer(t)
	if _, text := as(t, s, "oper", "GET", client.PathCIB, nil); strings.Contains(text, "secret") || !strings.Contains(text, "target-role") {
		t.Errorf("oper sees %s", text)
	}
}

func TestAuditLog(t *testing.T) {
	s, b := guardedServer(t)
	as(t, s, "keep", "POST", client.PathFencing, client.FenceRequest{Node: "n2", Action: "off"})
	as(t, s, "mona", "POST", client.PathStop, struct{}{})
	as(t, s, "mona", "GET", client.PathCIB, nil)
	conf := strings.Replace(b.doc.Configuration().String(), `value="Started"`, `value="Stopped"`, 1)
	as(t, s, "anna", "POST", client.PathApply, client.ApplyRequest{Request: "7", Change: cib.Change{Origin: cib.Origin{User: "somebody else", Message: "night"},
		Configuration: &cib.ConfigurationChange{Base: b.doc.Version(), XML: conf}}})
	code, text := as(t, s, "root", "GET", client.PathAudit+"?last=10", nil)
	var got []client.AuditEntry
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	want := []struct{ user, what, result string }{
		{"keep", "fence n2 (off)", "done"},
		{"mona", "stop node n1", "failed"},
		{"anna", "commit of version 0.6: changed a (night)", "done"},
	}
	if len(got) != len(want) {
		t.Fatalf("entries: %s", text)
	}
	for i, w := range want {
		e := got[i]
		if e.User != w.user || e.Result != w.result || e.Node != "n1" || e.Via != "socket" || e.UID != 12345 || e.Time.IsZero() {
			t.Errorf("entry %d: %+v", i, e)
		}
		if w.result == "done" && e.What != w.what || w.result == "failed" && e.Error == "" {
			t.Errorf("entry %d: %+v, want %q", i, e, w.what)
		}
	}
	if b.origin.User != "anna" {
		t.Errorf("the history says that %s did it", b.origin.User)
	}
}

// The audit log takes bounded space, and a torn line does no harm.
func TestAuditLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	a, err := OpenAuditLog(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.limit, a.files = 1000, 2
	for i := range 100 {
		a.Record(client.AuditEntry{What: strings.Repeat("x", 50), Milliseconds: int64(i)})
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"What":"torn` + "\n")
	f.Close()
	names, err := filepath.Glob(path + "*")
	if err != nil || len(names) != 3 {
		t.Fatalf("files: %v, %v", names, err)
	}
	for _, name := range names {
		if st, err := os.Stat(name); err != nil || st.Size() > 1100 || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if a, err = OpenAuditLog(path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	last, err := a.Last(5)
	if err != nil || len(last) != 5 || last[4].Milliseconds != 99 || last[0].Milliseconds != 95 {
		t.Errorf("last: %+v, %v", last, err)
	}
}

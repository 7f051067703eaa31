package redfish

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// board is a faithful fake: systems whose power changes after a while, basic
// authentication or sessions.
type board struct {
	mu       sync.Mutex
	systems  []string
	power    map[string]string
	delay    time.Duration
	sessions bool
	open     int // sessions
	stuck    bool
	rubbish  bool
}

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	answer := func(v any) { json.NewEncoder(w).Encode(v) }
	if b.rubbish {
		fmt.Fprint(w, "<html>welcome</html>")
		return
	}
	if r.URL.Path == "/redfish/v1" { // open to all, as the specification has it
		root := map[string]any{"Systems": map[string]string{"@odata.id": "/redfish/v1/Systems"}}
		if b.sessions {
			root["Links"] = map[string]any{"Sessions": map[string]string{"@odata.id": "/redfish/v1/SessionService/Sessions"}}
		}
		answer(root)
		return
	}
	if b.sessions && r.URL.Path == "/redfish/v1/SessionService/Sessions" && r.Method == http.MethodPost {
		var login struct{ UserName, Password string }
		json.NewDecoder(r.Body).Decode(&login)
		if login.UserName != "admin" || login.Password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b.open++
		w.Header().Set("X-Auth-Token", "token1")
		w.Header().Set("Location", "/redfish/v1/SessionService/Sessions/1")
		w.WriteHeader(http.StatusCreated)
		return
	}
	user, password, _ := r.BasicAuth()
	if !(b.open > 0 && r.Header.Get("X-Auth-Token") == "token1") && (b.sessions || user != "admin" || password != "secret") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch name, _ := strings.CutPrefix(r.URL.Path, "/redfish/v1/Systems/"); {
	case r.URL.Path == "/redfish/v1/SessionService/Sessions/1" && r.Method == http.MethodDelete:
		b.open--
	case r.URL.Path == "/redfish/v1/Systems":
		var members []map[string]string
		for _, s := range b.systems {
			members = append(members, map[string]string{"@odata.id": "/redfish/v1/Systems/" + s})
		}
		answer(map[string]any{"Members": members})
	case strings.HasSuffix(name, "/reset"):
		name = strings.TrimSuffix(name, "/reset")
		var body struct{ ResetType string }
		if json.NewDecoder(r.Body).Decode(&body) != nil || b.power[name] == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		if b.stuck {
			return
		}
		to := map[string]string{"On": "On", "ForceOff": "Off"}[body.ResetType]
		if to == "Off" {
			b.power[name] = "PoweringOff"
		}
		time.AfterFunc(b.delay, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.power[name] = to
		})
	case b.power[name] != "":
		answer(map[string]any{"PowerState": b.power[name], "Actions": map[string]any{"#ComputerSystem.Reset": map[string]any{
			"target": "/redfish/v1/Systems/" + name + "/reset", "ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "ForceRestart"}}}})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func start(t *testing.T, b *board) (*httptest.Server, map[string]string) {
	t.Helper()
	b.power = map[string]string{}
	for _, s := range b.systems {
		b.power[s] = "On"
	}
	srv := httptest.NewTLSServer(b)
	t.Cleanup(srv.Close)
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	return srv, map[string]string{"ip": host, "ipport": port, "username": "admin", "password": "secret", "ssl_insecure": "1",
		"stonith_status_sleep": "50ms", "power_timeout": "20", "shell_timeout": "10"}
}

func do(t *testing.T, params map[string]string, action string, more ...string) fencing.Outcome {
	p := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return New().Do(t.Context(), fencing.Call{Device: "bmc", Action: action, Target: "n1", Plug: "n1", Params: p})
}

func TestPower(t *testing.T) {
	for _, sessions := range []bool{false, true} {
		b := &board{systems: []string{"1"}, delay: 200 * time.Millisecond, sessions: sessions}
		_, params := start(t, b)
		for _, s := range []struct {
			action string
			power  fencing.Power
		}{{fencing.Monitor, 0}, {fencing.Status, fencing.PowerOn}, {fencing.Off, fencing.PowerOff}, {fencing.Status, fencing.PowerOff}, {fencing.Off, fencing.PowerOff},
			{fencing.On, fencing.PowerOn}, {fencing.Reboot, fencing.PowerOff}, {fencing.Status, fencing.PowerOn}} {
			if o := do(t, params, s.action); o.Code != fencing.Succeeded || o.Power != s.power {
				t.Fatalf("sessions=%v %s: %+v", sessions, s.action, o)
			}
		}
		if !sessions { // which the program does not know
			methodtest.Program(t, "fence_redfish", "", map[string]string{"ip": params["ip"], "ipport": params["ipport"], "username": "admin", "password": "secret",
				"ssl_insecure": "1", "systems_uri": "/redfish/v1/Systems/1"})
		}
		if b.open != 0 {
			t.Errorf("%d sessions were left open", b.open)
		}
		if o := do(t, params, fencing.Off, "password", "guess42"); o.Code != fencing.Failed || !strings.Contains(o.Hint, "password") || strings.Contains(o.Text, "guess42") {
			t.Errorf("wrong password: %+v", o)
		}
		b.stuck = true
		if o := do(t, params, fencing.Off, "power_timeout", "1"); o.Code != fencing.Failed || !strings.Contains(o.Text, "is on") {
			t.Errorf("a board that does nothing: %+v", o)
		}
		b.rubbish = true
		if o := do(t, params, fencing.Off); o.Code != fencing.Failed || !strings.Contains(o.Text, "no JSON") {
			t.Errorf("rubbish: %+v", o)
		}
	}
}

func TestSeveralSystems(t *testing.T) {
	b := &board{systems: []string{"a", "b"}}
	srv, params := start(t, b)
	if o := do(t, params, fencing.Off); o.Code != fencing.Failed || !strings.Contains(o.Hint, "systems_uri") {
		t.Errorf("no system chosen: %+v", o)
	}
	if o := do(t, params, fencing.Off, "systems_uri", "/redfish/v1/Systems/b"); o.Code != fencing.Succeeded || b.power["a"] != "On" || b.power["b"] != "Off" {
		t.Errorf("outcome %+v, power %v", o, b.power)
	}
	if o := do(t, params, fencing.Off, "systems_uri", "/redfish/v1/Systems/c"); o.Code != fencing.Failed || !strings.Contains(o.Hint, "systems_uri") {
		t.Errorf("wrong system: %+v", o)
	}
	if o := do(t, params, fencing.Status, "ssl_insecure", "0"); o.Code != fencing.Failed || !strings.Contains(o.Hint, "ssl_insecure") {
		t.Errorf("unknown certificate: %+v", o)
	}
	srv.Close()
	if o := do(t, params, fencing.Status); o.Code != fencing.Failed || !strings.Contains(o.Hint, "power") {
		t.Errorf("gone: %+v", o)
	}
}

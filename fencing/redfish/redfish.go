// Package redfish is fence_redfish: management boards over HTTPS (DMTF
// Redfish), with a session of its own where the board has that.
package redfish

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"gcrm/fencing"
)

// Method is fence_redfish.
type Method struct{ fencing.Description }

// New returns the method.
func New() *Method {
	return &Method{fencing.Description{Name: "fence_redfish", Short: "management boards over Redfish",
		Long:    "Switches a server by its management board. Boards that know several systems need systems_uri.",
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, "diag"},
		Params: fencing.WithPower(fencing.WithLogin("443",
			fencing.Param{Name: "redfish_uri", Obsoletes: "redfish-uri", Default: "/redfish/v1", Short: "root of the service"},
			fencing.Param{Name: "systems_uri", Obsoletes: "systems-uri", Short: "the system to switch"},
			fencing.Param{Name: "ssl", Type: "boolean", Default: "1", Short: "use TLS"},
			fencing.Param{Name: "ssl_insecure", Type: "boolean", Default: "0", Short: "take any certificate"},
			fencing.Param{Name: "shell_timeout", Type: "second", Default: "10", Short: "how long one answer may take"},
			fencing.Param{Name: "plug", Obsoletes: "port", Short: "node; with port_as_ip the address of the board"},
			fencing.Param{Name: "port_as_ip", Type: "boolean", Default: "0", Short: "take plug for the address, instead of ip"},
		)...)}}
}

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	s, err := open(ctx, c)
	if err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	defer s.close()
	switch c.Action {
	case fencing.Monitor:
		_, err := s.Power(ctx)
		return fencing.OutcomeOf(ctx, err)
	case "diag":
		return fencing.OutcomeOf(ctx, s.reset(ctx, "Nmi"))
	}
	return fencing.Operate(ctx, c, s)
}

// service is one call's view of a board.
type service struct {
	http     *http.Client
	base     string
	login    fencing.Login
	token    string
	session  string // its address, for the end
	system   string
	insecure bool
}

// answerLimit bounds what a board may send.
const answerLimit = 4 << 20

type link struct {
	ID string `json:"@odata.id"`
}

func open(ctx context.Context, c fencing.Call) (*service, error) {
	yes := func(v string) bool { return v == "1" || v == "yes" || v == "true" || v == "on" }
	scheme, port := "https", "443"
	if !yes(c.Param("ssl", "1")) {
		scheme, port = "http", "80"
	}
	login, err := c.Login(port)
	if err != nil {
		return nil, err
	}
	s := &service{login: login, base: scheme + "://" + net.JoinHostPort(login.Host, login.Port), insecure: yes(c.Param("ssl_insecure", "0"))}
	s.http = &http.Client{Timeout: c.Duration(10*time.Second, "shell_timeout"),
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: s.insecure}, DisableKeepAlives: false, Proxy: nil},
		// Passwords go to the board that is configured, and to no other.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Host != via[0].URL.Host || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		}}
	root := c.Param("redfish_uri", "redfish-uri", "/redfish/v1")
	var service struct {
		Systems link
		Links   struct{ Sessions link }
	}
	if err := s.get(ctx, root, &service); err != nil {
		return nil, err
	}
	s.logIn(ctx, service.Links.Sessions.ID)
	if s.system = c.Param("systems_uri", "systems-uri", ""); s.system == "" {
		if s.system, err = s.onlySystem(ctx, service.Systems.ID); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// onlySystem finds the system of a board that has one.
func (s *service) onlySystem(ctx context.Context, collection string) (string, error) {
	if collection == "" {
		return "", &fencing.Error{Op: "ask", On: s.login.Host, Err: errors.New("the board tells of no systems"), Hint: "check redfish_uri"}
	}
	var systems struct{ Members []link }
	if err := s.get(ctx, collection, &systems); err != nil {
		return "", err
	}
	if len(systems.Members) != 1 {
		var ids []string
		for _, m := range systems.Members {
			ids = append(ids, m.ID)
		}
		return "", &fencing.Error{Op: "configure", On: s.login.Host, Err: fmt.Errorf("the board has %d systems: %s", len(ids), strings.Join(ids, ", ")),
			Hint: "set systems_uri to the right one"}
	}
	return systems.Members[0].ID, nil
}

// logIn begins a session, if the board has sessions; else each request carries
// user and password.
func (s *service) logIn(ctx context.Context, sessions string) {
	if sessions == "" || s.login.User == "" {
		return
	}
	body, _ := json.Marshal(map[string]string{"UserName": s.login.User, "Password": s.login.Password})
	r, err := s.do(ctx, http.MethodPost, sessions, body)
	if err != nil {
		return
	}
	defer r.Body.Close()
	io.Copy(io.Discard, io.LimitReader(r.Body, answerLimit))
	if r.StatusCode/100 == 2 {
		s.token, s.session = r.Header.Get("X-Auth-Token"), r.Header.Get("Location")
		if i := strings.Index(s.session, "://"); i > 0 {
			if j := strings.IndexByte(s.session[i+3:], '/'); j >= 0 {
				s.session = s.session[i+3+j:]
			}
		}
	}
}

// close ends the session; boards have few.
func (s *service) close() {
	if s.token != "" && strings.HasPrefix(s.session, "/") {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if r, err := s.do(ctx, http.MethodDelete, s.session, nil); err == nil {
			r.Body.Close()
		}
	}
	s.http.CloseIdleConnections()
}

func (s *service) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, &fencing.Error{Op: "configure", On: s.login.Host, Err: fmt.Errorf("%q is no path on the board", path), Hint: "let redfish_uri and systems_uri begin with /"}
	}
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("OData-Version", "4.0")
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		r.Header.Set("X-Auth-Token", s.token)
	} else if s.login.User != "" {
		r.SetBasicAuth(s.login.User, s.login.Password)
	}
	return s.http.Do(r)
}

// ask does a request whose answer must be a success.
func (s *service) ask(ctx context.Context, method, path string, body []byte, into any) error {
	fail := func(err error, hint string) error {
		return &fencing.Error{Op: "ask", On: s.login.Host, Err: err, Hint: hint}
	}
	r, err := s.do(ctx, method, path, body)
	if err != nil {
		var unknown *tls.CertificateVerificationError
		if errors.As(err, &unknown) {
			return fail(err, "install the certificate of the board's authority, or set ssl_insecure=1")
		}
		return fail(err, "check that the board has power and is reached from this node")
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, answerLimit))
	switch {
	case err != nil:
		return fail(err, "check that the board has power and is reached from this node")
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		return fail(fmt.Errorf("%s %s: %s", method, path, r.Status), "check username and password, and the role of the user")
	case r.StatusCode == http.StatusNotFound:
		return fail(fmt.Errorf("%s %s: %s", method, path, r.Status), "check redfish_uri and systems_uri")
	case r.StatusCode/100 != 2:
		return fail(fmt.Errorf("%s %s: %s", method, path, r.Status), "see the board's own log, or restart the board")
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fail(fmt.Errorf("%s answers with something that is no JSON: %w", path, err), "is it a Redfish service?")
	}
	return nil
}

func (s *service) get(ctx context.Context, path string, into any) error {
	return s.ask(ctx, http.MethodGet, path, nil, into)
}

// system is what is read of a system.
type system struct {
	PowerState string
	Actions    struct {
		Reset struct {
			Target string   `json:"target"`
			Types  []string `json:"ResetType@Redfish.AllowableValues"`
		} `json:"#ComputerSystem.Reset"`
	}
}

// Power implements [fencing.Outlet]. A system that is about to be switched off
// is still on.
func (s *service) Power(ctx context.Context) (fencing.Power, error) {
	var sys system
	switch err := s.get(ctx, s.system, &sys); {
	case err != nil:
		return fencing.PowerUnknown, err
	case sys.PowerState == "":
		return fencing.PowerUnknown, &fencing.Error{Op: "read the power of", On: s.system, Err: errors.New("the board does not tell"), Hint: "check systems_uri"}
	case sys.PowerState == "Off":
		return fencing.PowerOff, nil
	}
	return fencing.PowerOn, nil
}

// Switch implements [fencing.Outlet].
func (s *service) Switch(ctx context.Context, on bool) error {
	if on {
		return s.reset(ctx, "On")
	}
	return s.reset(ctx, "ForceOff")
}

func (s *service) reset(ctx context.Context, kind string) error {
	var sys system
	if err := s.get(ctx, s.system, &sys); err != nil {
		return err
	}
	r := sys.Actions.Reset
	if r.Target == "" {
		return &fencing.Error{Op: "switch", On: s.system, Err: errors.New("the system cannot be switched"), Hint: "check systems_uri and the role of the user"}
	}
	if len(r.Types) > 0 && !slices.Contains(r.Types, kind) {
		return &fencing.Error{Op: "switch", On: s.system, Err: fmt.Errorf("the board cannot do %s (it can %s)", kind, strings.Join(r.Types, ", "))}
	}
	body, _ := json.Marshal(map[string]string{"ResetType": kind})
	return s.ask(ctx, http.MethodPost, r.Target, body, nil)
}

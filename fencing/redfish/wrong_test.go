package redfish

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestRedfishGoesWrong: no counterpart is to be had in Debian, so that a fake
// written from the specification has to do.
func TestRedfishGoesWrong(t *testing.T) {
	ready := func(t *testing.T) (*board, *httptest.Server, map[string]string) {
		b := &board{systems: []string{"1"}, sessions: true}
		srv, params := start(t, b)
		return b, srv, params
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Text: "401", Hint: "username and password", Do: func(t *testing.T) fencing.Outcome {
			_, _, params := ready(t)
			return do(t, params, fencing.Off, "password", "guess42")
		}},
		methodtest.Timeout: {Hint: "has power", Do: func(t *testing.T) fencing.Outcome {
			_, srv, params := ready(t)
			release := make(chan struct{})
			srv.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
			defer close(release)
			return do(t, params, fencing.Off, "shell_timeout", "300ms")
		}},
		methodtest.Garbage: {Text: "no JSON", Hint: "Redfish", Do: func(t *testing.T) fencing.Outcome {
			b, _, params := ready(t)
			b.rubbish = true
			return do(t, params, fencing.Off)
		}},
		methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome {
			b, srv, params := ready(t)
			b.power["1"] = "Off"
			handler := srv.Config.Handler
			srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/reset") {
					t.Error("a system that is off was switched")
				}
				handler.ServeHTTP(w, r)
			})
			return do(t, params, fencing.Off)
		}},
		methodtest.GoneMidway: {Text: "cannot be read", Hint: "has power", Do: func(t *testing.T) fencing.Outcome {
			b, srv, params := ready(t)
			b.delay = time.Hour
			handler := srv.Config.Handler
			gone := false
			srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if gone {
					panic(http.ErrAbortHandler)
				}
				gone = strings.HasSuffix(r.URL.Path, "/reset")
				handler.ServeHTTP(w, r)
			})
			return do(t, params, fencing.Off, "power_timeout", "1")
		}},
	}, "guess42", "secret")
}

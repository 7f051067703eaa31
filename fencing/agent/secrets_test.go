package agent

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/cib"
	"gcrm/fencing"
)

// blabber is an agent that tells its password wherever it can, and keeps what
// others could see of it while it ran.
const blabber = `#!/bin/sh
while read -r line; do case $line in action=*) action=${line#*=};; passwd=*) passwd=${line#*=};; esac; done
case $action in metadata) echo '<?xml version="1.0"?><resource-agent name="x"><shortdesc/><parameters><parameter name="plug"><content type="string"/></parameter><parameter name="passwd"><content type="string"/></parameter><parameter name="passwd_script"><content type="string"/></parameter></parameters><actions><action name="off"/><action name="status"/><action name="monitor"/><action name="list"/></actions></resource-agent>'; exit 0;; esac
tr '\0' '\n' </proc/$$/cmdline >>%[1]s/seen; tr '\0' '\n' </proc/$$/environ >>%[1]s/seen
[ "$passwd" = "$(cat %[1]s/secret)" ] && echo right >>%[1]s/right
echo "login with password $passwd was refused" >&2; echo "$passwd"
exit 3
`

// TestSecretsStayHidden: a password from the configuration, from a program or
// from the credentials folder reaches the agent by its standard input alone. It
// is in no log, no error, no history and no report.
func TestSecretsStayHidden(t *testing.T) {
	const secret = "tr0ub4dor-3"
	for name, param := range map[string]string{"configured": "passwd=" + secret, "program": "passwd_script=cat DIR/secret", "credentials": "", "kept": "passwd=lrm://"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name == "credentials" {
				t.Setenv("CREDENTIALS_DIRECTORY", dir)
				if err := os.WriteFile(filepath.Join(dir, "f.passwd"), []byte(secret+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for file, text := range map[string]string{"secret": secret, "fence_blab": fmt.Sprintf(blabber, dir)} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			doc, err := cib.Parse(`<cib><configuration><crm_config/><nodes><node id="1" uname="n1"/><node id="2" uname="here"/></nodes><resources/><constraints/></configuration><status/></cib>`)
			if err != nil {
				t.Fatal(err)
			}
			params := cib.NewElement("instance_attributes", "id", "f-p")
			for _, p := range []string{"pcmk_host_list=n1", "pcmk_off_retries=1", strings.ReplaceAll(param, "DIR", dir)} {
				if k, v, ok := strings.Cut(p, "="); ok {
					params.Add(cib.NewElement("nvpair", "id", "f-"+k, "name", k, "value", v))
				}
			}
			doc.Section("resources").Add(cib.NewElement("primitive", "id", "f", "class", "stonith", "type", "fence_blab").Add(params))
			var log strings.Builder
			f := Finder{Dirs: []string{dir}}
			r := fencing.NewRunner(fencing.RunnerConfig{Self: "here", Registry: fencing.NewRegistry(nil, f.Find, f.Names),
				Secrets: func(device string, params map[string]string) (map[string]string, error) {
					if params["passwd"] == "lrm://" && device == "f" {
						params = maps.Clone(params)
						params["passwd"] = secret
					}
					return params, nil
				},
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			r.Configure(doc, fencing.Sources{})
			r.Members(fencing.Members{Nodes: []string{"here"}, Quorate: true})
			res, failure := r.Fence(t.Context(), fencing.Request{Target: "n1", Action: fencing.Off})
			if failure == nil {
				t.Fatal("the agent refused, and still")
			}
			checks, _ := r.Rehearse(t.Context(), "n1")
			asked := r.Ask(t.Context(), "f", 10e9)
			history := r.History()
			r.Close()
			if _, err := os.Stat(filepath.Join(dir, "right")); err != nil {
				t.Errorf("the password did not arrive: %v", err)
			}
			seen, err := os.ReadFile(filepath.Join(dir, "seen"))
			if err != nil || len(seen) == 0 {
				t.Fatalf("nothing was seen of the agent: %v", err)
			}
			for where, text := range map[string]string{"log": log.String(), "result": fmt.Sprintf("%+v %v", res, failure), "checks": fmt.Sprintf("%+v", checks),
				"monitor": fmt.Sprintf("%+v", asked), "history": fmt.Sprintf("%+v", history), "arguments and environment": string(seen)} {
				if strings.Contains(text, secret) {
					t.Errorf("the password is in the %s: %s", where, text)
				}
			}
			if !strings.Contains(asked.Text, "******") || asked.Hint == "" {
				t.Errorf("the error lost more than the password: %+v", asked)
			}
		})
	}
}

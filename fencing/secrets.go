package fencing

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// completeSecrets adds passwords that the configuration does not hold itself:
// passwd and
// the like come from the programs passwd_script and the like, and any secret parameter of the
// agent from the file DEVICE.PARAMETER in the credentials folder that systemd
// gave the daemon.
func completeSecrets(ctx context.Context, d *Device, params map[string]string) error {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && d.Meta != nil {
		for _, p := range d.Meta.Params {
			if _, given := params[p.Name]; given || !Secret(p.Name) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, d.ID+"."+p.Name))
			if err == nil {
				params[p.Name] = strings.TrimRight(string(text), "\r\n")
			} else if !os.IsNotExist(err) {
				return fmt.Errorf("the credential %s.%s: %w", d.ID, p.Name, err)
			}
		}
	}
	for _, name := range []string{"passwd", "password", "snmp_priv_passwd"} {
		script := params[name+"_script"]
		if script == "" {
			continue
		}
		// Agents would prefer the script to the password, and run it again.
		delete(params, name+"_script")
		if params[name] != "" {
			continue
		}
		text, err := runScript(ctx, script)
		if err != nil {
			return fmt.Errorf("%s_script of %s: %w", name, d.ID, err)
		}
		params[name] = text
	}
	return nil
}

func runScript(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return "", err
	}
	return strings.TrimRight(out.String(), "\r\n"), nil
}

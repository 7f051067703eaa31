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
// passwd comes from the program passwd_script, and any secret parameter of the
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
	script := params["passwd_script"]
	if script == "" || params["passwd"] != "" {
		return nil
	}
	text, err := runScript(ctx, script)
	if err != nil {
		return fmt.Errorf("passwd_script of %s: %w", d.ID, err)
	}
	// Agents prefer the script to the password, and would run it again.
	delete(params, "passwd_script")
	params["passwd"] = text
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

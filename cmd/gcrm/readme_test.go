package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guest is a clean host: a network namespace with folders of its own, and a
// shell in it.
type guest struct {
	t     *testing.T
	name  string
	in    io.Writer
	lines chan string
}

const promptMark = "--- done "

// guests makes two hosts with a cable between them.
func guests(t *testing.T, names ...string) map[string]*guest {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := errFirst(os.Mkdir(bin, 0o755), os.WriteFile(filepath.Join(bin, "gcrm"), []byte("#!/bin/sh\n"+asProgram+"=1 exec "+self+" \"$@\"\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	all := map[string]*guest{}
	var spaces []string
	for _, name := range names {
		space := "gcrmreadme" + strconv.Itoa(os.Getpid()%100000) + name
		ip("netns", "add", space)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", space).Run() })
		ip("-n", space, "link", "set", "lo", "up")
		spaces = append(spaces, space)
	}
	ip("link", "add", "e0", "netns", spaces[0], "type", "veth", "peer", "name", "e0", "netns", spaces[1])
	for i, name := range names {
		ip("-n", spaces[i], "addr", "add", fmt.Sprintf("10.77.0.%d/24", i+1), "dev", "e0")
		ip("-n", spaces[i], "link", "set", "e0", "up")
		// Folders of its own: nothing of the real host is touched.
		cmd := exec.Command("ip", "netns", "exec", spaces[i], "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "GCRM_SOCKET=", "CIB_file=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Start(); err != nil {
			t.Skip(err)
		}
		w.Close()
		g := &guest{t: t, name: name, in: in, lines: make(chan string, 10000)}
		go func() {
			for s := bufio.NewScanner(out); s.Scan(); {
				g.lines <- s.Text()
			}
			close(g.lines)
		}()
		t.Cleanup(func() {
			in.Close()
			cmd.Process.Kill()
			cmd.Wait()
			out.Close()
		})
		if _, status := g.sh("hostname " + name + " && mount -t tmpfs none /var/lib && mount -t tmpfs none /run"); status != "0" {
			t.Skip("mounting is not allowed here")
		}
		all[name] = g
	}
	return all
}

// sh runs a line and returns what it prints, and its status.
func (g *guest) sh(line string) (out, status string) {
	g.t.Helper()
	// A line that ends with & is complete.
	fmt.Fprintf(g.in, "%s\necho '%s'$?\n", line, promptMark)
	limit := time.After(time.Minute)
	for {
		select {
		case l, ok := <-g.lines:
			if !ok {
				g.t.Fatalf("the shell of %s ended; %s", g.name, out)
			}
			if s, ok := strings.CutPrefix(l, promptMark); ok {
				return out, s
			}
			out += l + "\n"
		case <-limit:
			g.t.Fatalf("%s# %s\ndoes not end:\n%s", g.name, line, out)
		}
	}
}

// From two clean hosts to a cluster that runs a script, by the README's text
// alone, in under two minutes.
func TestReadmeTwoHosts(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "## Two real hosts")
	if !ok {
		t.Fatal("the README has no chapter about two hosts")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	hosts := guests(t, "alpha", "beta")
	begin := time.Now()
	token, commands := "", 0
	line := regexp.MustCompile(`(?m)^    (alpha|beta)#\s+(.*)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		host, command := hosts[m[1]], m[2]
		command, _, _ = strings.Cut(command, "  #")
		command = strings.TrimSpace(strings.ReplaceAll(command, "TOKEN", token))
		if strings.Contains(command, "service.crm") {
			host.sh("printf 'configure\\nproperty stonith-enabled=false\\nprimitive svc ocf:pacemaker:Dummy op monitor interval=10s timeout=20s\\n' > service.crm")
		}
		background := strings.HasSuffix(command, "&")
		if background {
			command = strings.TrimSuffix(command, "&") + ">" + host.name + ".log 2>&1 &"
		}
		out, status := host.sh(command)
		commands++
		t.Logf("%s# %s\n%s", host.name, command, out)
		if status != "0" {
			log, _ := host.sh("cat *.log")
			t.Fatalf("status %s\n%s", status, log)
		}
		if found := regexp.MustCompile(`gcrm1\.\S+`).FindString(out); found != "" {
			token = found
		}
		if background {
			time.Sleep(time.Second) // as long as anybody takes to type the next line
		}
	}
	if commands < 6 {
		t.Fatalf("only %d commands were found", commands)
	}
	for deadline := begin.Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		a, _ := hosts["alpha"].sh("gcrm status")
		b, _ := hosts["beta"].sh("gcrm status")
		if strings.Contains(a, "Online: [ alpha beta ]") && strings.Contains(b, "Started") && strings.Contains(a, "Started") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes:\n%s\n%s", a, b)
		}
	}
	t.Logf("from nothing to a running script on two hosts: %v", time.Since(begin))
}

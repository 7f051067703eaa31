package admin

import "strings"

// brain is a split brain: both nodes write alone, then they meet again.
type brain struct {
	name    string
	options string
	// before is who is Primary when the connection ends: kernel, gcrm or nobody.
	before string
	// kernel and gcrm are how many blocks each changes.
	kernel, gcrm int
	// primaries are those that still are when they meet: "", "kernel", "gcrm", "both".
	primaries string
	// survivor is whose data is on both at the end; empty when nobody decides.
	survivor string
}

// brains are all policies, with the verdict that the kernel comes to. The kernel that
// takes part is the judge: it computes its verdict by itself, and says so in its log.
// With call-pri-lost-after-sb a Primary that should give its data up is not demoted,
// since no role may change in the middle of a handshake: it runs the handler, which is
// expected to end the node, and drops the connection.
var brains = []brain{
	{"0pri-disconnect", "net { after-sb-0pri disconnect; }", "", 3, 4, "", ""},
	{"0pri-younger", "net { after-sb-0pri discard-younger-primary; }", "kernel", 3, 4, "", "kernel"},
	{"0pri-younger-gcrm", "net { after-sb-0pri discard-younger-primary; }", "gcrm", 4, 3, "", "gcrm"},
	{"0pri-older", "net { after-sb-0pri discard-older-primary; }", "kernel", 4, 3, "", "gcrm"},
	{"0pri-older-gcrm", "net { after-sb-0pri discard-older-primary; }", "gcrm", 3, 4, "", "kernel"},
	{"0pri-zero-changes", "net { after-sb-0pri discard-zero-changes; }", "", 0, 4, "", "gcrm"},
	{"0pri-zero-changes-gcrm", "net { after-sb-0pri discard-zero-changes; }", "", 4, 0, "", "kernel"},
	{"0pri-zero-changes-both", "net { after-sb-0pri discard-zero-changes; }", "", 4, 4, "", ""},
	{"0pri-least-changes", "net { after-sb-0pri discard-least-changes; }", "", 9, 4, "", "kernel"},
	{"0pri-least-changes-kernel", "net { after-sb-0pri discard-least-changes; }", "", 4, 9, "", "gcrm"},
	{"0pri-node", "net { after-sb-0pri discard-node-node1; }", "", 9, 4, "", "gcrm"},
	{"0pri-node-gcrm", "net { after-sb-0pri discard-node-host; }", "", 4, 9, "", "kernel"},
	{"1pri-disconnect", "net { after-sb-0pri discard-least-changes; after-sb-1pri disconnect; }", "", 4, 9, "gcrm", ""},
	{"1pri-consensus", "net { after-sb-0pri discard-least-changes; after-sb-1pri consensus; }", "", 4, 9, "gcrm", "gcrm"},
	{"1pri-consensus-kernel", "net { after-sb-0pri discard-least-changes; after-sb-1pri consensus; }", "", 9, 4, "kernel", "kernel"},
	{"1pri-no-consensus", "net { after-sb-0pri discard-least-changes; after-sb-1pri consensus; }", "", 9, 4, "gcrm", ""},
	{"1pri-discard-secondary", "net { after-sb-1pri discard-secondary; }", "", 4, 9, "kernel", "kernel"},
	{"1pri-discard-secondary-kernel", "net { after-sb-1pri discard-secondary; }", "", 9, 4, "gcrm", "gcrm"},
	{"1pri-violently", "net { after-sb-0pri discard-least-changes; after-sb-1pri violently-as0p; }", "", 9, 4, "kernel", "kernel"},
	{"1pri-violently-refused", "net { after-sb-0pri discard-least-changes; after-sb-1pri violently-as0p; }", "", 9, 4, "gcrm", ""},
	{"1pri-call", "net { after-sb-0pri discard-least-changes; after-sb-1pri call-pri-lost-after-sb; }", "", 9, 4, "gcrm", ""},
	{"1pri-call-kernel", "net { after-sb-0pri discard-least-changes; after-sb-1pri call-pri-lost-after-sb; }", "", 4, 9, "kernel", ""},
	{"2pri-disconnect", "net { allow-two-primaries yes; after-sb-0pri discard-least-changes; }", "", 4, 9, "both", ""},
	{"2pri-violently-refused", "net { allow-two-primaries yes; after-sb-0pri discard-least-changes; after-sb-2pri violently-as0p; }", "", 4, 9, "both", ""},
	{"2pri-call", "net { allow-two-primaries yes; after-sb-0pri discard-least-changes; after-sb-2pri call-pri-lost-after-sb; }", "", 9, 4, "both", ""},
	{"2pri-call-kernel", "net { allow-two-primaries yes; after-sb-0pri discard-least-changes; after-sb-2pri call-pri-lost-after-sb; }", "", 4, 9, "both", ""},
}

func (b brain) run(k *kernelSite) {
	const mine, theirs = 2000, 1000 // where each writes
	k.ready(b.options)
	k.kernel("drbdadm primary r0")
	k.writeKernel(theirs, 10, 1)
	k.writeKernel(mine, 10, 1)
	k.kernel("drbdadm secondary r0")
	switch b.before {
	case "kernel":
		k.kernel("drbdadm primary r0")
	case "gcrm":
		k.gcrm("primary", "r0")
	}
	k.gcrm("disconnect", "r0")
	k.untilKernel("cs:WFConnection")
	script := "drbdadm disconnect r0; drbdadm primary r0"
	k.kernel(script)
	if b.kernel > 0 {
		k.writeKernel(theirs, b.kernel, 2)
	}
	k.gcrm("primary", "r0")
	if b.gcrm > 0 {
		k.write(mine, b.gcrm, 3)
	}
	if b.primaries != "kernel" && b.primaries != "both" {
		k.kernel("drbdadm secondary r0")
	}
	if b.primaries != "gcrm" && b.primaries != "both" {
		k.gcrm("secondary", "r0")
	}
	k.kernel("dmesg -C; drbdadm connect r0")
	k.gcrm("connect", "r0")
	if b.survivor == "" {
		// Whoever sees it first drops the connection, sometimes before the other one
		// has compared anything.
		k.until("somebody stands alone", func() bool {
			return k.status().Connection == "StandAlone" || strings.Contains(k.kernel("cat /proc/drbd"), "cs:StandAlone")
		})
		k.t.Logf("gcrm %s; the kernel: %q", k.status().Connection, k.decided())
		if !k.holds(mine, 3) || k.holds(theirs, 2) {
			k.t.Error("data was exchanged in a split brain that nobody decided")
		}
		// The administrator gives gcrm's changes up. With both Secondary, a policy for
		// that may decide before.
		k.secondary()
		k.gcrm("disconnect", "--force", "r0")
		k.kernel("drbdadm disconnect r0; drbdadm connect r0")
		k.gcrm("connect", "--discard-my-data", "r0")
		k.same("by hand")
		if !strings.Contains(b.options, "discard-least-changes") && (k.holds(mine, 3) || !k.holds(theirs, 2)) {
			k.t.Error("not the kernel's data")
		}
		return
	}
	k.same(b.survivor + " survives")
	verdict := k.decided()
	want := "Sync from this node"
	if b.survivor == "gcrm" {
		want = "Sync from peer node"
	}
	if !strings.Contains(verdict, want) {
		k.t.Errorf("the kernel's verdict is %q, want %q", verdict, want)
	}
	if b.gcrm > 0 && k.holds(mine, 3) != (b.survivor == "gcrm") || b.kernel > 0 && k.holds(theirs, 2) != (b.survivor == "kernel") {
		k.t.Errorf("the data is not that of %s", b.survivor)
	}
}

// decided is what the kernel says of a split brain.
func (k *kernelSite) decided() string {
	k.t.Helper()
	return k.kernel("dmesg | grep -i 'split-brain' | tail -1 || true")
}

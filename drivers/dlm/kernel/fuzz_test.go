package kernel

import "testing"

// Uevents come from the kernel, of all of its parts.
func FuzzParseEvent(f *testing.F) {
	f.Add([]byte("online@/kernel/dlm/x\x00ACTION=online\x00SUBSYSTEM=dlm\x00LOCKSPACE=x\x00SEQNUM=1\x00"))
	f.Add([]byte("add@/devices/x\x00ACTION=add\x00SUBSYSTEM=block\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if e, ok := ParseEvent(in); ok && (e.Space == "" || len(e.Space) > len(in)) {
			t.Errorf("%+v", e)
		}
	})
}

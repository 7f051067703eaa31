package nbd

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNetlinkMessages reads back what is written, and what the kernel may answer.
func TestNetlinkMessages(t *testing.T) {
	a := attribute64(attribute32(nil, attrIndex, 7), attrSize, 1<<40)
	a = attribute(a, attrBackend, []byte("gcrm:r0\x00"))
	a = attribute(a, attrSockets|unix.NLA_F_NESTED, attribute(nil, attrSockItem|unix.NLA_F_NESTED, attribute32(nil, attrSockFD, 5)))
	if len(a)%4 != 0 {
		t.Errorf("%d bytes of attributes", len(a))
	}
	seen := map[uint16]int{}
	attributes(a, func(kind uint16, value []byte) { seen[kind] = len(value) })
	if seen[attrIndex] != 4 || seen[attrSize] != 8 || seen[attrBackend] != 8 || seen[attrSockets] != 12 {
		t.Errorf("attributes %v", seen)
	}
	answer := request(33, genlConnect, 9, attribute32(nil, attrIndex, 3))
	var index uint32
	take := func(attrs []byte) {
		attributes(attrs, func(kind uint16, value []byte) {
			if kind == attrIndex {
				index = native.Uint32(value)
			}
		})
	}
	if done, err := answers(answer, 9, take); done || err != nil || index != 3 {
		t.Errorf("an answer: done %v, %v, index %d", done, err, index)
	}
	end := func(code int32, sequence uint32) []byte {
		b := native.AppendUint32(nil, 36)
		b = native.AppendUint16(b, unix.NLMSG_ERROR)
		b = native.AppendUint16(b, 0)
		b = native.AppendUint32(b, sequence)
		b = native.AppendUint32(b, 0)
		b = native.AppendUint32(b, uint32(-code))
		return append(b, make([]byte, 16)...)
	}
	if done, err := answers(append(answer, end(0, 9)...), 9, take); !done || err != nil {
		t.Errorf("success: %v, %v", done, err)
	}
	if done, err := answers(end(int32(unix.EBUSY), 9), 9, take); !done || !errors.Is(err, unix.EBUSY) {
		t.Errorf("an error: %v, %v", done, err)
	}
	if done, _ := answers(end(0, 8), 9, take); done {
		t.Error("the end of another request was taken for ours")
	}
	// Whatever is cut off must not be read beyond its end.
	for n := range len(answer) {
		_, _ = answers(answer[:n], 9, take)
		attributes(a[:min(n, len(a))], func(uint16, []byte) {})
	}
}

// TestNoKernelClient says clearly that the driver is missing.
func TestNoKernelClient(t *testing.T) {
	if KernelClient() {
		t.Skip("SKIPPED: this kernel has an NBD driver; the test against the kernel's DRBD uses it in a machine of its own")
	}
	if _, err := (&Server{}).AttachKernel("gcrm:test", nil, 512); err == nil {
		t.Error("a device was made without a driver")
	}
	if path := FindKernel("gcrm:test"); path != "" {
		t.Errorf("found %s", path)
	}
	if err := DropKernel("gcrm:test"); err != nil {
		t.Error(err)
	}
}

// Package ticker is a virtual machine for tests of those who run some: it has no operating
// system, starts in no time even in an emulator that is emulated itself, counts, and so
// tells whether it went on or was started anew. Only tests import it.
package ticker

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// code is all that it runs. The first sector of its disk reads the second one, and then,
// at each tick of the BIOS (55 ms), adds one to the number there, one to a number that
// lives in memory only, and writes the sector with both and their exclusive or:
//
//	  xor   eax, eax
//	  mov   ds, ax
//	  mov   ss, ax
//	  mov   sp, 0x7c00
//	  sti
//	  mov   [0x7e00], eax
//	  mov   ah, 0x42
//	  call  disk
//	again:
//	  inc   dword [0x8000]
//	  inc   dword [0x7e00]
//	  mov   eax, [0x7e00]
//	  mov   [0x8004], eax
//	  xor   eax, [0x8000]
//	  mov   [0x8008], eax
//	  mov   ax, 0x4300
//	  call  disk
//	  mov   eax, [0x46c]
//	tick:
//	  hlt
//	  cmp   eax, [0x46c]
//	  je    tick
//	  jmp   again
//	disk:
//	  push  dx
//	  mov   si, packet
//	  int   0x13
//	  pop   dx
//	  jc    failed
//	  ret
//	failed:
//	  hlt
//	  jmp   failed
//	packet: db 16, 0; dw 1, 0x8000, 0; dd 1, 0
const code = "6631c08ed88ed0bc007cfb66a3007eb442e82f0066ff06008066ff06007e66a1007e66a30480663306008066a30880" +
	"b80043e80e0066a16c04f4663b066c0474f8ebd152be507ccd135a7201c3f4ebfd10000100008000000100000000000000"

// Sector is the size of what it reads and writes. Its disk has two.
const Sector = 512

// Disk is the begin of its disk before the first start.
func Disk() []byte {
	program, err := hex.DecodeString(code)
	if err != nil {
		panic(err) // a constant
	}
	disk := make([]byte, 2*Sector)
	copy(disk, program)
	disk[Sector-2], disk[Sector-1] = 0x55, 0xaa
	return disk
}

// Count is what it wrote last: ticks since the disk was made, and since it was started.
type Count struct{ Total, SinceStart uint32 }

// ReadCount reads the second sector of its disk.
func ReadCount(sector []byte) (Count, error) {
	if len(sector) < 12 {
		return Count{}, fmt.Errorf("a sector of %d bytes", len(sector))
	}
	c := Count{binary.LittleEndian.Uint32(sector), binary.LittleEndian.Uint32(sector[4:])}
	if check := binary.LittleEndian.Uint32(sector[8:]); c.Total^c.SinceStart != check {
		return c, fmt.Errorf("the guest's sector is damaged: %x", sector[:12])
	}
	return c, nil
}

// Continues tells whether it went on since then, its memory as well: it counts both at
// each tick.
func (c Count) Continues(before Count) bool {
	return c.Total > before.Total && c.SinceStart >= before.SinceStart && c.SinceStart-before.SinceStart == c.Total-before.Total
}

// Anew tells whether it was started again since then, from what it had on its disk.
func (c Count) Anew(before Count) bool { return c.SinceStart < c.Total-before.Total+before.SinceStart }

// Domain is its definition for libvirt, emulated, with a block device or a file as its disk.
// It cannot shut down.
func Domain(name, disk string) string {
	kind, attribute := "file", "file"
	if strings.HasPrefix(disk, "/dev/") {
		kind, attribute = "block", "dev"
	}
	return `<domain type='qemu'>
<name>` + name + `</name>
<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><on_reboot>destroy</on_reboot>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='` + kind + `' device='disk'><driver name='qemu' type='raw' cache='none'/><source ` + attribute + `='` + disk + `'/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>
`
}

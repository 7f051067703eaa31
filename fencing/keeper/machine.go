package keeper

import (
	"os"

	"golang.org/x/sys/unix"

	"gcrm/fencing/sbd"
)

// ResetMachine resets, switches off or crashes this machine without any
// farewell, by the kernel's magic system request, or else by reboot(2).
func ResetMachine(how sbd.Command) {
	trigger := map[sbd.Command]string{sbd.Off: "o", sbd.CrashDump: "c"}[how]
	if trigger == "" {
		trigger = "b"
	}
	_ = os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0)
	_ = os.WriteFile("/proc/sysrq-trigger", []byte(trigger), 0)
	command := unix.LINUX_REBOOT_CMD_RESTART
	if how == sbd.Off {
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	_ = unix.Reboot(command)
}

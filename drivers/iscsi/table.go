// Package iscsi has the agents of iSCSI: ocf:heartbeat:iSCSITarget and
// ocf:heartbeat:iSCSILogicalUnit, which serve disks by the kernel's target
// (LIO) or tgtd, and ocf:heartbeat:iscsi, which uses them.
package iscsi

import (
	"os"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent { return agents(here(), nil) }

// host is where the agents work.
type host struct {
	tree   tree   // the kernel's targets
	byPath string // links to disks by the way to them
	conf   string // of iscsid
	iscsid func() bool
	pause  time.Duration
}

func here() host {
	return host{tree: tree{root: "/sys/kernel/config/target", mkdir: func(p string) error { return os.Mkdir(p, 0o755) }, rmdir: os.Remove},
		byPath: "/dev/disk/by-path", conf: "/etc/iscsi/iscsid.conf", iscsid: iscsidRuns, pause: time.Second}
}

func iscsidRuns() bool {
	all, err := process.All()
	if err != nil {
		return false
	}
	for _, p := range all {
		if p.Name == "iscsid" {
			return true
		}
	}
	return false
}

func agents(h host, path []string) map[drivers.Name]drivers.Agent {
	name := func(kind string) drivers.Name { return drivers.Name{Class: "ocf", Provider: "heartbeat", Type: kind} }
	return map[drivers.Name]drivers.Agent{
		name("iSCSITarget"): &native.Agent{Table: targetTable(), Path: path, Check: h.checkTarget, Actions: map[string]native.Action{
			drivers.Start: h.startTarget, drivers.Stop: h.stopTarget, drivers.Monitor: h.monitorTarget, "status": h.monitorTarget}},
		name("iSCSILogicalUnit"): &native.Agent{Table: unitTable(), Path: path, Check: h.checkUnit, Actions: map[string]native.Action{
			drivers.Start: h.startUnit, drivers.Stop: h.stopUnit, drivers.Monitor: h.monitorUnit, "status": h.monitorUnit}},
		name("iscsi"): &native.Agent{Table: initiatorTable(), Path: path, Check: h.checkInitiator, Actions: map[string]native.Action{
			drivers.Start: h.login, drivers.Stop: h.logout, drivers.Monitor: h.monitorSession, "status": h.monitorSession, "methods": methods}},
	}
}

const second = time.Second

func serverActions() []meta.Action {
	return []meta.Action{
		{Name: "start", Timeout: 10 * second}, {Name: "stop", Timeout: 10 * second},
		{Name: "status", Timeout: 10 * second, Interval: 10 * second}, {Name: "monitor", Timeout: 10 * second, Interval: 10 * second},
		{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 10 * second},
	}
}

const implementationHelp = "lio or lio-t is the kernel's target, tgt the daemon tgtd. Without it, the kernel's target is taken where it is set up or targetcli is installed, tgt where tgtadm is."

func targetTable() meta.Agent {
	return meta.Agent{Name: "iSCSITarget", Version: "0.9", API: "1.0", Short: "iSCSI target",
		Long: "Offers an iSCSI target. Its disks are resources of iSCSILogicalUnit, started after it and before the address that initiators use.",
		Params: []meta.Param{
			{Name: "implementation", Type: meta.String, Short: "What serves the target", Long: implementationHelp},
			{Name: "iqn", Type: meta.String, Required: true, Unique: true, Short: "Name of the target (IQN)"},
			{Name: "tid", Type: meta.Integer, Unique: true, Short: "Number of the target, required by tgt"},
			{Name: "portals", Type: meta.String, Default: "0.0.0.0:3260", Short: "Addresses to listen on, of the kernel's target"},
			{Name: "iser_portals", Type: meta.String, Short: "Those of the portals that speak iSER"},
			{Name: "allowed_initiators", Type: meta.String, Short: "Initiators allowed to connect; empty for all"},
			{Name: "incoming_username", Type: meta.String, Unique: true, Short: "User name initiators log in with"},
			{Name: "incoming_password", Type: meta.String, Short: "Password initiators log in with"},
			{Name: "additional_parameters", Type: meta.String, Short: "Further parameters of the target, as name=value"},
		}, Actions: serverActions()}
}

func unitTable() meta.Agent {
	return meta.Agent{Name: "iSCSILogicalUnit", Version: "0.9", API: "1.0", Short: "Disk of an iSCSI target",
		Long: "Offers a device or file as a logical unit of an iSCSI target that is started.",
		Params: []meta.Param{
			{Name: "implementation", Type: meta.String, Short: "What serves the target", Long: implementationHelp},
			{Name: "target_iqn", Type: meta.String, Required: true, Short: "Name of the target (IQN)"},
			{Name: "lun", Type: meta.Integer, Required: true, Short: "Number of the unit; tgt has 0 for itself"},
			{Name: "path", Type: meta.String, Required: true, Short: "Device or file"},
			{Name: "scsi_id", Type: meta.String, Unique: true, Short: "SCSI identity", Long: "The first 24 characters of the resource id by default."},
			{Name: "scsi_sn", Type: meta.String, Unique: true, Short: "SCSI serial number", Long: "Made of the resource id by default, so that initiators see the same disk on every node."},
			{Name: "emulate_tpu", Type: meta.Integer, Short: "Serve discards (SCSI UNMAP)"},
			{Name: "emulate_3pc", Type: meta.Integer, Short: "Serve copies between units"},
			{Name: "emulate_caw", Type: meta.Integer, Short: "Serve compare and write"},
			{Name: "vendor_id", Type: meta.String, Short: "SCSI vendor"},
			{Name: "product_id", Type: meta.String, Short: "SCSI product"},
			{Name: "tgt_bstype", Type: meta.String, Short: "Kind of backing store of tgt"},
			{Name: "tgt_bsoflags", Type: meta.String, Short: "Flags tgt opens the backing store with"},
			{Name: "tgt_bsopts", Type: meta.String, Short: "Options of the backing store of tgt"},
			{Name: "tgt_device_type", Type: meta.String, Short: "Kind of device of tgt"},
			{Name: "additional_parameters", Type: meta.String, Short: "Further parameters of the unit of tgt, as name=value"},
			{Name: "allowed_initiators", Type: meta.String, Short: "Initiators the unit is shown to; empty for all of the target"},
			{Name: "lio_iblock", Type: meta.Integer, Default: "0", Short: "Number of the kernel's adapter that holds the unit"},
			{Name: "liot_bstype", Type: meta.String, Default: "block", Short: "Kind of backing store of the kernel's target: block or fileio"},
		}, Actions: serverActions()}
}

func initiatorTable() meta.Agent {
	return meta.Agent{Name: "iscsi", Version: "1.0", API: "1.0", Short: "Session with an iSCSI target",
		Long: "Logs in to an iSCSI target with open-iscsi, so that its disks are there.",
		Params: []meta.Param{
			{Name: "portal", Type: meta.String, Required: true, Short: "Address of the target, with port if it is not 3260"},
			{Name: "target", Type: meta.String, Required: true, Unique: true, Short: "Name of the target (IQN)"},
			{Name: "discovery_type", Type: meta.String, Default: "sendtargets", Short: "How the target is found"},
			{Name: "iscsiadm", Type: meta.String, Default: "iscsiadm", Short: "The iscsiadm program"},
			{Name: "udev", Type: meta.String, Default: "yes", Short: "Wait for udev to show the disks"},
			{Name: "try_recovery", Type: meta.Boolean, Default: "false", Short: "Monitor waits for a broken session to recover"},
		},
		Actions: []meta.Action{
			{Name: "start", Timeout: 120 * second}, {Name: "stop", Timeout: 120 * second},
			{Name: "status", Timeout: 30 * second}, {Name: "monitor", Timeout: 30 * second, Interval: 120 * second},
			{Name: "validate-all", Timeout: 5 * second}, {Name: "methods", Timeout: 5 * second}, {Name: "meta-data", Timeout: 5 * second},
		}}
}

package admin

import (
	"fmt"
	"io"
	"strings"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/volume"
	"gcrm/replication/wire"
)

// Status is a resource as "gcrm volume status --json" shows it.
type Status struct {
	Resource   string   `json:"resource"`
	Volume     int      `json:"volume"`
	Minor      int      `json:"minor"`
	Role       string   `json:"role"`
	PeerRole   string   `json:"peer_role"`
	Connection string   `json:"connection"`
	Disk       string   `json:"disk"`
	PeerDisk   string   `json:"peer_disk"`
	Protocol   string   `json:"protocol"`
	Suspended  []string `json:"suspended,omitempty"`
	Paused     []string `json:"paused,omitempty"`
	// KeepsOthersWaiting: volumes whose resync comes after this one wait.
	KeepsOthersWaiting bool `json:"keeps_others_waiting,omitempty"`
	Takeover           bool `json:"takeover,omitempty"` // becoming what the process before it was

	SizeKiB      uint64    `json:"size_kib"`
	OutOfSyncKiB uint64    `json:"out_of_sync_kib"`
	Generations  string    `json:"generations"`
	Counters     Counters  `json:"counters"`
	Progress     *Progress `json:"progress,omitempty"`

	NBD     string   `json:"nbd,omitempty"`
	File    string   `json:"file,omitempty"`   // of FUSE
	Device  string   `json:"device,omitempty"` // block device made of it
	Open    int      `json:"open"`
	Ignored []string `json:"options_without_effect,omitempty"`
	Event   string   `json:"last_event,omitempty"`
	PID     int      `json:"pid"`

	// Volumes are those of a resource that has several. What is said above is then about
	// all together: the highest role, the lowest states, the sum of the sizes.
	Volumes []*Status `json:"volumes,omitempty"`

	state wire.State
}

// together makes the status of a resource of those of its volumes.
func together(list []*Status) *Status {
	if len(list) == 1 {
		return list[0]
	}
	all := *list[0]
	all.Volumes, all.SizeKiB, all.OutOfSyncKiB, all.Open, all.Progress = list, 0, 0, 0, nil
	st := all.state
	for _, v := range list {
		if v.Role == wire.Primary.String() {
			all.Role = v.Role
		}
		if v.PeerRole == wire.Primary.String() {
			all.PeerRole = v.PeerRole
		}
		st = st.WithConn(min(st.Conn(), v.state.Conn())).WithDisk(min(st.Disk(), v.state.Disk())).WithPeerDisk(min(st.PeerDisk(), v.state.PeerDisk()))
		all.SizeKiB += v.SizeKiB
		all.OutOfSyncKiB += v.OutOfSyncKiB
		all.Open += v.Open
		if all.Progress == nil {
			all.Progress = v.Progress
		}
	}
	all.Connection, all.Disk, all.PeerDisk = st.Conn().String(), st.Disk().String(), st.PeerDisk().String()
	return &all
}

// Each are the volumes one by one.
func (s *Status) Each() []*Status {
	if len(s.Volumes) == 0 {
		return []*Status{s}
	}
	return s.Volumes
}

// settled tells whether no resync or verify is under way or about to begin.
func (s *Status) settled() bool {
	for _, v := range s.Each() {
		if v.Connection != "Connected" {
			return false
		}
	}
	return true
}

// Counters have the names of /proc/drbd: KiB, or counts.
type Counters struct {
	NS uint64 `json:"ns"`
	NR uint64 `json:"nr"`
	DW uint64 `json:"dw"`
	DR uint64 `json:"dr"`
	AL uint64 `json:"al"`
	BM uint64 `json:"bm"`
	LO int    `json:"lo"`
	PE int    `json:"pe"`
	UA int    `json:"ua"`
	AP int    `json:"ap"`
	EP int    `json:"ep"`
	WO string `json:"wo"`
	// Flushes of the local disk.
	Flushes uint64 `json:"flushes"`
}

// Progress is that of a resync or verify.
type Progress struct {
	Verify  bool   `json:"verify,omitempty"`
	LeftKiB uint64 `json:"left_kib"`
	KiB     uint64 `json:"total_kib"`
	Rate    uint64 `json:"kib_per_second"`
	Average uint64 `json:"average_kib_per_second"`
	Seconds int    `json:"seconds_left,omitempty"`
	Stalled bool   `json:"stalled,omitempty"`
}

// picture fills a status from that of a volume.
func picture(s volume.Status) Status {
	st := s.State
	out := Status{state: st,
		Role: st.Role().String(), PeerRole: st.Peer().String(), Connection: st.Conn().String(), Disk: st.Disk().String(), PeerDisk: st.PeerDisk().String(),
		SizeKiB: s.Size / 2, OutOfSyncKiB: s.OutOfSync / 2, Open: s.Opens, Event: s.Note,
		Generations: fmt.Sprintf("%016X:%016X:%016X:%016X", s.Generation.Current, s.Generation.Bitmap, s.Generation.History[0], s.Generation.History[1]),
		Counters: Counters{NS: s.Counters.Sent / 2, NR: s.Counters.Received / 2, DW: s.Counters.Written / 2, DR: s.Counters.Read / 2,
			AL: s.Counters.LogWrites, BM: s.Counters.BitmapWrites, LO: s.Counters.Local, PE: s.Pending.Peer, UA: s.Pending.Unanswered,
			AP: s.Pending.Application, EP: s.Pending.Epochs, WO: string(s.WriteOrder), Flushes: s.Counters.Flushes},
	}
	for _, f := range []struct {
		flag wire.State
		name string
	}{{wire.Suspended, "user"}, {wire.SuspendedNoData, "no-data"}, {wire.SuspendedFence, "fencing"}} {
		if st&f.flag != 0 {
			out.Suspended = append(out.Suspended, f.name)
		}
	}
	for _, f := range []struct {
		flag wire.State
		name string
	}{{wire.PausedByUser, "user"}, {wire.PausedByPeer, "peer"}, {wire.PausedAfter, "dependency"}} {
		if st&f.flag != 0 {
			out.Paused = append(out.Paused, f.name)
		}
	}
	if p := s.Progress; p != nil {
		out.Progress = &Progress{Verify: p.Verify, LeftKiB: p.Left * metadata.BlockSize / 1024, KiB: p.Total * metadata.BlockSize / 1024,
			Rate: p.Rate, Average: p.AverageRate, Seconds: int(p.Finish / time.Second), Stalled: p.Stalled}
	}
	return out
}

func has(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// connected tells whether the peer is there.
func (s *Status) connected() bool {
	switch s.Connection {
	case "StandAlone", "Disconnecting", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure", "ProtocolError", "TearDown", "WFConnection", "WFReportParams":
		return false
	}
	return true
}

// WriteStatus is the form of drbdadm status.
func (s *Status) WriteStatus(w io.Writer) {
	fmt.Fprintf(w, "%s role:%s", s.Resource, s.Role)
	if len(s.Suspended) > 0 {
		fmt.Fprintf(w, " suspended:%s", strings.Join(s.Suspended, ","))
	}
	fmt.Fprintln(w)
	number := func(v *Status) string {
		if len(s.Volumes) == 0 {
			return ""
		}
		return fmt.Sprintf("volume:%d ", v.Volume)
	}
	for _, v := range s.Each() {
		fmt.Fprintf(w, "  %sdisk:%s\n", number(v), v.Disk)
	}
	switch {
	case s.connected():
		fmt.Fprintf(w, "  peer role:%s\n", s.PeerRole)
		for _, v := range s.Each() {
			replication := v.Connection
			if replication == "Connected" {
				replication = "Established"
			}
			fmt.Fprintf(w, "    %sreplication:%s peer-disk:%s", number(v), replication, v.PeerDisk)
			if len(v.Paused) > 0 {
				fmt.Fprintf(w, " resync-suspended:%s", strings.Join(v.Paused, ","))
			}
			if p := v.Progress; p != nil {
				fmt.Fprintf(w, " done:%.2f", p.percent())
			}
			fmt.Fprintln(w)
		}
	case s.Connection == "WFConnection":
		fmt.Fprintln(w, "  peer connection:Connecting")
	default:
		fmt.Fprintf(w, "  peer connection:%s\n", s.Connection)
	}
	fmt.Fprintln(w)
}

func (p *Progress) percent() float64 {
	if p.KiB == 0 {
		return 100
	}
	return 100 * float64(p.KiB-p.LeftKiB) / float64(p.KiB)
}

// flags are the six letters of /proc/drbd.
func (s *Status) flags() string {
	f := []byte("r-----")
	if len(s.Suspended) > 0 {
		f[0] = 's'
	}
	for i, word := range []string{"dependency", "peer", "user"} {
		if has(s.Paused, word) {
			f[i+1] = "apu"[i]
		}
	}
	return string(f)
}

// WriteProc is the form of /proc/drbd, without its head.
func (s *Status) WriteProc(w io.Writer) {
	for _, v := range s.Each() {
		v.writeProc(w)
	}
}

func (s *Status) writeProc(w io.Writer) {
	if s.Connection == "StandAlone" && s.Disk == "Diskless" && s.Role == "Secondary" {
		fmt.Fprintf(w, "%2d: cs:Unconfigured\n", s.Minor)
		return
	}
	protocol := s.Protocol
	if s.Connection == "StandAlone" {
		protocol = " "
	}
	fmt.Fprintf(w, "%2d: cs:%s ro:%s/%s ds:%s/%s %s %s\n", s.Minor, s.Connection, s.Role, s.PeerRole, s.Disk, s.PeerDisk, protocol, s.flags())
	c := s.Counters
	fmt.Fprintf(w, "    ns:%d nr:%d dw:%d dr:%d al:%d bm:%d lo:%d pe:%d ua:%d ap:%d ep:%d wo:%s oos:%d\n",
		c.NS, c.NR, c.DW, c.DR, c.AL, c.BM, c.LO, c.PE, c.UA, c.AP, c.EP, c.WO, s.OutOfSyncKiB)
	if p := s.Progress; p != nil {
		fmt.Fprintf(w, "\t%s\n\t%s\n", p.bar(), p.speed())
	}
}

// WriteOverview is the form of drbd-overview.
func (s *Status) WriteOverview(w io.Writer) {
	for _, v := range s.Each() {
		fmt.Fprintf(w, "%2d:%s/%d  %s %s/%s %s/%s\n", v.Minor, v.Resource, v.Volume, v.Connection, v.Role, v.PeerRole, v.Disk, v.PeerDisk)
		if v.Progress != nil {
			fmt.Fprintf(w, "\t%s\n", v.Progress.bar())
		}
	}
}

// bar is the kernel's picture of a resync or verify.
func (p *Progress) bar() string {
	left, total := p.LeftKiB/4, p.KiB/4
	mille := 1000 - min(1000, (left>>0)*1000/(1+total))
	x := int(mille / 50)
	label := "sync'ed:"
	if p.Verify {
		label = "verified:"
	}
	amount := fmt.Sprintf("(%d/%d)K", p.LeftKiB, p.KiB)
	if p.KiB > 4<<20 {
		amount = fmt.Sprintf("(%d/%d)M", p.LeftKiB>>10, p.KiB>>10)
	}
	return fmt.Sprintf("[%s>%s] %s %3d.%d%% %s", strings.Repeat("=", max(0, x-1)), strings.Repeat(".", 20-x), label, mille/10, mille%10, amount)
}

// speed is the kernel's line about the time left.
func (p *Progress) speed() string {
	out := fmt.Sprintf("finish: %d:%02d:%02d speed: %s (%s) K/sec", p.Seconds/3600, p.Seconds/60%60, p.Seconds%60, thousands(p.Rate), thousands(p.Average))
	if p.Stalled {
		out += " (stalled)"
	}
	return out
}

func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

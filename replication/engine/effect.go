package engine

import (
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// Kind is what an effect asks for.
type Kind uint8

const (
	Send            Kind = iota + 1 // Msg, to the socket its command belongs on
	ReadDisk                        // Sector, Size; DiskDone(Tag) with the data
	WriteDisk                       // Sector, Data; with Zero: Sector, Size
	FlushDisk                       // make everything written durable
	WriteLog                        // with Flush make everything written durable; Pages of the bitmap, then Log
	Persist                         // make everything written durable; Pages of the bitmap, then Super; synchronous
	MoveMeta                        // the whole metadata to Layout: Ring, bitmap, Super; synchronous
	Complete                        // request Tag of the application is done: Err, Data
	Reply                           // command Tag of the administrator is done: Result
	RunHandler                      // Name; HandlerDone(Name, exit code)
	OpenConnection                  // keep trying until ConnectionUp
	CloseConnection                 // drop the sockets, stop trying
	Note                            // Name tells what happened, for the journal
)

// Effect is one thing the runner has to do. Kind says which fields matter.
type Effect struct {
	Kind    Kind
	Volume  int // whose it is, by its place in the resource
	Msg     wire.Message
	Tag     uint64
	Sector  uint64
	Size    uint32 // bytes
	Data    []byte
	Zero    bool // write zeroes; Discard: the room may be given back
	Discard bool
	FUA     bool
	// Kept, of Complete: the disk was given up while it was reading the data of this write,
	// and may still do so; the memory must not be used again.
	Kept  bool
	Peer  bool // Data came from the peer; nothing refers to it after DiskDone
	Super metadata.Superblock
	Pages []int
	// Flush, of WriteLog: extents leave the log, and what was written there must be durable before:
	// after a crash nothing else would tell of it.
	Flush  bool
	Log    metadata.Transaction
	Layout metadata.Layout
	Ring   []metadata.Transaction
	Name   string
	Result wire.Result
	Err    error
}

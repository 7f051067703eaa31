package fusefile

// Operations of the protocol, version 7.
const (
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opStatfs      = 17
	opRelease     = 18
	opFsync       = 20
	opFlush       = 25
	opInit        = 26
	opInterrupt   = 36
	opDestroy     = 38
	opBatchForget = 42
	opFallocate   = 43
)

// Flags of INIT.
const (
	initAsyncRead    = 1 << 0
	initBigWrites    = 1 << 5
	initAsyncDIO     = 1 << 15
	initMaxPages     = 1 << 22
	initExtended     = 1 << 30
	initHasResend    = 1 << (39 - 32) // second word
	openDirectIO     = 1 << 0
	openParallelDIO  = 1 << 6
	fallocKeepSize   = 1
	fallocPunchHole  = 2
	fallocZeroRange  = 16
	notifyInvalidate = 2
	notifyResend     = 7
	headerIn         = 40
	headerOut        = 16
	writeHead        = headerIn + 40
	protocolMajor    = 7
	protocolMinor    = 39
	maxTransfer      = 1 << 20
	maxBackground    = 128
	attrValidSeconds = 1
)

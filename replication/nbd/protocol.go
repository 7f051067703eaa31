package nbd

// Magic numbers.
const (
	magicInit       = 0x4e42444d41474943 // NBDMAGIC
	magicOption     = 0x49484156454f5054 // IHAVEOPT
	magicOptReply   = 0x0003e889045565a9
	magicRequest    = 0x25609513
	magicSimple     = 0x67446698
	magicStructured = 0x668e33ef
)

// Flags of the handshake, of both sides.
const (
	flagFixedNewstyle = 1
	flagNoZeroes      = 2
)

// Options a client may ask for.
const (
	optExportName = 1
	optAbort      = 2
	optList       = 3
	optStartTLS   = 5
	optInfo       = 6
	optGo         = 7
	optStructured = 8
	optListMeta   = 9
	optSetMeta    = 10
)

// Answers to options.
const (
	repAck    = 1
	repServer = 2
	repInfo   = 3

	repErrUnsupported = 1<<31 + 1
	repErrPolicy      = 1<<31 + 2
	repErrInvalid     = 1<<31 + 3
	repErrTLSRequired = 1<<31 + 5
	repErrUnknown     = 1<<31 + 6
)

// Kinds of information about an export.
const (
	infoExport      = 0
	infoName        = 1
	infoDescription = 2
	infoBlockSize   = 3
)

// Transmission flags.
const (
	transHasFlags    = 1 << 0
	transFlush       = 1 << 2
	transFUA         = 1 << 3
	transTrim        = 1 << 5
	transWriteZeroes = 1 << 6
	transDF          = 1 << 7
	transMultiConn   = 1 << 8
)

// Commands.
const (
	cmdRead        = 0
	cmdWrite       = 1
	cmdDisconnect  = 2
	cmdFlush       = 3
	cmdTrim        = 4
	cmdWriteZeroes = 6
)

// Flags of commands.
const (
	cmdFUA    = 1
	cmdNoHole = 2
	cmdDF     = 4
)

// Chunks of structured replies.
const (
	chunkDone       = 1 // flag
	chunkNone       = 0
	chunkOffsetData = 1
	chunkError      = 0x8001
)

// Errors as the protocol numbers them.
const (
	errPerm     = 1
	errIO       = 5
	errInvalid  = 22
	errShutdown = 108
)

// Sizes of blocks, in bytes.
const (
	minBlock       = 512
	preferredBlock = 4096
	maxPayload     = 32 << 20
)

package wire

import "fmt"

// Command is the number of a packet.
type Command uint16

const (
	CmdData            Command = 0x00
	CmdDataReply       Command = 0x01
	CmdResyncReply     Command = 0x02 // RS_DATA_REPLY
	CmdBarrier         Command = 0x03
	CmdBitmap          Command = 0x04
	CmdUnplug          Command = 0x07
	CmdDataRequest     Command = 0x08
	CmdResyncRequest   Command = 0x09 // RS_DATA_REQUEST
	CmdSyncParam       Command = 0x0a
	CmdProtocol        Command = 0x0b
	CmdUUIDs           Command = 0x0c
	CmdSizes           Command = 0x0d
	CmdState           Command = 0x0e
	CmdSyncUUID        Command = 0x0f
	CmdAuthChallenge   Command = 0x10
	CmdAuthResponse    Command = 0x11
	CmdStateChange     Command = 0x12
	CmdPing            Command = 0x13
	CmdPingAck         Command = 0x14
	CmdReceiveAck      Command = 0x15
	CmdWriteAck        Command = 0x16
	CmdResyncWriteAck  Command = 0x17
	CmdSuperseded      Command = 0x18
	CmdNegAck          Command = 0x19
	CmdNegDataReply    Command = 0x1a
	CmdNegResyncReply  Command = 0x1b
	CmdBarrierAck      Command = 0x1c
	CmdStateReply      Command = 0x1d
	CmdVerifyRequest   Command = 0x1e
	CmdVerifyReply     Command = 0x1f
	CmdVerifyResult    Command = 0x20
	CmdChecksumRequest Command = 0x21 // CSUM_RS_REQUEST
	CmdInSync          Command = 0x22 // RS_IS_IN_SYNC
	CmdSyncParam89     Command = 0x23
	CmdPackedBitmap    Command = 0x24
	CmdDelayProbe      Command = 0x27
	CmdOutOfSync       Command = 0x28
	CmdResyncCancel    Command = 0x29
	CmdConnChange      Command = 0x2a // CONN_ST_CHG_REQ
	CmdConnReply       Command = 0x2b
	CmdRetryWrite      Command = 0x2c
	CmdProtocolUpdate  Command = 0x2d
	CmdTrim            Command = 0x31
	CmdThinRequest     Command = 0x32
	CmdDeallocated     Command = 0x33
	CmdWriteSame       Command = 0x34
	CmdZeroes          Command = 0x36
	CmdInitialMeta     Command = 0xfff1
	CmdInitialData     Command = 0xfff2
	CmdFeatures        Command = 0xfffe
)

// form is the shape of a payload.
type form uint8

const (
	formNone form = iota
	formEmpty
	formData     // block head, digest, data
	formSized    // block head, size; for WriteSame also digest and data
	formRequest  // sector, id, size, pad; digest for some
	formAck      // sector, id, size, sequence
	formBarrier  // opaque number, pad or count
	formChange   // mask, value
	formState    // one word
	formResult   // one signed word
	formRange    // sector, size, pad
	formUUID     // one identifier
	formBytes    // anything
	formFeatures // the rest are handshake packets
	formProtocol
	formSyncParam
	formUUIDs
	formSizes
	formProbe
)

// socket says on which stream a command may come.
type socket uint8

const (
	dataSocket socket = 1 << iota
	metaSocket
)

type commandInfo struct {
	name string
	form form
	on   socket
	min  int // first protocol version with it
}

var commands = map[Command]commandInfo{
	CmdData: {"DATA", formData, dataSocket, 0}, CmdDataReply: {"DATA_REPLY", formData, dataSocket, 0},
	CmdResyncReply: {"RS_DATA_REPLY", formData, dataSocket, 0}, CmdBarrier: {"BARRIER", formBarrier, dataSocket, 0},
	CmdBitmap: {"BITMAP", formBytes, dataSocket, 0}, CmdUnplug: {"UNPLUG_REMOTE", formEmpty, dataSocket, 0},
	CmdDataRequest: {"DATA_REQUEST", formRequest, dataSocket, 0}, CmdResyncRequest: {"RS_DATA_REQUEST", formRequest, dataSocket, 0},
	CmdSyncParam: {"SYNC_PARAM", formSyncParam, dataSocket, 0}, CmdProtocol: {"PROTOCOL", formProtocol, dataSocket, 0},
	CmdUUIDs: {"UUIDS", formUUIDs, dataSocket, 0}, CmdSizes: {"SIZES", formSizes, dataSocket, 0},
	CmdState: {"STATE", formState, dataSocket, 0}, CmdSyncUUID: {"SYNC_UUID", formUUID, dataSocket, 0},
	CmdAuthChallenge: {"AUTH_CHALLENGE", formBytes, dataSocket, 0}, CmdAuthResponse: {"AUTH_RESPONSE", formBytes, dataSocket, 0},
	CmdStateChange: {"STATE_CHG_REQ", formChange, dataSocket, 0},
	CmdPing:        {"PING", formEmpty, metaSocket, 0}, CmdPingAck: {"PING_ACK", formEmpty, metaSocket, 0},
	CmdReceiveAck: {"RECV_ACK", formAck, metaSocket, 0}, CmdWriteAck: {"WRITE_ACK", formAck, metaSocket, 0},
	CmdResyncWriteAck: {"RS_WRITE_ACK", formAck, metaSocket, 0}, CmdSuperseded: {"SUPERSEDED", formAck, metaSocket, 0},
	CmdNegAck: {"NEG_ACK", formAck, metaSocket, 0}, CmdNegDataReply: {"NEG_DREPLY", formAck, metaSocket, 0},
	CmdNegResyncReply: {"NEG_RS_DREPLY", formAck, metaSocket, 0}, CmdBarrierAck: {"BARRIER_ACK", formBarrier, metaSocket, 0},
	CmdStateReply:    {"STATE_CHG_REPLY", formResult, metaSocket, 0},
	CmdVerifyRequest: {"OV_REQUEST", formRequest, dataSocket, 88}, CmdVerifyReply: {"OV_REPLY", formRequest, dataSocket, 88},
	CmdVerifyResult: {"OV_RESULT", formAck, metaSocket, 88}, CmdChecksumRequest: {"CSUM_RS_REQUEST", formRequest, dataSocket, 89},
	CmdInSync: {"RS_IS_IN_SYNC", formAck, metaSocket, 89}, CmdSyncParam89: {"SYNC_PARAM89", formSyncParam, dataSocket, 89},
	CmdPackedBitmap: {"COMPRESSED_BITMAP", formBytes, dataSocket, 90},
	CmdDelayProbe:   {"DELAY_PROBE", formProbe, dataSocket | metaSocket, 0},
	CmdOutOfSync:    {"OUT_OF_SYNC", formRange, dataSocket, 96}, CmdResyncCancel: {"RS_CANCEL", formAck, metaSocket, 96},
	CmdConnChange: {"CONN_ST_CHG_REQ", formChange, dataSocket, 100}, CmdConnReply: {"CONN_ST_CHG_REPLY", formResult, metaSocket, 100},
	CmdRetryWrite: {"RETRY_WRITE", formAck, metaSocket, 100}, CmdProtocolUpdate: {"PROTOCOL_UPDATE", formProtocol, dataSocket, 100},
	CmdTrim: {"TRIM", formSized, dataSocket, 0}, CmdThinRequest: {"RS_THIN_REQ", formRequest, dataSocket, 0},
	CmdDeallocated: {"RS_DEALLOCATED", formRange, dataSocket, 0}, CmdWriteSame: {"WSAME", formSized, dataSocket, 0},
	CmdZeroes:      {"ZEROES", formSized, dataSocket, 0},
	CmdInitialMeta: {"INITIAL_META", formEmpty, metaSocket, 0}, CmdInitialData: {"INITIAL_DATA", formEmpty, dataSocket, 0},
	CmdFeatures: {"CONNECTION_FEATURES", formFeatures, dataSocket, 0},
}

func (c Command) String() string {
	if i, ok := commands[c]; ok {
		return i.name
	}
	return fmt.Sprintf("%#04x", uint16(c))
}

// OnMeta tells whether the command travels on the meta socket.
func (c Command) OnMeta() bool { return commands[c].on&metaSocket != 0 }

// OnData tells whether the command travels on the data socket.
func (c Command) OnData() bool { return commands[c].on&dataSocket != 0 }

// HasBlock tells whether the command carries blocks of the device.
func (c Command) HasBlock() bool { return commands[c].form == formData }

// KeepsPayload tells whether a decoded message refers to its payload beyond the
// blocks it carries.
func (c Command) KeepsPayload() bool {
	switch c {
	case CmdVerifyReply, CmdChecksumRequest:
		return true
	}
	return commands[c].form == formBytes || c == CmdWriteSame
}

// CountsInSequence tells whether sending the command takes a sequence number of the
// volume.
func (c Command) CountsInSequence() bool {
	switch c {
	case CmdData, CmdTrim, CmdZeroes, CmdWriteSame:
		return true
	}
	return commands[c].form == formAck
}

// OfVolume tells whether the command is about one volume; the others are about the
// connection.
func (c Command) OfVolume() bool { return !c.connectionWide() }

// connectionWide tells whether the command belongs to no volume.
func (c Command) connectionWide() bool {
	switch c {
	case CmdBarrier, CmdBarrierAck, CmdPing, CmdPingAck, CmdProtocol, CmdProtocolUpdate, CmdFeatures, CmdAuthChallenge,
		CmdAuthResponse, CmdConnChange, CmdConnReply, CmdInitialData, CmdInitialMeta:
		return true
	}
	return false
}

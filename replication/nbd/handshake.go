package nbd

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// handshake is the talk about options with one client.
type handshake struct {
	s          *Server
	c          net.Conn
	tls        bool
	structured bool
	noZeroes   bool
}

const (
	maxOption  = 64 << 10 // bytes of one option
	maxOptions = 1000
)

var be = binary.BigEndian

// run ends with an opened export, or nil when the client does not want one.
func (h *handshake) run() (*Export, error) {
	b := be.AppendUint64(nil, magicInit)
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint16(b, flagFixedNewstyle|flagNoZeroes)
	if _, err := h.c.Write(b); err != nil {
		return nil, err
	}
	var flags [4]byte
	if _, err := io.ReadFull(h.c, flags[:]); err != nil {
		return nil, quietEOF(err)
	}
	f := be.Uint32(flags[:])
	if f&^(flagFixedNewstyle|flagNoZeroes) != 0 || f&flagFixedNewstyle == 0 {
		return nil, fmt.Errorf("unknown flags %#x", f)
	}
	h.noZeroes = f&flagNoZeroes != 0
	for range maxOptions {
		var head [16]byte
		if _, err := io.ReadFull(h.c, head[:]); err != nil {
			return nil, quietEOF(err)
		}
		option, n := be.Uint32(head[8:]), be.Uint32(head[12:])
		if be.Uint64(head[:]) != magicOption || n > maxOption {
			return nil, fmt.Errorf("option %d with %d bytes", option, n)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(h.c, data); err != nil {
			return nil, err
		}
		e, done, err := h.option(option, data)
		if err != nil || done {
			return e, err
		}
	}
	return nil, errors.New("too many options")
}

// quietEOF makes a client that goes away no error.
func quietEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func (h *handshake) reply(option, kind uint32, data []byte) error {
	b := be.AppendUint64(nil, magicOptReply)
	b = be.AppendUint32(b, option)
	b = be.AppendUint32(b, kind)
	b = be.AppendUint32(b, uint32(len(data)))
	_, err := h.c.Write(append(b, data...))
	return err
}

func (h *handshake) refuse(option, kind uint32, format string, args ...any) error {
	return h.reply(option, kind, fmt.Appendf(nil, format, args...))
}

// option answers one option. done ends the handshake.
func (h *handshake) option(option uint32, data []byte) (e *Export, done bool, err error) {
	if h.s.RequireTLS && !h.tls && option != optAbort && option != optStartTLS {
		if option == optExportName {
			return nil, true, errors.New("refused a client without TLS")
		}
		return nil, false, h.refuse(option, repErrTLSRequired, "this server needs TLS")
	}
	switch option {
	case optAbort:
		return nil, true, h.reply(option, repAck, nil)
	case optStartTLS:
		return nil, false, h.startTLS(data)
	case optStructured:
		if len(data) != 0 {
			return nil, false, h.refuse(option, repErrInvalid, "no data expected")
		}
		h.structured = true
		return nil, false, h.reply(option, repAck, nil)
	case optList:
		return nil, false, h.list(data)
	case optListMeta, optSetMeta:
		// There are no contexts; what was asked for need not even be looked at.
		return nil, false, h.reply(option, repAck, nil)
	case optExportName:
		return h.exportName(string(data))
	case optInfo, optGo:
		return h.info(option, data)
	}
	return nil, false, h.refuse(option, repErrUnsupported, "unknown option %d", option)
}

func (h *handshake) startTLS(data []byte) error {
	switch {
	case len(data) != 0:
		return h.refuse(optStartTLS, repErrInvalid, "no data expected")
	case h.s.TLS == nil || h.tls:
		return h.refuse(optStartTLS, repErrPolicy, "TLS is not configured")
	}
	if err := h.reply(optStartTLS, repAck, nil); err != nil {
		return err
	}
	c := tls.Server(h.c, h.s.TLS)
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	// What was agreed before cannot be trusted.
	h.c, h.tls, h.structured = c, true, false
	return nil
}

func (h *handshake) list(data []byte) error {
	if len(data) != 0 {
		return h.refuse(optList, repErrInvalid, "no data expected")
	}
	for _, e := range h.s.Exports() {
		b := be.AppendUint32(nil, uint32(len(e.Name)))
		if err := h.reply(optList, repServer, append(append(b, e.Name...), e.Description...)); err != nil {
			return err
		}
	}
	return h.reply(optList, repAck, nil)
}

func (h *handshake) find(name string) *Export {
	for _, e := range h.s.Exports() {
		if e.Name == name || name == "" {
			return &e
		}
	}
	return nil
}

func (h *handshake) flags() uint16 {
	f := uint16(transHasFlags | transFlush | transFUA | transTrim | transWriteZeroes | transMultiConn)
	if h.structured {
		f |= transDF
	}
	return f
}

// exportName is the old way to choose an export; it knows no refusal but the end.
func (h *handshake) exportName(name string) (*Export, bool, error) {
	e := h.find(name)
	if e == nil {
		return nil, true, fmt.Errorf("unknown export %q", name)
	}
	if err := e.Device.Open(); err != nil {
		return nil, true, err
	}
	b := be.AppendUint64(nil, e.Device.Size())
	b = be.AppendUint16(b, h.flags())
	if !h.noZeroes {
		b = append(b, make([]byte, 124)...)
	}
	if _, err := h.c.Write(b); err != nil {
		e.Device.Release()
		return nil, true, err
	}
	return e, true, nil
}

// info answers INFO and GO.
func (h *handshake) info(option uint32, data []byte) (*Export, bool, error) {
	bad := func() (*Export, bool, error) {
		return nil, false, h.refuse(option, repErrInvalid, "malformed option")
	}
	if len(data) < 6 {
		return bad()
	}
	n := be.Uint32(data)
	if uint64(n) > uint64(len(data)-6) {
		return bad()
	}
	name, rest := string(data[4:4+n]), data[4+n:]
	count := int(be.Uint16(rest))
	if rest = rest[2:]; len(rest) != 2*count {
		return bad()
	}
	e := h.find(name)
	if e == nil {
		return nil, false, h.refuse(option, repErrUnknown, "unknown export %q", name)
	}
	if err := e.Device.Open(); err != nil {
		return nil, false, h.refuse(option, repErrPolicy, "%v", err)
	}
	if err := h.describe(option, e, rest); err != nil || option == optInfo {
		e.Device.Release()
		return nil, false, err
	}
	return e, true, nil
}

func (h *handshake) describe(option uint32, e *Export, wanted []byte) error {
	b := be.AppendUint16(nil, infoExport)
	b = be.AppendUint64(b, e.Device.Size())
	if err := h.reply(option, repInfo, be.AppendUint16(b, h.flags())); err != nil {
		return err
	}
	b = be.AppendUint16(nil, infoBlockSize)
	for _, v := range []uint32{minBlock, preferredBlock, maxPayload} {
		b = be.AppendUint32(b, v)
	}
	if err := h.reply(option, repInfo, b); err != nil {
		return err
	}
	for ; len(wanted) > 0; wanted = wanted[2:] {
		kind, text := be.Uint16(wanted), ""
		switch kind {
		case infoName:
			text = e.Name
		case infoDescription:
			text = e.Description
		default:
			continue
		}
		if err := h.reply(option, repInfo, append(be.AppendUint16(nil, kind), text...)); err != nil {
			return err
		}
	}
	return h.reply(option, repAck, nil)
}

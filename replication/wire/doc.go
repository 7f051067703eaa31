// Package wire is the language two DRBD nodes speak, protocol versions 86 to 101:
// it turns bytes into messages and messages into bytes, and does nothing else.
//
// The contract:
//
//  1. A connection has two byte streams, the data socket and the meta socket. The
//     caller reads a header (Dialect.HeaderSize bytes, DecodeHeader), then as many
//     bytes as it says, then calls Decode. Nothing is kept between calls but what
//     is in the Dialect, a value that the caller replaces when versions, features
//     or the integrity algorithm are agreed.
//  2. Decode is as strict as the kernel: a length that does not fit the command, an
//     unknown command, a block size that is impossible are errors, and the
//     connection is to be dropped. No input makes it panic or ask for more memory
//     than the payload has.
//  3. A decoded message aliases the payload (Digest, Data): it is valid until the
//     caller reuses the buffer. Decoding and encoding of everything that flows in
//     the steady state allocates nothing.
//  4. Append gives exactly the bytes the kernel would send for the same message.
//     Whether a message may be sent now, and on which socket, is the engine's
//     business.
//
// Numbers are big endian, with one exception: the number in a barrier is opaque and
// is returned as it came.
package wire

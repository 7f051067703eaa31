package promptio

import (
	"io"
	"net"
)

// Batch is what goes out in one call: bytes, with blocks between them that are not copied. The zero value is empty.
type Batch struct {
	Bytes  []byte
	blocks []block
}

// block is data that goes out after the first at bytes.
type block struct {
	at   int
	data []byte
}

// copied is the largest block that is copied, in bytes: less than a place of its own in the call costs.
const copied = 8 << 10

// Block adds data after what is in Bytes now. It tells whether the batch refers to the data, and does not have a copy.
func (b *Batch) Block(data []byte) bool {
	if len(data) <= copied {
		b.Bytes = append(b.Bytes, data...)
		return false
	}
	b.blocks = append(b.blocks, block{len(b.Bytes), data})
	return true
}

// Reset empties the batch and keeps its room, unless that is more than keep bytes. Blocks that it refers to are given
// to free, if that is not nil.
func (b *Batch) Reset(keep int, free func(data []byte)) {
	if free != nil {
		for _, p := range b.blocks {
			free(p.data)
		}
	}
	clear(b.blocks)
	if cap(b.Bytes) > keep {
		*b = Batch{}
		return
	}
	b.Bytes, b.blocks = b.Bytes[:0], b.blocks[:0]
}

// BatchWriter writes batches to a connection.
type BatchWriter struct {
	c      net.Conn
	prompt io.Writer
	vector net.Buffers
}

// NewBatchWriter gives a writer to c.
func NewBatchWriter(c net.Conn) *BatchWriter { return &BatchWriter{c: c, prompt: Writer(c)} }

// Write writes all of a batch, which stays as it is.
func (w *BatchWriter) Write(b *Batch) error {
	if len(b.blocks) == 0 {
		_, err := w.prompt.Write(b.Bytes)
		return err
	}
	w.vector = w.vector[:0]
	from := 0
	for _, p := range b.blocks {
		if p.at > from {
			w.vector = append(w.vector, b.Bytes[from:p.at])
		}
		w.vector = append(w.vector, p.data)
		from = p.at
	}
	if from < len(b.Bytes) {
		w.vector = append(w.vector, b.Bytes[from:])
	}
	v := w.vector
	_, err := v.WriteTo(w.c)
	return err
}

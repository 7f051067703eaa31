package promptio

import (
	"bytes"
	"io"
	"testing"
)

// TestBatch writes batches with blocks at the start, at the end, next to each other, small and large, and what comes out
// is everything in its order; a batch that was used has nothing of the last one.
func TestBatch(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		a, b := pair(t, network)
		var want []byte
		var batches [][][]byte // a nil slice is followed by a block
		for i := range 200 {
			var batch [][]byte
			for j := range 1 + i%5 {
				size := []int{1, 100, copied, copied + 1, 300 << 10}[(i*7+j*3)%5]
				if piece := bytes.Repeat([]byte{byte(i + j)}, size); (i+j)%3 > 0 {
					batch = append(batch, nil, piece)
				} else {
					batch = append(batch, piece)
				}
				want = append(want, bytes.Repeat([]byte{byte(i + j)}, size)...)
			}
			batches = append(batches, batch)
		}
		go func() {
			defer a.Close()
			w := NewBatchWriter(a)
			var out Batch
			freed, kept := 0, 0
			for _, batch := range batches {
				for i, p := range batch {
					switch {
					case p == nil:
					case i > 0 && batch[i-1] == nil:
						if out.Block(p) != (len(p) > copied) {
							t.Errorf("a block of %d bytes", len(p))
						}
						if len(p) > copied {
							kept++
						}
					default:
						out.Bytes = append(out.Bytes, p...)
					}
				}
				if err := w.Write(&out); err != nil {
					t.Error(err)
					return
				}
				out.Reset(100<<10, func([]byte) { freed++ })
				if len(out.Bytes) > 0 || len(out.blocks) > 0 || cap(out.Bytes) > 100<<10 {
					t.Errorf("%d bytes and %d blocks are left, with room for %d", len(out.Bytes), len(out.blocks), cap(out.Bytes))
				}
			}
			if freed != kept || kept == 0 {
				t.Errorf("%d blocks of %d are given back", freed, kept)
			}
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes arrived of %d, or others (%v)", network, len(got), len(want), err)
		}
	}
}

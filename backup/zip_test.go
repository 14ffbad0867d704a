package backup

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestZipWriter: any zstd reads what was written, whichever parts of it were stored. What is alike becomes shorter,
// and the rest hardly longer.
func TestZipWriter(t *testing.T) {
	random := make([]byte, 5<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	alike := bytes.Repeat([]byte("a record like any other; "), 5<<20/25)
	for name, c := range map[string]struct {
		parts [][]byte
		max   int
	}{
		"nothing":       {nil, 100},
		"random":        {[][]byte{random}, len(random) + 1000},
		"alike":         {[][]byte{alike}, len(alike) / 100},
		"one after one": {[][]byte{alike, random, alike[:1<<20], random[:100]}, len(random) + 4<<20},
	} {
		for _, compress := range []bool{true, false} {
			var file bytes.Buffer
			z, err := newZipWriter(&file, compress)
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			for _, part := range c.parts {
				want = append(want, part...)
				for n := 70_000; len(part) > 0; n += 50_000 { // shorter and longer than a block
					n = min(n, len(part))
					if _, err := z.Write(part[:n]); err != nil {
						t.Fatal(err)
					}
					part = part[n:]
				}
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if limit := max(c.max, 100); compress && file.Len() > limit || file.Len() > len(want)+1000 {
				t.Errorf("%s: %d bytes became %d, compressed %v", name, len(want), file.Len(), compress)
			}
			r, err := zstd.NewReader(&file, zstd.WithDecoderMaxWindow(maxZipWindow))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, compressed %v: %d bytes came back of %d: %v", name, compress, len(got), len(want), err)
			}
			r.Close()
		}
	}
}

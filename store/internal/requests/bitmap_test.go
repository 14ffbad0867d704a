package requests

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestChunk(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, fill := range []int{0, 1, 5, chunkBytes/2 - 1, chunkBytes / 2, chunkBytes, chunkBits} {
		var c chunk
		want := map[int]bool{}
		for len(want) < fill {
			bit := rng.IntN(chunkBits)
			want[bit] = true
			c.add(bit)
		}
		var sorted []int
		for bit := range want {
			sorted = append(sorted, bit)
		}
		slices.Sort(sorted)
		check := func(what string, c *chunk, want []int) {
			t.Helper()
			if got := slices.Collect(c.up); !slices.Equal(got, want) {
				t.Errorf("%d bits, %s: %v, want %v", fill, what, got, want)
			}
			down := slices.Collect(c.down)
			slices.Reverse(down)
			if !slices.Equal(down, want) || c.count() != len(want) || c.empty() != (len(want) == 0) {
				t.Errorf("%d bits, %s: down %v, count %d, empty %v", fill, what, down, c.count(), c.empty())
			}
		}
		check("set", &c, sorted)

		b := c.encode()
		if (b == nil) != (fill == 0) || len(b) > chunkBytes {
			t.Errorf("%d bits take %d bytes", fill, len(b))
		}
		var back chunk
		if fill > 0 { // an empty one has no key
			must(t, back.decode(b))
		}
		check("decoded", &back, sorted)

		for range 20 {
			lo, hi := rng.IntN(chunkBits+1), rng.IntN(chunkBits+1)
			clipped := c
			clipped.clip(lo, hi)
			check("clipped", &clipped, slices.DeleteFunc(slices.Clone(sorted), func(b int) bool { return b < lo || b >= hi }))
		}
		for _, n := range []int{0, 1, fill - 1, fill, fill + 1} {
			if n >= 0 {
				first := c
				first.keepFirst(n)
				check("kept first", &first, sorted[:min(n, fill)])
			}
		}
		for bit := range want {
			c.remove(bit)
			if c.has(bit) {
				t.Errorf("bit %d is there after it was removed", bit)
			}
		}
		check("removed", &c, nil)
	}
}

func TestChunkRefusesGarbage(t *testing.T) {
	var c chunk
	for _, b := range [][]byte{{1}, {0xff, 0xff}, make([]byte, chunkBytes+2), {0x08, 0x00}} {
		if err := c.decode(b); err == nil {
			t.Errorf("decoded %x", b)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

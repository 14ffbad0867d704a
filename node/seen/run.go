package seen

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
)

// run has sorted entries in a file.
type run struct {
	file   *tempfile.File
	len    int
	filter bloom
}

// pageEntries is how many entries are read at a time: a little under 4 KiB.
const pageEntries = 4096 / entrySize

// get looks an entry up. Keys are as good as random, so the place of a key follows from its
// value, up to a page or two.
func (r *run) get(k key) (v uint64, found bool, err error) {
	if r.len == 0 || !r.filter.has(k) {
		return 0, false, nil
	}
	lo, hi := 0, r.len // the entry is in [lo, hi), if it is there
	guess, _ := bits.Mul64(binary.BigEndian.Uint64(k[:]), uint64(r.len))
	at := int(guess) - pageEntries/2
	var page [pageEntries * entrySize]byte
	for step := pageEntries; lo < hi; step *= 2 {
		at = min(max(at, lo), max(lo, hi-pageEntries))
		n := min(pageEntries, hi-at)
		b := page[:n*entrySize]
		if _, err := r.file.ReadAt(b, int64(at)*entrySize); err != nil {
			return 0, false, fmt.Errorf("look up what a walk has seen: %w", err)
		}
		switch {
		case compare(k, key(b[:keySize])) < 0:
			hi, at = at, at-step
		case compare(k, key(b[(n-1)*entrySize:][:keySize])) > 0:
			lo = at + n
			at = at + step
		default:
			v, found = search(b, k)
			return v, found, nil
		}
	}
	return 0, false, nil
}

// search looks a key up in a page.
func search(page []byte, k key) (v uint64, found bool) {
	lo, hi := 0, len(page)/entrySize
	for lo < hi {
		mid := (lo + hi) / 2
		e := page[mid*entrySize:]
		switch c := compare(k, key(e[:keySize])); {
		case c == 0:
			return binary.BigEndian.Uint64(e[keySize:]), true
		case c < 0:
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return 0, false
}

// bloom knows of most keys that they are not in a run. Keys are hashes already, and its
// positions are made of them (Kirsch and Mitzenmacher, 2006).
type bloom []uint64

func newBloom(n int) bloom { return make(bloom, n*bloomBits/64+1) }

func (b bloom) positions(k key, yield func(word, bit uint64) bool) {
	x, y := binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(k[8:])|1
	for range bloomHashes {
		at, _ := bits.Mul64(x, uint64(len(b))*64)
		if !yield(at/64, 1<<(at%64)) {
			return
		}
		x += y
	}
}

func (b bloom) add(k key) {
	b.positions(k, func(word, bit uint64) bool {
		b[word] |= bit
		return true
	})
}

func (b bloom) has(k key) bool {
	has := true
	b.positions(k, func(word, bit uint64) bool {
		has = b[word]&bit != 0
		return has
	})
	return has
}

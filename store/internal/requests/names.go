package requests

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// nameFilter gives the test of a query's name, or nil if there is none to make
// row by row: no name was given, or the name is exact, which has a list.
func nameFilter(q pin.Query) func(name []byte) bool {
	if q.Name == "" {
		return nil
	}
	want := []byte(q.Name)
	switch q.Match {
	case pin.Exact, "":
		return nil
	case pin.IExact:
		return func(name []byte) bool { return bytes.EqualFold(name, want) }
	case pin.Partial:
		return func(name []byte) bool { return bytes.Contains(name, want) }
	case pin.IPartial:
		want = appendFolded(nil, want)
		var folded []byte // used again for each row
		return func(name []byte) bool {
			folded = appendFolded(folded[:0], name)
			return bytes.Contains(folded, want)
		}
	default:
		return func([]byte) bool { return false }
	}
}

// appendFolded appends text with all characters that differ in case alone made
// the same, by Unicode's simple folding, as bytes.EqualFold has it.
func appendFolded(b, text []byte) []byte {
	for len(text) > 0 {
		// Most names are ASCII. Its letters fold with each other, but for k
		// and s, which have relatives beyond; those come out as the ASCII
		// upper case here too, the least of their kind.
		if c := text[0]; c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b, text = append(b, c), text[1:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		b, text = utf8.AppendRune(b, leastFold(r)), text[n:]
	}
	return b
}

// leastFold gives the lowest of the runes that fold with r.
func leastFold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

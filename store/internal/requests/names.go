package requests

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// nameFilter gives the test of a row's name for a query. It is nil if no test is needed: the query
// has no name, or asks for an exact one, for which there is a list.
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

// appendFolded appends text in such a form that characters which differ only in case become the
// same, by Unicode's simple folding, as in bytes.EqualFold.
func appendFolded(b, text []byte) []byte {
	for len(text) > 0 {
		// Most names are ASCII. Its letters fold with each other only, but for k and s.
		// For these, too, the lowest rune of all that fold with them is the upper case.
		if c := text[0]; c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b, text = append(b, c), text[1:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		b, text = utf8.AppendRune(b, lowestFold(r)), text[n:]
	}
	return b
}

// lowestFold gives the lowest of the runes that fold with r.
func lowestFold(r rune) rune {
	lowest := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		lowest = min(lowest, f)
	}
	return lowest
}

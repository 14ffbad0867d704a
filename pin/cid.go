package pin

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
)

// maxCID bounds a CID's text before it is decoded, which takes time quadratic in its
// length. The longest there is has a digest of 128 bytes in base2: under 1,300.
const maxCID = 1500

// ParseCID reads the text of a CID, a CIDv0 or a CIDv1 in any base that is text. It
// takes what cid.Decode takes, but for a text that is read as the CID and is not how
// that is written: the decoders of base32 and base64 pass over line breaks, padding and
// bits that are left over, and whoever compares such a text with the CID finds another
// one. Upper and lower case are the same in bases in which they are. An error goes on
// after the text: "is not a CID: ...".
func ParseCID(text string) (cid.Cid, error) {
	if len(text) > maxCID {
		return cid.Undef, fmt.Errorf("is too long to be one: %d bytes", len(text))
	}
	if strings.HasPrefix(text, "\x00") { // multibase's identity: bytes, not text
		return cid.Undef, errors.New("must be in a base that is text, such as base32")
	}
	if strings.ContainsAny(text, "\r\n") {
		return cid.Undef, errors.New("is not a CID: it has a line break in it")
	}
	c, err := cid.Decode(text)
	if err != nil {
		return cid.Undef, fmt.Errorf("is not a CID: %w", err)
	}
	written, err := writtenLike(c, text)
	if err != nil {
		return cid.Undef, fmt.Errorf("is not a CID: %w", err)
	}
	if written != text && !(strings.EqualFold(written, text) && caseless(text)) {
		return cid.Undef, fmt.Errorf("is not as a CID is written: want %s", written)
	}
	return c, nil
}

// writtenLike writes a CID in the base of the text that it was read from.
func writtenLike(c cid.Cid, text string) (string, error) {
	if c.Version() == 0 {
		return c.String(), nil
	}
	base, _ := utf8.DecodeRuneInString(text)
	return c.StringOfBase(multibase.Encoding(base))
}

// caseless reports whether the base of a CIDv1's text has no upper and lower case.
func caseless(text string) bool { return strings.ContainsRune("fFbBvVcCtTkK", rune(text[0])) }

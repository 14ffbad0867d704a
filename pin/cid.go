package pin

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
)

// maxCID bounds the length of a CID's text: decoding takes time quadratic in it. The
// longest CID there is has a digest of 128 bytes in base2, which is under 1,300.
const maxCID = 1500

// ParseCID reads the text of a CID: a CIDv0, or a CIDv1 in any base that is text. It accepts
// what cid.Decode accepts, unless the CID would be written otherwise: the decoders of
// base32 and base64 ignore line breaks, padding and leftover bits, and a client that
// compares its text with the CID would find that they differ. In bases without a
// difference between upper and lower case both are accepted. An error continues the
// text: "is not a CID: ...".
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

// writtenLike writes a CID in the base of the text from which it was read.
func writtenLike(c cid.Cid, text string) (string, error) {
	if c.Version() == 0 {
		return c.String(), nil
	}
	base, _ := utf8.DecodeRuneInString(text)
	return c.StringOfBase(multibase.Encoding(base))
}

// caseless reports whether upper and lower case are the same in the base of a CIDv1's
// text.
func caseless(text string) bool { return strings.ContainsRune("fFbBvVcCtTkK", rune(text[0])) }

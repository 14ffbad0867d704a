// Package jsonblock looks over the JSON of an IPLD node before a decoder builds the node. It
// finds what would keep the decoder busy for hours, or make it take far more memory than the
// JSON has bytes.
package jsonblock

import (
	"bytes"
	"fmt"

	"github.com/polydawn/refmt/json"
	"github.com/polydawn/refmt/tok"
)

const (
	// maxLink bounds the text of a link in bytes: a CID in base36 or base58 is decoded in time
	// quadratic in its length. The longest CID that is accepted anywhere has a digest of 128
	// bytes in base2, which is under 1,300 bytes.
	maxLink = 1500
	// maxDepth is where the decoders of go-ipld-prime stop by themselves. Up to there the
	// nesting takes little memory.
	maxDepth = 1024
)

// Limits are what the JSON of a node is held to.
type Limits struct {
	// Links is whether {"/": "..."} is a link, as in dag-json. Then its text may have 1,500
	// bytes. Any other text may have any length, also that of {"/": {"bytes": "..."}}.
	Links bool
	// Tokens is how many tokens there may be: each value that is no map or list, each key, and
	// each beginning and end of a map or list. 0 means any number.
	Tokens int
}

// Check refuses JSON that is beyond the limits. It does not say whether the JSON is valid,
// which is for the decoder: of what is not valid it looks at the part before the fault, and
// no decoder gets beyond that.
func Check(data []byte, l Limits) error {
	const (
		elsewhere = iota
		inMap     // a map has begun
		afterKey  // its first key is "/"
		afterText // the value of that is a long text
	)
	var (
		d            = json.NewDecoder(bytes.NewReader(data))
		t            tok.Token
		at           = elsewhere
		depth, count int
		length       int // of the long text
	)
	for {
		done, err := d.Step(&t)
		if err != nil {
			return nil
		}
		if count++; l.Tokens > 0 && count > l.Tokens {
			return fmt.Errorf("it has more than %d tokens of JSON", l.Tokens)
		}
		switch t.Type {
		case tok.TMapOpen, tok.TArrOpen:
			if depth++; depth > maxDepth {
				return nil
			}
		case tok.TMapClose, tok.TArrClose:
			depth--
		}
		switch {
		case t.Type == tok.TMapOpen:
			at = inMap
		case at == inMap && t.Type == tok.TString && t.Str == "/":
			at = afterKey
		case at == afterKey && t.Type == tok.TString && len(t.Str) > maxLink:
			at, length = afterText, len(t.Str)
		case at == afterText && t.Type == tok.TMapClose && l.Links:
			return fmt.Errorf("it has a link of %d bytes, which is too long to be a CID", length)
		default:
			at = elsewhere
		}
		if done {
			return nil
		}
	}
}

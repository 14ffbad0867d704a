package kv

import (
	"bytes"
	"context"
)

// CountKeys counts the keys with a prefix.
func (d *DB) CountKeys(ctx context.Context, prefix []byte) (n uint64, err error) {
	err = d.Walk(ctx, Span{Prefix: prefix, KeysOnly: true}, func(_, _ []byte) error {
		n++
		return nil
	})
	return n, err
}

// WalkPage is how many keys are read in one view: a few milliseconds' worth.
const WalkPage = 8192

// Walk calls fn for every key of a span, in order. It reads a piece at a time, so fn may or
// may not see what changes meanwhile. Key and value are valid only until fn returns. The span
// must not be reversed.
func (d *DB) Walk(ctx context.Context, sp Span, fn func(key, value []byte) error) error {
	for {
		rest, err := d.Piece(ctx, sp, fn)
		if err != nil || rest == nil {
			return err
		}
		sp.From = rest
	}
}

// Piece is the first piece of a walk. A value that cannot be read is passed to fn as nil. rest
// is the key of the next piece; nil at the end.
func (d *DB) Piece(ctx context.Context, sp Span, fn func(key, value []byte) error) (rest []byte, err error) {
	n := 0
	err = d.View(ctx, func(r *Reader) error {
		return r.ScanEach(sp, func(key, value []byte) (bool, error) {
			if n++; n > WalkPage {
				rest = bytes.Clone(key)
				return false, nil
			}
			return true, fn(key, value)
		})
	})
	return rest, err
}

// KeyWalk is [DB.Walk], or the same with pauses.
type KeyWalk func(ctx context.Context, sp Span, fn func(key, value []byte) error) error

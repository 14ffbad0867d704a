package store

import (
	"bytes"
	"context"
)

// countKeys counts the keys with a prefix.
func (s *Store) countKeys(ctx context.Context, prefix []byte) (n uint64, err error) {
	err = s.walk(ctx, span{prefix: prefix, keysOnly: true}, func(_, _ []byte) error {
		n++
		return nil
	})
	return n, err
}

// walkPage is how many keys are read before what Badger keeps open for it is
// let go: a few milliseconds' worth.
const walkPage = 8192

// walk calls fn for every key of a span, in order, a piece at a time: what
// changes meanwhile may or may not be seen. Key and value are valid only until
// fn returns. The span must not be reversed.
func (s *Store) walk(ctx context.Context, sp span, fn func(key, value []byte) error) error {
	for {
		rest, err := s.piece(ctx, sp, fn)
		if err != nil || rest == nil {
			return err
		}
		sp.from = rest
	}
}

// piece is the first piece of a walk. A value that cannot be read is given as nil. rest is the key to go on at; nil at the end.
func (s *Store) piece(ctx context.Context, sp span, fn func(key, value []byte) error) (rest []byte, err error) {
	n := 0
	err = s.view(ctx, func(r *reader) error {
		return r.scanEach(sp, func(key, value []byte) (bool, error) {
			if n++; n > walkPage {
				rest = bytes.Clone(key)
				return false, nil
			}
			return true, fn(key, value)
		})
	})
	return rest, err
}

package requests

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// RequestsFor reads the requests for a DAG that hold it: the queued, pinning and pinned ones of
// all accounts, at most limit of them, those of an account newest first.
func (s *Store) RequestsFor(ctx context.Context, d pin.DAG, limit int) (all []pin.Request, err error) {
	err = s.ViewLearning(ctx, func(r *kv.Reader) error {
		all = nil
		work, err := chunksFor(r, d)
		if err != nil {
			return err
		}
		for _, of := range slices.Backward(work) {
			left, err := chunkAt(r, dagList(d, of.account), of.number)
			if err != nil {
				return err
			}
			for _, code := range []statusCode{codePinned, codePinning, codeQueued} {
				if left.empty() {
					break
				}
				if err := s.appendOf(r, left, of, code, limit, &all); err != nil {
					return err
				}
			}
			if len(all) >= limit {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, kv.Wrap(err, "read the requests for %s", d)
	}
	return all, nil
}

// appendOf appends those of some requests of a chunk that have a status, newest first, and takes them out of left.
func (s *Store) appendOf(r *kv.Reader, left *chunk, of chunkOf, code statusCode, limit int, all *[]pin.Request) error {
	which, err := chunkAt(r, statusList(code, of.account), of.number)
	if err != nil {
		return err
	}
	which.and(left)
	left.andNot(which)
	var bits []int
	for bit := range which.up {
		bits = append(bits, bit)
	}
	for _, bit := range slices.Backward(bits) {
		if len(*all) >= limit {
			return nil
		}
		req, found, err := s.load(r, of.account, seqAt(of.number, bit), code)
		if err != nil {
			return err
		}
		if found {
			*all = append(*all, req)
		}
	}
	return nil
}

// NewestRequest is when the newest request was made that there ever was, of any account; zero if
// there was none.
func (s *Store) NewestRequest(ctx context.Context) (at time.Time, err error) {
	newest := int64(0)
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: []byte{KAccount}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			rec, err := s.accountRecord(r, kv.Account(key[1:]))
			newest = max(newest, rec.Last)
			return true, err
		})
	})
	if err != nil {
		return at, kv.Wrap(err, "read when the newest request was made")
	}
	if newest > 0 {
		at = time.UnixMilli(newest).UTC()
	}
	return at, nil
}

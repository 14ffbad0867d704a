package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// An upload that is kept has a record beside the mark of being released. While it has one, nothing
// drops its attempt, and what the attempt links to counts as needed.

// keptUploadRecord is an upload that is kept.
type keptUploadRecord struct {
	_       struct{} `cbor:",toarray"`
	Account [16]byte
	Since   int64 // Unix milliseconds by the clock, which may have been set back since
	Blocks  uint64
	Bytes   uint64
}

// keptKey is the key of that record. Numbers of later uploads are higher.
func keptKey(h graph.Holder) []byte { return holderKey(kKept, h) }

// KeepUpload implements [pin.Graces].
func (g *Store) KeepUpload(ctx context.Context, account string, a pin.Attempt, totals pin.Totals) error {
	owner, ok := kv.AccountOf(account)
	if !ok {
		return fmt.Errorf("keep an upload: account %q is not a UUID", account)
	}
	err := g.kv.Update(ctx, func(t *kv.Tx) error {
		var rec releasedRecord
		found, err := t.Take(releasedKey(graph.HolderOf(a)), &rec)
		if err != nil {
			return err
		}
		if !found || len(rec.DAG) > 0 {
			return errors.New("it is no upload")
		}
		return t.Put(keptKey(graph.HolderOf(a)), keptUploadRecord{
			Account: owner, Since: g.now().UnixMilli(), Blocks: totals.Blocks, Bytes: totals.Bytes,
		})
	})
	if err != nil {
		return kv.Wrap(err, "keep upload %d", a)
	}
	return nil
}

// isKept reports whether an attempt is that of an upload that is kept.
func isKept(r *kv.Reader, h graph.Holder) (bool, error) { return r.Has(keptKey(h)) }

// keptUploads calls fn for each upload that is kept for an account (any if that is ""), the oldest
// first, until fn returns false. A record that cannot be read is everybody's, and empty.
func keptUploads(r *kv.Reader, account string, fn func(pin.Attempt, keptUploadRecord) bool) error {
	owner, ok := kv.AccountOf(account)
	if !ok && account != "" {
		return nil
	}
	return r.ScanEach(kv.Span{Prefix: []byte{kKept}}, func(key, value []byte) (bool, error) {
		var rec keptUploadRecord
		err := kv.Decode(value, &rec)
		if err != nil && !errors.Is(err, diskerr.ErrUnreadable) {
			return false, err
		}
		if err == nil && account != "" && rec.Account != owner {
			return true, nil
		}
		return fn(pin.Attempt(TailHolder(key)), rec), nil
	})
}

// KeptUploads implements [pin.Graces].
func (g *Store) KeptUploads(ctx context.Context, account string) (sum pin.Totals, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return keptUploads(r, account, func(_ pin.Attempt, rec keptUploadRecord) bool {
			sum.Blocks += rec.Blocks
			sum.Bytes += rec.Bytes
			return true
		})
	})
	if err != nil {
		return pin.Totals{}, kv.Wrap(err, "read which uploads are kept")
	}
	return sum, nil
}

// EndUploads implements [pin.Graces].
func (g *Store) EndUploads(ctx context.Context, account string, age time.Duration) (e pin.Ended, more bool, err error) {
	now := g.now().UnixMilli()
	over := func(rec keptUploadRecord) bool { return GraceOver(rec.Since, now, age) }
	var due, ahead []pin.Attempt
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return keptUploads(r, account, func(a pin.Attempt, rec keptUploadRecord) bool {
			switch {
			case over(rec) && len(due) == pin.EndsAtOnce:
				more = true
				return false
			case over(rec):
				due = append(due, a)
			case rec.Since > now:
				ahead = append(ahead, a)
			default:
				return account != ""
			}
			return true
		})
	})
	// All that are ahead get their date at once: what is dated now has others wait that come after it.
	for some := range slices.Chunk(ahead, pin.EndsAtOnce) {
		if err == nil {
			_, err = g.endUploads(ctx, some, over, now) // it ends none of them
		}
	}
	if err == nil && len(due) > 0 {
		e, err = g.endUploads(ctx, due, over, now)
	}
	if err != nil {
		return e, false, kv.Wrap(err, "end what is kept of uploads")
	}
	return e, more, nil
}

// GraceOver reports whether a grace that began at since is over at now, both in Unix milliseconds.
// If the clock was set back in between, the grace begins now.
func GraceOver(since, now int64, age time.Duration) bool {
	return now-min(since, now) >= age.Milliseconds()
}

// maxAboveKept is at how many links the search for a DAG that has a block looks. A block that is in more
// counts as one that none has.
const maxAboveKept = 1000

// EndPinnedUploads implements [pin.Graces].
func (g *Store) EndPinnedUploads(ctx context.Context) (e pin.Ended, err error) {
	var all, due []pin.Attempt
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return keptUploads(r, "", func(a pin.Attempt, _ keptUploadRecord) bool {
			all = append(all, a)
			return true
		})
	})
	for _, a := range all {
		if err != nil || len(due) == pin.EndsAtOnce {
			break
		}
		var pinned bool
		err = g.kv.View(ctx, func(r *kv.Reader) (err error) {
			pinned, err = g.isPinnedUpload(r, a)
			return err
		})
		if pinned {
			due = append(due, a)
		}
	}
	if err == nil && len(due) > 0 {
		e, err = g.endUploads(ctx, due, func(keptUploadRecord) bool { return true }, 0)
	}
	if err != nil {
		return e, kv.Wrap(err, "end what is kept of uploads and pinned")
	}
	return e, nil
}

// isPinnedUpload reports whether complete DAGs have all blocks of an upload.
func (g *Store) isPinnedUpload(r *kv.Reader, a pin.Attempt) (pinned bool, err error) {
	n := 0
	err = r.Scan(kv.Span{Prefix: linksFrom(graph.HolderOf(a))}, func(key, value []byte) (bool, error) {
		l, err := splitLinkFrom(key, value)
		if err != nil {
			return false, err
		}
		n++
		if pinned = n <= pin.MaxKeptBlocks; pinned {
			pinned, err = g.isInCompleteDAG(r, l)
		}
		return pinned, err
	})
	return pinned, err
}

// isInCompleteDAG reports whether a DAG that is complete has a block, and what it links to under the
// codec of a link.
func (g *Store) isInCompleteDAG(r *kv.Reader, l graph.Link) (bool, error) {
	prefix := BlockLinks(l.Hash)
	if mayLink(l.Codec) { // read otherwise, it would be there without what is below it
		prefix = linksTo(l.Hash, l.Codec)
	}
	holders, _, err := holdersAbove(r, prefix, maxAboveKept)
	if err != nil {
		return false, err
	}
	for _, holder := range holders {
		d, inUse, err := g.AttemptDAG(r, pin.Attempt(holder))
		if err != nil {
			return false, err
		}
		if !inUse || d == "" {
			continue
		}
		rec, _, err := g.DAG(r, d)
		if err != nil {
			return false, err
		}
		if rec.Complete && graph.HolderOf(rec.Attempt) == holder {
			return true, nil
		}
	}
	return false, nil
}

// EndOldestUploads implements [pin.Graces].
func (g *Store) EndOldestUploads(ctx context.Context, age time.Duration, bytes uint64) (e pin.Ended, err error) {
	now := g.now().UnixMilli()
	var due []pin.Attempt
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		sum := uint64(0)
		return keptUploads(r, "", func(a pin.Attempt, rec keptUploadRecord) bool {
			if !GraceOver(rec.Since, now, age) {
				return false
			}
			due = append(due, a)
			sum += rec.Bytes
			return sum < bytes && len(due) < pin.EndsAtOnce
		})
	})
	if err == nil && len(due) > 0 {
		e, err = g.endUploads(ctx, due, func(keptUploadRecord) bool { return true }, 0)
	}
	if err != nil {
		return e, kv.Wrap(err, "end what is kept of uploads")
	}
	return e, nil
}

// endUploads ends those that are over. The others are dated now: the clock was set back since they
// were.
func (g *Store) endUploads(ctx context.Context, due []pin.Attempt, over func(keptUploadRecord) bool, now int64) (e pin.Ended, err error) {
	err = g.kv.Update(ctx, func(t *kv.Tx) error {
		e = pin.Ended{}
		for _, a := range due {
			key := keptKey(graph.HolderOf(a))
			var rec keptUploadRecord
			found, err := t.Take(key, &rec)
			if err != nil && !errors.Is(err, diskerr.ErrUnreadable) {
				return err
			}
			if !found {
				continue
			}
			if err != nil { // whose it is, and how much, is not known any more
				g.kv.LogUnreadable(key, err)
				rec = keptUploadRecord{Since: now}
			}
			if !over(rec) {
				rec.Since = now
				if err := t.Put(key, rec); err != nil {
					return err
				}
				continue
			}
			t.Delete(key)
			e.Graces++
			e.Blocks += rec.Blocks
			e.Bytes += rec.Bytes
			e.Released = append(e.Released, a)
		}
		return nil
	})
	if err != nil && !errors.Is(err, diskerr.ErrInDoubt) {
		return pin.Ended{}, err
	}
	return e, err
}

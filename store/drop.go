package store

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Letting go of an attempt takes its links away. A node that nothing links to any
// more loses its own links in turn, and so on down, as far as nothing else holds
// on: what a DAG shares with others is not even looked at.

const (
	// dropsPerBatch bounds how many links are deleted at a time.
	dropsPerBatch = 4096
	// dropsAhead is how many released nodes are remembered; others are found again
	// by their marks.
	dropsAhead = 64 << 10
)

// Drop implements [pin.Records].
func (s *Store) Drop(ctx context.Context, a pin.Attempt) error {
	if err := s.drop(ctx, a); err != nil {
		return wrap(err, "drop attempt %d", a)
	}
	return nil
}

func (s *Store) drop(ctx context.Context, a pin.Attempt) error {
	// One at a time: each ends by dropping all nodes that are marked.
	select {
	case s.dropping <- struct{}{}:
		defer func() { <-s.dropping }()
	case <-ctx.Done():
		return ctx.Err()
	}
	marked := false
	err := s.view(ctx, func(r *reader) error {
		_, inUse, err := r.get(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return fmt.Errorf("it is not released")
		}
		_, marked, err = r.get(releasedKey(a.Holder()))
		return err
	})
	if err != nil || !marked {
		return err
	}
	// A walk that was slow to stop may have written it after the release.
	if err := s.set(wholeKey(a.Holder()), nil); err != nil {
		return err
	}
	d := &dropper{s: s, next: []pin.Holder{a.Holder()}}
	// An interrupted Drop may have left released nodes, too.
	for d.missed = true; ; {
		for len(d.next) > 0 {
			if err := d.step(ctx, a); err != nil {
				return err
			}
		}
		if !d.missed {
			break
		}
		if err := d.find(ctx); err != nil {
			return err
		}
	}
	// The attempt's mark goes last: it is what an interrupted Drop is done by.
	return s.update(ctx, func(t *tx) error {
		t.delete(releasedKey(a.Holder()))
		return nil
	})
}

// dropper goes down from an attempt.
type dropper struct {
	s      *Store
	next   []pin.Holder // whose links are to be deleted, the last first
	missed bool         // there are others, which have their marks
}

// find reads the marks of released nodes.
func (d *dropper) find(ctx context.Context) error {
	d.missed = false
	return d.s.view(ctx, func(r *reader) error {
		return r.scan(span{prefix: []byte{kReleased}}, func(key, value []byte) (bool, error) {
			if len(value) > 0 {
				return true, nil // an attempt
			}
			if d.missed = len(d.next) == dropsAhead; d.missed {
				return false, nil
			}
			d.next = append(d.next, tailHolder(key))
			return true, nil
		})
	})
}

// step deletes a batch of links, of as many holders as it takes, and with it the marks
// of the nodes that have no more.
func (d *dropper) step(ctx context.Context, a pin.Attempt) error {
	var page []pin.Link
	var done []pin.Holder
	for len(d.next) > 0 && len(page) < dropsPerBatch {
		h := d.next[len(d.next)-1]
		links, more, err := d.s.linksPage(ctx, h, nil, dropsPerBatch-len(page))
		if err != nil {
			return err
		}
		page = append(page, links...)
		if more != nil {
			break // the rest of them comes next
		}
		d.next = d.next[:len(d.next)-1]
		if h != a.Holder() {
			done = append(done, h)
		}
	}
	return d.links(ctx, page, done)
}

// links deletes links, with the marks of the nodes that have no others, and releases
// the nodes that lose their last. Each block is noted, for the next reclaim to look
// at. The stripes are held meanwhile: shared, so that no reclaim takes a note as
// settled by a link that is just going; and alone where a node may be released, so
// that nobody comes to rely on it.
func (d *dropper) links(ctx context.Context, page []pin.Link, done []pin.Holder) error {
	s := d.s
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.roomForUpkeep(); err != nil {
		return err
	}
	var shared, alone []multihash.Multihash
	for _, l := range page {
		if mayLink(l.Codec) {
			alone = append(alone, l.Hash)
		} else {
			shared = append(shared, l.Hash)
		}
	}
	defer s.claims.hold(shared, alone)()
	released, err := s.orphans(page)
	if err != nil {
		return err
	}
	if s.beforeRelease != nil && len(released) > 0 {
		s.beforeRelease(released)
	}
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	if err := fillDrop(wb, page, released, done); err != nil {
		return err
	}
	if err := wb.Flush(); err != nil {
		return err
	}
	for _, n := range released {
		if len(d.next) >= dropsAhead {
			d.missed = true
			break
		}
		d.next = append(d.next, n.ID)
	}
	return nil
}

// mayLink reports whether a block read under a codec may link to others.
func mayLink(codec uint64) bool { return codec != cid.Raw && codec != codecUnknown }

// orphans lists the nodes that are linked to by nothing but links of the page.
func (s *Store) orphans(page []pin.Link) (nodes []pin.Node, err error) {
	going := make(map[string]struct{}, len(page))
	for _, l := range page {
		if mayLink(l.Codec) {
			going[string(linkToKey(l))] = struct{}{}
		}
	}
	seen := map[pin.Holder]struct{}{}
	txn := s.db.NewTransaction(false) // after the stripes were taken: it sees every link
	defer txn.Discard()
	r := &reader{txn: txn}
	for _, l := range page {
		if !mayLink(l.Codec) {
			continue
		}
		held := false
		err := r.scan(span{prefix: linksTo(l.Hash, l.Codec), keysOnly: true}, func(key, _ []byte) (bool, error) {
			_, goes := going[string(key)]
			held = !goes
			return !held, nil
		})
		if err != nil {
			return nil, err
		}
		if held {
			continue
		}
		err = r.nodes(l.DAG(), func(id pin.Holder, a pin.Attempt) bool {
			if _, twice := seen[id]; !twice {
				seen[id] = struct{}{}
				nodes = append(nodes, pin.Node{ID: id, DAG: l.DAG(), Attempt: a})
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// fillDrop writes it in an order in which it may be cut off anywhere, and be done
// again: a node is marked before it is no node any more, a link's side by which it is
// found goes after the other, and the marks of those that have no more go last.
func fillDrop(wb *badger.WriteBatch, page []pin.Link, released []pin.Node, done []pin.Holder) error {
	for _, n := range released {
		if err := wb.Set(releasedKey(n.ID), nil); err != nil {
			return err
		}
		for _, key := range [][]byte{wholeKey(n.ID), nodeKey(n.ID), nodesKey(n)} {
			if err := wb.Delete(key); err != nil {
				return err
			}
		}
	}
	for _, l := range page {
		if err := wb.Set(looseKey(l.Hash), encodeSize(l.Size)); err != nil {
			return err
		}
		if err := wb.Delete(linkToKey(l)); err != nil {
			return err
		}
		if err := wb.Delete(linkFromKey(l)); err != nil {
			return err
		}
	}
	for _, h := range done {
		if err := wb.Delete(releasedKey(h)); err != nil {
			return err
		}
	}
	return nil
}

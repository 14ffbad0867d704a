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
	d := &dropper{s: s}
	if err := d.holder(ctx, a.Holder()); err != nil {
		return err
	}
	if err := d.nodes(ctx); err != nil {
		return err
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
	next   []pin.Holder // released nodes that are known of, the last first
	missed bool         // there are others
}

// nodes drops all nodes that are marked as released.
func (d *dropper) nodes(ctx context.Context) error {
	// An interrupted Drop may have left some, too.
	for d.missed = true; d.missed; {
		if err := d.find(ctx); err != nil {
			return err
		}
		for len(d.next) > 0 {
			h := d.next[len(d.next)-1]
			d.next = d.next[:len(d.next)-1]
			if err := d.holder(ctx, h); err != nil {
				return err
			}
			if err := d.s.set(releasedKey(h), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// find reads the marks of released nodes.
func (d *dropper) find(ctx context.Context) error {
	d.next, d.missed = nil, false
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

// holder deletes a holder's links.
func (d *dropper) holder(ctx context.Context, h pin.Holder) error {
	for {
		page, next, err := d.s.linksPage(ctx, h, nil, dropsPerBatch)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			if err := d.links(ctx, page); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
	}
}

// links deletes links of one holder, and releases the nodes that lose their last.
// Each block is noted, for the next reclaim to look at. The stripes are held
// meanwhile: shared, so that no reclaim takes a note as settled by a link that is
// just going; and alone where a node may be released, so that nobody comes to rely
// on it.
func (d *dropper) links(ctx context.Context, page []pin.Link) error {
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
	if err := fillDrop(wb, page, released); err != nil {
		return err
	}
	if err := wb.Flush(); err != nil {
		return err
	}
	for _, n := range released {
		if len(d.next) == dropsAhead {
			d.missed = true
			break
		}
		d.next = append(d.next, n.ID)
	}
	return nil
}

// mayLink reports whether a block read under a codec may link to others.
func mayLink(codec uint64) bool { return codec != cid.Raw && codec != codecUnknown }

// orphans lists the nodes that are linked to by nothing else.
func (s *Store) orphans(page []pin.Link) (nodes []pin.Node, err error) {
	txn := s.db.NewTransaction(false) // after the stripes were taken: it sees every link
	defer txn.Discard()
	r := &reader{txn: txn}
	for _, l := range page {
		if !mayLink(l.Codec) {
			continue
		}
		held := false
		err := r.scan(span{prefix: linksTo(l.Hash, l.Codec), keysOnly: true}, func(key, _ []byte) (bool, error) {
			held = tailHolder(key) != l.Holder
			return !held, nil
		})
		if err != nil {
			return nil, err
		}
		if held {
			continue
		}
		err = r.nodes(l.DAG(), func(id pin.Holder, a pin.Attempt) bool {
			nodes = append(nodes, pin.Node{ID: id, DAG: l.DAG(), Attempt: a})
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// fillDrop writes it in an order in which it may be cut off anywhere, and be done
// again: a node is marked before it is no node any more, and a link's side by which
// it is found goes last.
func fillDrop(wb *badger.WriteBatch, page []pin.Link, released []pin.Node) error {
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
	return nil
}

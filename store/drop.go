package store

import (
	"bytes"
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
	// witnessesMost bounds of how many nodes a link is remembered: some 200 bytes each.
	witnessesMost = 16 << 10
)

// drops is what is remembered from one Drop to the next, by the one that runs.
type drops struct {
	// settled: no node is released that the last Drop did not drop. Else, after a
	// start or an error, the marks are read.
	settled bool
	// witnesses has a link to each of some nodes, under what all links to it start
	// with. To a popular node, an empty directory say, many links go one after the
	// other, and what they leave in Badger is stepped over by who begins at the first.
	witnesses map[string]string
	// For tests, if not nil, told how many links, or marks, were read at a time.
	afterLinks, afterMarks func(n int)
}

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
		inUse, err := r.has(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return fmt.Errorf("it is not released")
		}
		marked, err = r.has(releasedKey(a.Holder()))
		return err
	})
	if err != nil || !marked {
		return err
	}
	// A walk that was slow to stop may have written it after the release.
	if err := s.set(wholeKey(a.Holder()), nil); err != nil {
		return err
	}
	d := &dropper{s: s, next: []pin.Holder{a.Holder()}, missed: !s.drops.settled}
	s.drops.settled = false
	for {
		for len(d.next) > 0 {
			if err := d.step(ctx, a); err != nil {
				return err
			}
		}
		if !d.missed && d.from == nil {
			break
		}
		if err := d.find(ctx); err != nil {
			return err
		}
	}
	s.drops.settled = true
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
	from   []byte       // the mark to go on at, if they are being read
}

// find reads marks of released nodes, as many as are remembered. A row of calls goes
// through them once; what is missed meanwhile takes another.
func (d *dropper) find(ctx context.Context) error {
	if d.from == nil {
		d.missed = false
	}
	from, read := d.from, 0
	d.from = nil
	err := d.s.view(ctx, func(r *reader) error {
		return r.scan(span{prefix: []byte{kReleased}, from: from, keysOnly: true}, func(key, _ []byte) (bool, error) {
			read++
			if node, err := d.s.releasedNode(r, key); err != nil || !node {
				return true, err // an attempt
			}
			if len(d.next) == dropsAhead {
				d.from = bytes.Clone(key)
				return false, nil
			}
			d.next = append(d.next, tailHolder(key))
			return true, nil
		})
	})
	if d.s.drops.afterMarks != nil {
		d.s.drops.afterMarks(read)
	}
	return err
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
	looked := make(map[string]struct{}, len(page))
	txn := s.db.NewTransaction(false) // after the stripes were taken: it sees every link
	defer txn.Discard()
	r := &reader{txn: txn}
	for _, l := range page {
		to := linksTo(l.Hash, l.Codec)
		if _, twice := looked[string(to)]; twice || !mayLink(l.Codec) {
			continue
		}
		looked[string(to)] = struct{}{}
		held, err := s.drops.held(r, to, going)
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

// held reports whether there is a link that begins so and is not going. It remembers
// it, and looks from there on the next time.
func (d *drops) held(r *reader, to []byte, going map[string]struct{}) (held bool, err error) {
	read := 0
	if d.afterLinks != nil {
		defer func() { d.afterLinks(read) }()
	}
	last, known := d.witnesses[string(to)]
	stays := func(key []byte) bool {
		read++
		_, goes := going[string(key)]
		return !goes
	}
	if known && stays([]byte(last)) {
		if _, found, err := r.get([]byte(last)); err != nil || found {
			return found, err
		}
	}
	look := func(from []byte, until string) error {
		return r.scan(span{prefix: to, from: from, keysOnly: true}, func(key, _ []byte) (bool, error) {
			if until != "" && string(key) >= until {
				return false, nil
			}
			if held = stays(key); held {
				d.remember(to, key)
			}
			return !held, nil
		})
	}
	if known {
		if err := look([]byte(last), ""); err != nil || held {
			return held, err
		}
	}
	if err := look(nil, last); err != nil || held {
		return held, err
	}
	delete(d.witnesses, string(to))
	return false, nil
}

func (d *drops) remember(to, link []byte) {
	if d.witnesses == nil || len(d.witnesses) >= witnessesMost {
		d.witnesses = map[string]string{}
	}
	d.witnesses[string(to)] = string(link)
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

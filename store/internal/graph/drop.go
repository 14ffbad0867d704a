package graph

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Letting go of an attempt takes its links away. A node that nothing links to any
// more loses its own links in turn, and so on down, as far as nothing else holds
// on: what a DAG shares with others is not even looked at.

const (
	// dropsPerBatch bounds how many links are deleted at a time, however many levels
	// of the DAG they are of: pins wait for that long for a stripe. Each batch is a sync.
	dropsPerBatch = 4096
	// levelsPerBatch bounds how far down a batch goes, for the same reason: each level
	// is looked up by itself.
	levelsPerBatch = 1024
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
	// For tests, if not nil. afterLinks and afterMarks are told how many links, or
	// marks, were read at a time. beforeStripes is called between finding out what a
	// batch may take and taking its stripes. cut gives how many of a batch's changes
	// are made before it fails, if that is fewer than all. levels, if not zero, is in
	// place of levelsPerBatch.
	afterLinks, afterMarks func(n int)
	beforeStripes          func()
	cut                    func(changes int) int
	levels                 int
}

// Drop lets go of what a released attempt holds, for [pin.Engine]. With the last link it
// forgets the attempt, as Dropped does. It is an error if the attempt is not released;
// then nothing is dropped.
func (g *Store) Drop(ctx context.Context, a pin.Attempt) error {
	if err := g.drop(ctx, a); err != nil {
		return kv.Wrap(err, "drop attempt %d", a)
	}
	return nil
}

func (g *Store) drop(ctx context.Context, a pin.Attempt) error {
	// One at a time: each ends by dropping all nodes that are marked.
	select {
	case g.dropping <- struct{}{}:
		defer func() { <-g.dropping }()
	case <-ctx.Done():
		return ctx.Err()
	}
	marked := false
	err := g.kv.View(ctx, func(r *kv.Reader) error {
		inUse, err := r.Has(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return fmt.Errorf("it is not released")
		}
		marked, err = r.Has(releasedKey(graph.HolderOf(a)))
		return err
	})
	if err != nil || !marked {
		return err
	}
	d := &dropper{s: g, attempt: graph.HolderOf(a), next: []graph.Holder{graph.HolderOf(a)}, missed: !g.drops.settled}
	g.drops.settled = false
	for {
		for len(d.next) > 0 {
			if err := d.step(ctx); err != nil {
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
	g.drops.settled = true
	// The attempt's mark goes last: it is what an interrupted Drop is done by. With it
	// goes that the attempt is whole, which a walk that was slow to stop may have
	// written after the release; it has counted for nothing since then.
	return g.kv.Update(ctx, func(t *kv.Tx) error {
		t.Delete(WholeKey(graph.HolderOf(a)))
		t.Delete(releasedKey(graph.HolderOf(a)))
		return nil
	})
}

// dropper goes down from an attempt.
type dropper struct {
	s       *Store
	attempt graph.Holder
	next    []graph.Holder // whose links are to be deleted, the last first
	missed  bool           // there are others, which have their marks
	from    []byte         // the mark to go on at, if they are being read
}

// find reads marks of released nodes, as many as are remembered. A row of calls goes
// through them once; what is missed meanwhile takes another.
func (d *dropper) find(ctx context.Context) error {
	if d.from == nil {
		d.missed = false
	}
	from, read := d.from, 0
	d.from = nil
	err := d.s.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: []byte{kReleased}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			read++
			if node, err := d.s.releasedNode(r, key); err != nil || !node {
				return true, err // an attempt
			}
			if len(d.next) == dropsAhead {
				d.from = bytes.Clone(key)
				return false, nil
			}
			d.next = append(d.next, TailHolder(key))
			return true, nil
		})
	})
	if d.s.drops.afterMarks != nil {
		d.s.drops.afterMarks(read)
	}
	return err
}

// step deletes a batch of links, of as many holders as it takes, and with it the marks
// of the nodes that have no more. It releases the nodes that lose their last link, and
// goes on with their links in the same batch. Each block is noted, for the next reclaim
// to look at.
//
// The stripes of all that the links lead to are held meanwhile: shared, so that no
// reclaim takes a note as settled by a link that is just going; and alone where a node
// may be released, so that nobody comes to rely on it. Stripes are taken in order and
// all at once, so what may go is found out before. Whether anything else holds a node is
// then looked at again. If nothing does its other records are as they were: a walk links
// to a node before it writes anything of it, and only a Drop takes a link away.
func (d *dropper) step(ctx context.Context) error {
	s := d.s
	guess := d.batch(nil)
	if err := s.kv.View(ctx, guess.gather); err != nil {
		return err
	}
	if s.drops.beforeStripes != nil {
		s.drops.beforeStripes()
	}
	if err := s.kv.Enter(ctx); err != nil {
		return err
	}
	defer s.kv.Leave()
	if err := s.space.RoomForUpkeep(); err != nil {
		return err
	}
	var shared, alone []multihash.Multihash
	for _, l := range guess.links {
		if mayLink(l.Codec) {
			alone = append(alone, l.Hash)
		} else {
			shared = append(shared, l.Hash)
		}
	}
	defer s.claims.hold(shared, alone)()
	b := d.batch(guess)
	if err := b.read(); err != nil {
		return err
	}
	if s.beforeRelease != nil && len(b.released) > 0 {
		s.beforeRelease(b.released)
	}
	if err := b.write(); err != nil {
		return err
	}
	d.next, d.missed = b.next, b.missed
	return nil
}

// mayLink reports whether a block read under a codec may link to others.
func mayLink(codec uint64) bool { return codec != cid.Raw }

// held reports whether there is a link that begins so and is not going. It remembers
// it, and looks from there on the next time.
func (d *drops) held(r *kv.Reader, to []byte, going map[string]struct{}) (held bool, err error) {
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
		if _, found, err := r.Get([]byte(last)); err != nil || found {
			return found, err
		}
	}
	look := func(from []byte, until string) error {
		return r.Scan(kv.Span{Prefix: to, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
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

package graph

import (
	"bytes"
	"context"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// To drop an attempt is to delete its links. A node that then has no link to it any more loses
// its own links in turn, and so on down. What something else still holds is not read: the cost
// is that of what the attempt alone holds.

const (
	// dropsPerBatch is how many links are deleted at a time, on any number of levels of the
	// DAG. Pins that need a stripe wait for as long as that takes. Each batch is a sync.
	dropsPerBatch = 4096
	// levelsPerBatch is how many levels a batch goes down, for the same reason: each level
	// takes a look-up of its own.
	levelsPerBatch = 1024
	// maxAhead is how many released nodes are kept in memory. The others are found again by
	// their marks.
	maxAhead = 64 << 10
	// maxWitnesses is for how many nodes a link is remembered: some 200 bytes each.
	maxWitnesses = 16 << 10
)

// drops is what is remembered from one Drop to the next. The one Drop that runs uses it.
type drops struct {
	// settled: the last Drop dropped all nodes that are released. It is false after a start
	// or an error; then the marks are read.
	settled bool
	// witnesses has, for some nodes, the last link that was still there; its key is the
	// prefix of all links to the node. A popular node, such as an empty directory, has one
	// link for each holder. When many are deleted in a row they leave tombstones, and a scan
	// from the first link steps over all of them. A scan from the remembered link does not.
	witnesses map[string]string
	// For tests, if not nil. afterLinks and afterMarks get the number of links, or marks,
	// that were read at a time. beforeStripes is called after a batch was planned and before
	// its stripes are taken. cut returns how many changes of a batch are made before it
	// fails. levels, if not zero, replaces levelsPerBatch.
	afterLinks, afterMarks func(n int)
	beforeStripes          func()
	cut                    func(changes int) int
	levels                 int
}

// Drop drops what a released attempt holds, for [pin.Engine]. With the last link it forgets the
// attempt, as Dropped does. If the attempt is not released, Drop returns an error and drops
// nothing.
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
	marked, err := g.isMarked(ctx, a)
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
	// The attempt's mark goes last: by it an interrupted Drop is done again. The mark that
	// the attempt is whole goes with it. A walk that was slow to stop may have written that
	// after the release, since when it counts for nothing.
	return g.kv.Update(ctx, func(t *kv.Tx) error {
		t.Delete(WholeKey(graph.HolderOf(a)))
		t.Delete(releasedKey(graph.HolderOf(a)))
		return nil
	})
}

// dropper is one Drop: it goes down from an attempt.
type dropper struct {
	s       *Store
	attempt graph.Holder
	next    []graph.Holder // holders whose links are to be deleted; the last comes first
	missed  bool           // there are more such holders, which are marked
	from    []byte         // the next mark, while marks are being read
}

// find reads marks of released nodes, as many as are kept in memory. Several calls go through
// the marks once. Nodes that are missed meanwhile take another round.
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
			if len(d.next) == maxAhead {
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

// step deletes a batch of links, of one or more holders, and the marks of the holders that then
// have none left. It releases the nodes that lose their last link, and goes on with their links
// in the same batch. Each block gets a note, so that the next reclaim looks at it.
//
// Meanwhile step holds the stripes of all blocks that the links lead to. It shares them, so
// that no reclaim settles a note by a link that is about to go. It takes them alone where a
// node may be released, so that nothing begins to rely on the node. Stripes are taken in order
// and all at once, so step plans the batch before. Once it has them it looks again whether
// anything else holds a node. If not, the node's other records are unchanged: a walk links to a
// node before it writes anything about it, and only a Drop deletes links.
func (d *dropper) step(ctx context.Context) error {
	s := d.s
	plan := d.batch(nil)
	if err := s.kv.View(ctx, plan.gather); err != nil {
		return err
	}
	if s.drops.beforeStripes != nil {
		s.drops.beforeStripes()
	}
	if err := s.kv.Enter(ctx); err != nil {
		return err
	}
	defer s.kv.Leave()
	if err := s.kv.MayUpkeep(); err != nil { // the release may be in doubt
		return err
	}
	var shared, alone []multihash.Multihash
	for _, l := range plan.links {
		if mayLink(l.Codec) {
			alone = append(alone, l.Hash)
		} else {
			shared = append(shared, l.Hash)
		}
	}
	defer s.claims.hold(shared, alone)()
	b := d.batch(plan)
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

// held reports whether there is a link with a prefix that is not about to go. It remembers the
// link that it found, and begins there the next time.
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
	if d.witnesses == nil || len(d.witnesses) >= maxWitnesses {
		d.witnesses = map[string]string{}
	}
	d.witnesses[string(to)] = string(link)
}

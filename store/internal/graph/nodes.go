package graph

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// holdersAtATime is how many numbers are taken from the committer together, with one sync.
const holdersAtATime = 4096

// NewHolders gives n numbers that no holder has or ever had: first, and those that follow it. n
// is from 1 to a thousand.
func (g *Store) NewHolders(ctx context.Context, n int) (first graph.Holder, err error) {
	g.holders.mu.Lock()
	defer g.holders.mu.Unlock()
	if g.holders.left < n {
		var last graph.Holder
		err := g.kv.Update(ctx, func(t *kv.Tx) (err error) {
			last, err = takeHolders(t, holdersAtATime)
			return err
		})
		if err != nil {
			return 0, kv.Wrap(err, "number %d nodes", n)
		}
		g.holders.next, g.holders.left = last-holdersAtATime+1, holdersAtATime
	}
	first = g.holders.next
	g.holders.next += graph.Holder(n)
	g.holders.left -= n
	return first, nil
}

// takeHolders takes n numbers, and gives the last of them. That is part of the change that uses
// them, or of one before it. So a number is given again only if no use of it was committed.
func takeHolders(t *kv.Tx, n int) (last graph.Holder, err error) {
	key := kv.MetaKey(kv.MetaHolder)
	b, found, err := t.Get(key)
	switch {
	case errors.Is(err, diskerr.ErrUnreadable), err == nil && found && len(b) != 8:
		if last, err = lastHolder(&t.Reader); err != nil {
			return 0, err
		}
		last += holdersUnknown
	case err != nil:
		return 0, err
	case found:
		last = graph.Holder(binary.BigEndian.Uint64(b))
	}
	last += graph.Holder(n)
	t.Set(key, binary.BigEndian.AppendUint64(nil, uint64(last)))
	return last, nil
}

// LastAttempt is the highest number that an attempt can have by now. Each later one is higher.
func (g *Store) LastAttempt(ctx context.Context) (a pin.Attempt, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		b, found, err := r.Get(kv.MetaKey(kv.MetaHolder))
		if err == nil && found && len(b) == 8 {
			a = pin.Attempt(binary.BigEndian.Uint64(b))
			return nil
		}
		if err != nil && !errors.Is(err, diskerr.ErrUnreadable) {
			return err
		}
		last, err := lastHolder(r)
		a = pin.Attempt(last)
		return err
	})
	if err != nil {
		return 0, kv.Wrap(err, "read the number of the last attempt")
	}
	return a, nil
}

// TakeNumber gives a number that is higher than all that it gave before, and is none of a holder.
func TakeNumber(t *kv.Tx) (uint64, error) {
	n, err := takeHolders(t, 1)
	return uint64(n), err
}

// holdersUnknown is larger than the count of numbers above the highest in any key that may have
// been given out: to holders that are gone, and to walks that have not written them yet. There
// are 2^64 numbers.
const holdersUnknown = 1 << 40

// lastHolder is the highest number in any key.
func lastHolder(r *kv.Reader) (last graph.Holder, err error) {
	for _, kind := range []byte{KAttempt, kReleased, kLinkFrom, kNode, kWhole} {
		err := r.Scan(kv.Span{Prefix: []byte{kind}, Reverse: true, KeysOnly: true, From: lastKey(kind)}, func(key, _ []byte) (bool, error) {
			last = max(last, graph.Holder(binary.BigEndian.Uint64(key[1:])))
			return false, nil
		})
		if err != nil {
			return 0, err
		}
	}
	return last, nil
}

// lastKey is after all keys of a kind that has holders in its keys.
func lastKey(kind byte) []byte { return append([]byte{kind}, bytes.Repeat([]byte{0xff}, MaxDAG)...) }

// NodeOf gives the node that an attempt has for a block, if an earlier run of its walk came so
// far.
func (g *Store) NodeOf(ctx context.Context, a pin.Attempt, d pin.DAG) (h graph.Holder, found bool, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return eachNode(r, d, func(id graph.Holder, of pin.Attempt) bool {
			if of == a {
				h, found = id, true
			}
			return !found
		})
	})
	if err != nil {
		return 0, false, kv.Wrap(err, "look for a node of %s", d)
	}
	return h, found, nil
}

// eachNode calls fn for each node of a block under a codec, until it returns false.
func eachNode(r *kv.Reader, d pin.DAG, fn func(id graph.Holder, a pin.Attempt) (more bool)) error {
	return r.ScanEach(kv.Span{Prefix: nodesOf(d)}, func(key, value []byte) (bool, error) {
		var of pin.Attempt // 0 if it cannot be read: then no attempt goes on with the node
		if len(value) == 8 {
			of = pin.Attempt(binary.BigEndian.Uint64(value))
		}
		return fn(TailHolder(key), of), nil
	})
}

// maxWholeLooks is for how many holders of a block the mark of being whole is looked up. If a
// block has more, such as an empty file, most likely one of the first has the mark.
const maxWholeLooks = 16

// Whole reports whether all of a DAG is known to be on disk and held: the DAG is below a holder
// that is marked as whole, and its blocks were checked against limits no wider than l. It looks
// at how things were a moment ago, as [Store.Look] does, or, if surely, at how they are now. The
// answer stays true only if a link to d was written before, which keeps d.
func (g *Store) Whole(ctx context.Context, d pin.DAG, l pin.Limits, surely bool) (whole bool, err error) {
	c := d.CID()
	if !c.Defined() {
		return false, nil
	}
	read := func(r *kv.Reader) (err error) {
		whole, err = isWholeDAG(r, c, l)
		return err
	}
	if surely {
		err = g.kv.View(ctx, read)
	} else {
		err = g.kv.Glance(ctx, read)
	}
	if err != nil {
		return false, kv.Wrap(err, "look whether %s is whole", d)
	}
	return whole, nil
}

func isWholeDAG(r *kv.Reader, c cid.Cid, l pin.Limits) (whole bool, err error) {
	looks := 0
	ask := func(h graph.Holder) (more bool, err error) {
		whole, err = isWhole(r, h, l)
		looks++
		return !whole && looks < maxWholeLooks, err
	}
	if c.Type() != cid.Raw {
		var inner error
		err := eachNode(r, pin.DAGOf(c), func(id graph.Holder, _ pin.Attempt) (more bool) {
			more, inner = ask(id)
			return more && inner == nil
		})
		if err != nil || inner != nil || whole {
			return whole, kv.FirstError(err, inner)
		}
	}
	looks = 0
	err = r.Scan(kv.Span{Prefix: linksTo(c.Hash(), c.Type()), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		return ask(TailHolder(key))
	})
	return whole, err
}

// isWhole reports whether everything below a holder is there and was checked against limits. For
// a released attempt or node it is always false, even if there is a mark: a walk may write the
// mark after the release, when what is below is being dropped.
func isWhole(r *kv.Reader, h graph.Holder, l pin.Limits) (bool, error) {
	value, found, err := r.Get(WholeKey(h))
	if err != nil || !found {
		if errors.Is(err, diskerr.ErrUnreadable) { // then a walk looks for itself, and writes the mark again
			err = nil
		}
		return false, err
	}
	kept, err := decodeKept(value)
	if err != nil || !within(kept.BlockBytes, l.BlockBytes) || !within(kept.Links, l.Links) {
		return false, nil
	}
	_, released, err := r.Get(releasedKey(h))
	return err == nil && !released, err
}

// inUse reports whether a holder is a node, an attempt that is not released, or an upload that is
// kept.
func inUse(r *kv.Reader, h graph.Holder) (bool, error) {
	found, err := r.Has(nodeKey(h))
	if err == nil && !found {
		found, err = r.Has(attemptKey(pin.Attempt(h)))
	}
	if err == nil && !found {
		found, err = isKept(r, h)
	}
	return found, err
}

// within reports whether what was checked against one limit keeps another; 0 is no limit.
func within(kept, limit uint64) bool { return limit == 0 || kept > 0 && kept <= limit }

// encodeKept is the value of a mark of being whole: the limits that each block was checked
// against. Limits of a whole DAG are checked when it is complete.
func encodeKept(l pin.Limits) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, l.BlockBytes), l.Links)
}

func decodeKept(b []byte) (l pin.Limits, err error) {
	bytes, n := binary.Uvarint(b)
	if n <= 0 {
		return l, fmt.Errorf("mark of being whole is %x", b)
	}
	links, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return l, fmt.Errorf("mark of being whole is %x", b)
	}
	return pin.Limits{BlockBytes: bytes, Links: links}, nil
}

// wholeNode gives a node of a block that is whole. ok is false if there is none.
func wholeNode(r *kv.Reader, d pin.DAG) (id graph.Holder, ok bool, err error) {
	var inner error
	err = eachNode(r, d, func(h graph.Holder, _ pin.Attempt) bool {
		if ok, inner = isWhole(r, h, pin.Limits{}); ok {
			id = h
		}
		return !ok && inner == nil
	})
	return id, ok, kv.FirstError(inner, err)
}

// Below lists what a DAG's root links to, by the records of a node of it that is whole. ok is
// false if there is no such node.
func (g *Store) Below(ctx context.Context, d pin.DAG) (below []graph.Link, ok bool, err error) {
	var id graph.Holder
	err = g.kv.View(ctx, func(r *kv.Reader) (err error) {
		id, ok, err = wholeNode(r, d)
		return err
	})
	if err == nil && ok {
		for l, err := range g.Links(ctx, id) {
			if err != nil {
				return nil, false, err
			}
			below = append(below, l)
		}
	}
	if err != nil {
		return nil, false, kv.Wrap(err, "look for what is below %s", d)
	}
	return below, ok, nil
}

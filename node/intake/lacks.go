package intake

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Lacks implements [pin.Intake]. Below what is known to be whole nothing is read. Of a DAG that is
// not whole it gives the block that is found first: all that a block links to is looked for
// before what is further below. So what waits to be read is here, and is in memory once.
func (in *Intake) Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error) {
	been := seen.New(in.cfg.Dir, func() int { return in.cfg.Share.of(seenTotal, seenLeast) }).Within(in.cfg.Room)
	defer func() { err = errors.Join(err, been.Close()) }()
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, here, err := in.below(ctx, c)
		if err != nil {
			return cid.Undef, err
		}
		if !here {
			return c, nil
		}
		for _, l := range below {
			switch read, here, err := in.find(ctx, been, l); {
			case err != nil:
				return cid.Undef, err
			case !here:
				return l, nil
			case read:
				todo = append(todo, l)
			}
		}
	}
	return cid.Undef, nil
}

// find looks for a block that something links to. here is whether it is here; read says that
// it has to be read, since something below it may not be. been has those that were looked for.
func (in *Intake) find(ctx context.Context, been *seen.Set, c cid.Cid) (read, here bool, err error) {
	key := multihash.Multihash(pin.DAGOf(c))
	if mark, err := been.Get(key); err != nil || mark != 0 {
		return false, true, err
	}
	if err := been.Put(key, 1); err != nil {
		return false, false, err
	}
	if c.Type() == cid.Raw { // there is nothing below it
		_, here, err := in.below(ctx, c)
		return false, here, err
	}
	came, whole, err := in.state(c)
	if err != nil || came {
		return !whole, true, err
	}
	if here, err = in.cfg.Store.Blockstore().Has(ctx, c); err != nil {
		return false, false, fmt.Errorf("look for block %s: %w", c, err)
	}
	return true, here, nil
}

// below gives what a block links to, unless it is known to be whole. here is whether it is
// here.
func (in *Intake) below(ctx context.Context, c cid.Cid) (below []cid.Cid, here bool, err error) {
	if data, ok := links.Inline(c); ok {
		below, err = in.linksOf(c, data)
		return below, true, err
	}
	if came, whole, err := in.state(c); err != nil || whole || came && c.Type() == cid.Raw {
		return nil, true, err
	}
	b, err := in.cfg.Store.Blockstore().Get(ctx, c)
	if ipld.IsNotFound(err) || errors.Is(err, pin.ErrUnreadable) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look for block %s: %w", c, err)
	}
	if whole, err := in.cfg.Store.Whole(ctx, pin.DAGOf(c), pin.Limits{}, false); err != nil || whole {
		return nil, true, err
	}
	below, err = in.linksOf(c, b.RawData())
	return below, true, err
}

// state says what the upload knows of a block.
func (in *Intake) state(c cid.Cid) (came, whole bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return false, false, in.err
	}
	mark, err := in.mark(pin.DAGOf(c))
	return mark&markCame != 0, mark&markWhole != 0, err
}

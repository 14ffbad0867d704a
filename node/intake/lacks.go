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

// Lacks implements [pin.Intake]. Below what is known to be whole nothing is read.
func (in *Intake) Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error) {
	been := seen.New(in.cfg.Dir, func() int { return in.cfg.Share.of(seenTotal, seenLeast) })
	defer func() { err = errors.Join(err, been.Close()) }()
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		key := multihash.Multihash(pin.DAGOf(c))
		if mark, err := been.Get(key); err != nil || mark != 0 {
			if err != nil {
				return cid.Undef, err
			}
			continue
		}
		if err := been.Put(key, 1); err != nil {
			return cid.Undef, err
		}
		below, here, err := in.below(ctx, c)
		if err != nil {
			return cid.Undef, err
		}
		if !here {
			return c, nil
		}
		todo = append(todo, below...)
	}
	return cid.Undef, nil
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

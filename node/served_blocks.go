package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// errReadOnly: a server tried to store or delete a block by itself, which none does.
var errReadOnly = errors.New("the block store is read-only to those who serve it")

// Served gives the blocks that others may have: those that a pin holds, and those that
// their CID contains, unless they are denied. It never asks the network. For a denied block
// the error is a [pin.ErrDenied], so that a server can tell it from one that is not there.
// It can be used as long as the node's store.
func (n *Node) Served() blockstore.Blockstore {
	return undenied{blockstore.NewIdStore(held{n.store.Blockstore(), n.store}), n.cfg.Denylist}
}

// ServedBelow runs fn with read, which gives blocks of a DAG as [Node.Served] does, but many in
// one look at the database. It is for reading ahead: fn is to read as much as its caller has
// room for, and to return. What read is asked for must be the root, or what a block links to
// that it gave before, then or in another call for the same root. The bytes of a block come
// into the memory that room gives for their number, if its capacity is large enough. read is
// for one goroutine, and until fn returns. Errors of its own: [ipld.ErrNotFound],
// [pin.ErrDenied], [pin.ErrUnreadable].
func (n *Node) ServedBelow(ctx context.Context, root cid.Cid, fn func(read func(c cid.Cid, room func(size int) []byte) ([]byte, error)) error) error {
	// What is below a whole node is needed for as long as the node is.
	whole, err := n.store.Whole(ctx, pin.DAGOf(root), pin.Limits{}, false)
	if err != nil {
		return err
	}
	return n.store.LookEach(ctx, func(look func(multihash.Multihash, func(int) []byte) ([]byte, bool, error)) error {
		return fn(func(c cid.Cid, room func(size int) []byte) ([]byte, error) {
			if err := denied(n.cfg.Denylist, c); err != nil {
				return nil, err
			}
			if data, ok := links.Inline(c); ok {
				return append(room(len(data))[:0], data...), nil
			}
			data, found, err := look(c.Hash(), room)
			if err == nil && found && !whole {
				found, err = n.store.Needed(ctx, c.Hash())
			}
			if err == nil && !found {
				err = ipld.ErrNotFound{Cid: c}
			}
			return data, err
		})
	})
}

// Complete reports whether all that is below a CID is known to be here, for a pin. Errors: the
// store's.
func (n *Node) Complete(ctx context.Context, c cid.Cid) (bool, error) {
	if _, ok := links.Inline(c); ok {
		return true, nil // what it links to is looked for when it is asked for
	}
	return n.store.Whole(ctx, pin.DAGOf(c), pin.Limits{}, true)
}

// held is a block store without the blocks that no pin needs, such as those that were
// unpinned and are still on disk.
type held struct {
	blockstore.Blockstore
	store Store
}

// Has is false for a block that is known to be unreadable.
func (h held) Has(ctx context.Context, c cid.Cid) (bool, error) {
	has, err := h.Blockstore.Has(ctx, c)
	if err == nil && has {
		_, _, err = h.store.LookSize(ctx, c.Hash())
	}
	if err != nil || !has {
		return false, err
	}
	return h.store.Needed(ctx, c.Hash())
}

// Get first reads the store as it was a moment ago. Else every block that is served would
// wait for what is being written, and a peer would take a busy server for one that does not
// answer.
func (h held) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, found, err := h.store.Look(ctx, c.Hash())
	if err != nil {
		return nil, err
	}
	var b blocks.Block
	if found {
		b, err = blocks.NewBlockWithCid(data, c)
	} else {
		b, err = h.Blockstore.Get(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return b, h.check(ctx, c)
}

func (h held) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, found, err := h.store.LookSize(ctx, c.Hash())
	if err == nil && !found {
		n, err = h.Blockstore.GetSize(ctx, c)
	}
	if err != nil {
		return n, err
	}
	return n, h.check(ctx, c)
}

// check comes after the block was found, since most blocks that are asked for are not here.
func (h held) check(ctx context.Context, c cid.Cid) error {
	ok, err := h.store.Needed(ctx, c.Hash())
	if err == nil && !ok {
		err = ipld.ErrNotFound{Cid: c}
	}
	return err
}

func (held) Put(context.Context, blocks.Block) error       { return errReadOnly }
func (held) PutMany(context.Context, []blocks.Block) error { return errReadOnly }
func (held) DeleteBlock(context.Context, cid.Cid) error    { return errReadOnly }

// AllKeysChan fails: others get no list of what is here.
func (held) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, fmt.Errorf("list all blocks: %w", errReadOnly)
}

// undenied is a block store without the blocks that are denied.
type undenied struct {
	blockstore.Blockstore
	denylist Denylist // nil denies nothing
}

func (u undenied) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if err := denied(u.denylist, c); err != nil {
		return false, err
	}
	return u.Blockstore.Has(ctx, c)
}

func (u undenied) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if err := denied(u.denylist, c); err != nil {
		return nil, err
	}
	return u.Blockstore.Get(ctx, c)
}

func (u undenied) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if err := denied(u.denylist, c); err != nil {
		return 0, err
	}
	return u.Blockstore.GetSize(ctx, c)
}

// served is the block store as Bitswap's server sees it:
//
//   - It stores nothing. A block that is put without an attempt's link to it would be
//     skipped for good when boxo's block store is to put it later.
//   - What is denied, and what cannot be read, is not here for a peer.
//   - An empty block, such as every empty file is, has a length of one byte. For a length
//     of 0 the server would answer HAVE for ever and never send the block.
type served struct{ undenied }

func newServed(s Store, d Denylist) served {
	return served{undenied{held{s.Blockstore(), s}, d}}
}

func (s served) Has(ctx context.Context, c cid.Cid) (bool, error) {
	has, err := s.undenied.Has(ctx, c)
	if ipld.IsNotFound(absent(c, err)) {
		return false, nil
	}
	return has, err
}

func (s served) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := s.undenied.Get(ctx, c)
	return b, absent(c, err)
}

func (s served) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := s.undenied.GetSize(ctx, c)
	if err == nil {
		n = max(n, 1)
	}
	return n, absent(c, err)
}

// holds is Has for a block that is known by its multihash alone.
func (s served) holds(ctx context.Context, h multihash.Multihash) (bool, error) {
	return s.Has(ctx, cid.NewCidV1(cid.Raw, h))
}

// absent turns the error for a block that is denied or cannot be read into one that says
// the block is not here. Then a peer asks others at once.
func absent(c cid.Cid, err error) error {
	if errors.Is(err, pin.ErrDenied) || errors.Is(err, pin.ErrUnreadable) {
		return ipld.ErrNotFound{Cid: c}
	}
	return err
}

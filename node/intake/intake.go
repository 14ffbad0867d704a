package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// Store is where an upload is written. *store.Store is one. Methods are those of [walk.Store],
// and may be called concurrently.
type Store interface {
	walk.Store
	// NewUpload gives the attempt of an upload, which is marked as released.
	NewUpload(ctx context.Context) (pin.Attempt, error)
}

// Config is what an upload works with.
type Config struct {
	Store Store
	// Refuse gives an error if a block may not be here. Nil refuses nothing.
	Refuse func(c cid.Cid) error
	// Durable is called with blocks once they are durable and a node of the upload holds them.
	// What the attempt alone holds, such as the root, is for the walk that pins it. Nil is nothing.
	Durable func(ctx context.Context, held ...walk.Held) error
	// Dir is the directory for temporary files, which the upload removes; "" is the system's.
	Dir string
	// Room fails if there is no room for these files. Nil never does.
	Room tempfile.Room
	// Share is the same for all uploads that divide memory among them.
	Share *Share
}

// Intake is one upload. It is a [pin.Intake].
type Intake struct {
	cfg     Config
	limits  pin.Limits
	attempt pin.Attempt
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	writer  *writer

	mu     sync.Mutex
	err    error // nothing is taken after it
	closed bool
	seen   *seen.Set
	open   map[pin.DAG]*node   // nodes that are not whole yet
	awaits map[pin.DAG][]*node // of blocks that did not come yet: the nodes that link to them
	places int                 // links in awaits
	number numbers
}

var _ pin.Intake = (*Intake)(nil)

// node is a block with links, until it is whole.
type node struct {
	id      graph.Holder
	dag     pin.DAG
	pending int     // distinct blocks that it links to, and that are not whole
	parents []*node // that wait for it
}

// Begin begins an upload whose blocks are held to limits. ctx bounds only the beginning.
func Begin(ctx context.Context, cfg Config, limits pin.Limits) (*Intake, error) {
	a, err := cfg.Store.NewUpload(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Share.join()
	in := &Intake{
		cfg: cfg, limits: limits, attempt: a,
		seen:   seen.New(cfg.Dir, func() int { return cfg.Share.of(seenTotal, seenLeast) }).Within(cfg.Room),
		open:   make(map[pin.DAG]*node),
		awaits: make(map[pin.DAG][]*node),
	}
	in.ctx, in.cancel = context.WithCancel(context.WithoutCancel(ctx))
	in.writer = newWriter(in.ctx, cfg, a, limits)
	return in, nil
}

// Attempt implements [pin.Intake].
func (in *Intake) Attempt() pin.Attempt { return in.attempt }

// What the seen set keeps for a block read under a codec.
const (
	markCame  = 1 << iota // it came
	markWhole             // so did everything below it
	markOpen              // it has a node, and is not whole
	markSize  = 8         // bits before the size
)

// Put implements [pin.Intake].
func (in *Intake) Put(ctx context.Context, c cid.Cid, data []byte) (news int, err error) {
	if err := links.Check(c); err != nil {
		return 0, err
	}
	if err := in.refuse(c); err != nil {
		return 0, err
	}
	if _, inline := links.Inline(c); inline {
		_, err := in.linksOf(c, data)
		return len(data), err
	}
	if limit := in.limits.BlockBytes; limit > 0 && uint64(len(data)) > limit {
		return 0, pin.Refused("block %s has %d bytes, more than the %d that pin.max_block_size allows", c, len(data), limit)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return 0, in.err
	}
	d := pin.DAGOf(c)
	mark, err := in.mark(d)
	if err != nil {
		return 0, err
	}
	if mark&markCame != 0 {
		return len(data), nil
	}
	below, err := in.linksOf(c, data)
	if err != nil {
		return 0, err
	}
	had, err := in.has(ctx, c, data)
	if err != nil {
		return 0, err
	}
	if err := in.take(c, d, data, below, had); err != nil {
		return 0, in.fail(err)
	}
	if err := in.sent(in.writer.send(ctx, in.cfg.Share.of(batchTotal, batchLeast))); err != nil {
		return 0, err
	}
	if had {
		return 0, nil
	}
	return len(data), nil
}

// sent gives the error of a call of the writer. If a write failed, nothing is taken any more, also if the
// call ended for another reason.
func (in *Intake) sent(err error) error {
	if in.writer.failed != nil {
		in.err = in.writer.failed
	}
	return err
}

// fail notes that nothing is taken any more.
func (in *Intake) fail(err error) error {
	in.err = err
	return err
}

func (in *Intake) refuse(c cid.Cid) error {
	if in.cfg.Refuse == nil {
		return nil
	}
	return in.cfg.Refuse(c)
}

func (in *Intake) mark(d pin.DAG) (uint64, error) {
	mark, err := in.seen.Get(multihash.Multihash(d))
	if err != nil {
		return 0, in.fail(err)
	}
	return mark, nil
}

func (in *Intake) setMark(d pin.DAG, mark uint64) error {
	return in.seen.Put(multihash.Multihash(d), mark)
}

// has reports whether a block is on disk, with the same bytes. If its bytes there are damaged,
// it is written again.
func (in *Intake) has(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	there, found, err := in.cfg.Store.Look(ctx, c.Hash())
	if errors.Is(err, pin.ErrUnreadable) {
		return false, nil
	}
	return found && err == nil && bytes.Equal(there, data), err
}

// linksOf gives what a block links to, each once, through what is inlined. It refuses a block
// of which a link cannot be followed.
func (in *Intake) linksOf(c cid.Cid, data []byte) ([]cid.Cid, error) {
	ls, err := links.Of(c, data)
	if err != nil || len(ls) == 0 {
		return nil, err
	}
	if limit := in.limits.Links; limit > 0 && uint64(len(ls)) > limit {
		return nil, pin.Refused("block %s has %d links, more than the %d that pin.max_links allows", c, len(ls), limit)
	}
	once := make(map[pin.DAG]struct{}, len(ls))
	var distinct []cid.Cid
	add := func(l cid.Cid) {
		d := pin.DAGOf(l)
		if _, twice := once[d]; !twice {
			once[d] = struct{}{}
			distinct = append(distinct, l)
		}
	}
	for _, l := range ls {
		if err := links.Check(l); err != nil {
			return nil, pin.Refused("in block %s: %v", c, err)
		}
		inlined, ok := links.Inline(l)
		if !ok {
			add(l)
			continue
		}
		if err := in.refuse(l); err != nil {
			return nil, err
		}
		within, err := in.linksOf(l, inlined) // of at most 128 bytes, so this does not go deep
		if err != nil {
			return nil, pin.Refused("in block %s: %v", c, err)
		}
		for _, l := range within {
			add(l)
		}
	}
	return distinct, nil
}

// take writes a block that came for the first time, and what it links to.
func (in *Intake) take(c cid.Cid, d pin.DAG, data []byte, below []cid.Cid, had bool) error {
	ref := graph.Ref{Hash: c.Hash(), Size: len(data)}
	link := func(from graph.Holder) {
		in.writer.link(graph.Link{Holder: from, Ref: ref, Codec: c.Type()})
	}
	parents := in.awaits[d]
	delete(in.awaits, d)
	in.places -= len(parents)
	for _, p := range parents {
		link(p.id)
	}
	if len(parents) == 0 {
		link(graph.HolderOf(in.attempt))
	}
	mark := uint64(markCame) | uint64(len(data))<<markSize
	in.writer.put(graph.Block{Hash: ref.Hash, Data: data}, had, len(below) > 0)
	if len(below) == 0 {
		if err := in.setMark(d, mark|markWhole); err != nil {
			return err
		}
		return in.settle(parents)
	}
	n, err := in.expand(d, below)
	switch {
	case err != nil:
		return err
	case n == nil: // its node would take too much memory: those above it never become whole
		return in.setMark(d, mark)
	case n.pending > 0:
		n.parents = parents
		in.open[d] = n
		return in.setMark(d, mark|markOpen)
	}
	in.writer.whole(n.id)
	if err := in.setMark(d, mark|markWhole); err != nil {
		return err
	}
	return in.settle(parents)
}

// expand makes the node of a block, with a link to all of below that is here. It gives nil if
// that would take too much memory.
func (in *Intake) expand(d pin.DAG, below []cid.Cid) (*node, error) {
	limit := in.cfg.Share.of(openTotal, openLeast)
	marks := make([]uint64, len(below))
	absent := 0
	for i, l := range below {
		mark, err := in.mark(pin.DAGOf(l))
		if err != nil {
			return nil, err
		}
		if marks[i] = mark; mark&markCame == 0 {
			absent++
		}
	}
	if in.places+absent > limit || len(in.open) >= limit {
		return nil, nil
	}
	id, err := in.number.next(in.ctx, in.cfg.Store)
	if err != nil {
		return nil, err
	}
	n := &node{id: id, dag: d}
	in.writer.node(graph.Node{ID: id, DAG: d, Attempt: in.attempt})
	for i, l := range below {
		child, mark := pin.DAGOf(l), marks[i]
		if mark&markCame == 0 {
			in.awaits[child] = append(in.awaits[child], n)
			in.places++
			n.pending++
			continue
		}
		in.writer.link(graph.Link{Holder: id, Ref: graph.Ref{Hash: l.Hash(), Size: int(mark >> markSize)}, Codec: l.Type()})
		if mark&markWhole != 0 {
			continue
		}
		n.pending++ // for ever, if the child is not open
		if mark&markOpen != 0 {
			o := in.open[child]
			o.parents = append(o.parents, n)
		}
	}
	return n, nil
}

// settle notes for some nodes that one more of the blocks that they link to is whole.
func (in *Intake) settle(todo []*node) error {
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n.pending--; n.pending > 0 {
			continue
		}
		delete(in.open, n.dag)
		in.writer.whole(n.id)
		mark, err := in.mark(n.dag)
		if err == nil {
			err = in.setMark(n.dag, mark&^markOpen|markWhole)
		}
		if err != nil {
			return err
		}
		todo = append(todo, n.parents...)
	}
	return nil
}

// Get implements [pin.Intake].
func (in *Intake) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := links.Inline(c); ok {
		return data, nil
	}
	in.mu.Lock()
	mark, err := in.mark(pin.DAGOf(c))
	data, found := in.writer.find(c.Hash())
	in.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case mark&markCame == 0:
		return nil, fmt.Errorf("block %s of the upload: %w", c, pin.ErrNotFound)
	case found:
		return data, nil
	}
	b, err := in.cfg.Store.Blockstore().Get(ctx, c)
	if ipld.IsNotFound(err) {
		return nil, fmt.Errorf("block %s of the upload is gone: %w", c, pin.ErrUnreadable)
	} else if err != nil {
		return nil, fmt.Errorf("read block %s of the upload: %w", c, err)
	}
	return b.RawData(), nil
}

// Flush implements [pin.Intake].
func (in *Intake) Flush(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return in.err
	}
	return in.sent(in.writer.flush(ctx))
}

// Close implements [pin.Intake].
func (in *Intake) Close() error {
	in.cancel()
	in.writer.stop() // before the lock: a Put may wait for it
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed, in.err = true, errEnded
	in.cfg.Share.leave()
	in.open, in.awaits = nil, nil
	return in.seen.Close()
}

// errEnded: the upload has ended.
var errEnded = fmt.Errorf("the upload has ended: %w", pin.ErrClosed)

// numbers are holders that the store gave out and that are not used yet.
type numbers struct {
	first graph.Holder
	left  int
}

// numbersAtATime is small, since each upload leaves some numbers unused.
const numbersAtATime = 64

func (n *numbers) next(ctx context.Context, s Store) (graph.Holder, error) {
	if n.left == 0 {
		first, err := s.NewHolders(ctx, numbersAtATime)
		if err != nil {
			return 0, err
		}
		n.first, n.left = first, numbersAtATime
	}
	h := n.first
	n.first++
	n.left--
	return h, nil
}

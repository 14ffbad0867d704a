// Package walktest has a store for tests of walks, and the suite that every store
// passes that walks write to.
package walktest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// firstNode is the number of the first node: attempts of tests are below.
const firstNode = 1 << 20

// Store is a walk.Store in memory that watches walks keep their rules: what they
// trust to be on disk was linked to before they looked last, and what a node holds
// comes after the node, and that after the link to it.
type Store struct {
	t testing.TB

	mu       sync.Mutex
	blocks   map[string][]byte // by multihash
	links    map[graph.Holder]map[pin.DAG]graph.Link
	linked   map[pin.DAG]map[graph.Holder]struct{} // the same from the other side
	nodes    map[pin.DAG]map[graph.Holder]pin.Attempt
	nodeOf   map[graph.Holder]pin.DAG
	whole    map[graph.Holder]pin.Limits
	hashes   map[string]struct{} // that are linked to, by multihash
	needed   map[string]struct{} // those that something links to besides uploads
	uploads  map[graph.Holder]struct{}
	looked   map[string]bool // by multihash: looked at since the last link, or put
	reads    map[string]bool // by multihash: looked at since ForgetLooks
	next     graph.Holder
	attempts pin.Attempt
	puts     int
	batches  int

	// BeforeWrite, if not nil, is called with each batch, without the lock.
	BeforeWrite func(ctx context.Context, b graph.Batch) error
	// Slow makes each batch small, by writing it after a moment.
	Slow bool
}

// NewStore makes a store that has some blocks, which nothing holds.
func NewStore(t testing.TB, have ...blocks.Block) *Store {
	s := &Store{
		t:       t,
		blocks:  make(map[string][]byte),
		links:   make(map[graph.Holder]map[pin.DAG]graph.Link),
		linked:  make(map[pin.DAG]map[graph.Holder]struct{}),
		nodes:   make(map[pin.DAG]map[graph.Holder]pin.Attempt),
		nodeOf:  make(map[graph.Holder]pin.DAG),
		whole:   make(map[graph.Holder]pin.Limits),
		hashes:  make(map[string]struct{}),
		needed:  make(map[string]struct{}),
		uploads: make(map[graph.Holder]struct{}),
		looked:  make(map[string]bool),
		reads:   make(map[string]bool),
		next:    firstNode,
	}
	for _, b := range have {
		s.blocks[string(b.Cid().Hash())] = b.RawData()
	}
	return s
}

// Write implements walk.Store.
func (s *Store) Write(ctx context.Context, b graph.Batch) error {
	if s.Slow {
		time.Sleep(time.Millisecond)
	}
	if s.BeforeWrite != nil {
		if err := s.BeforeWrite(ctx, b); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	fresh := make(map[graph.Holder]graph.Node)
	for _, n := range b.Nodes {
		fresh[n.ID] = n
	}
	for _, l := range b.Links {
		if n, ok := fresh[l.Holder]; ok {
			s.node(n)
			delete(fresh, l.Holder)
		}
		if _, isNode := s.nodeOf[l.Holder]; l.Holder == 0 || l.Holder >= firstNode && !isNode {
			s.t.Errorf("%s is held by %d, which nobody would find", l.DAG(), l.Holder)
		}
		if s.links[l.Holder] == nil {
			s.links[l.Holder] = make(map[pin.DAG]graph.Link)
		}
		s.links[l.Holder][l.DAG()] = l
		if s.linked[l.DAG()] == nil {
			s.linked[l.DAG()] = make(map[graph.Holder]struct{})
			s.looked[string(l.Hash)] = false
		}
		s.hashes[string(l.Hash)] = struct{}{}
		if _, upload := s.uploads[l.Holder]; !upload {
			s.needed[string(l.Hash)] = struct{}{}
		}
		s.linked[l.DAG()][l.Holder] = struct{}{}
	}
	for _, n := range fresh {
		s.node(n)
	}
	for _, block := range b.Blocks {
		s.put(block)
	}
	for _, l := range b.Links {
		if data, ok := s.blocks[string(l.Hash)]; ok && len(data) != l.Size {
			s.t.Errorf("linked to a block of %d bytes as one of %d", len(data), l.Size)
		}
	}
	for _, h := range b.Whole {
		s.whole[h] = b.Limits
	}
	return nil
}

func (s *Store) node(n graph.Node) {
	if len(s.linked[n.DAG]) == 0 {
		s.t.Errorf("node %d of %s is before the link to it", n.ID, n.DAG)
	}
	if n.Attempt == 0 {
		s.t.Errorf("node %d of %s is of no attempt", n.ID, n.DAG)
	}
	if s.nodes[n.DAG] == nil {
		s.nodes[n.DAG] = make(map[graph.Holder]pin.Attempt)
	}
	s.nodes[n.DAG][n.ID] = n.Attempt
	s.nodeOf[n.ID] = n.DAG
}

func (s *Store) put(b graph.Block) {
	key := string(b.Hash)
	c := cid.NewCidV1(cid.Raw, b.Hash)
	if sum, err := c.Prefix().Sum(b.Data); err != nil || !sum.Equals(c) {
		s.t.Errorf("put a block that is not %s", c)
	}
	if _, linked := s.hashes[key]; !linked {
		s.t.Errorf("block %s was put and nothing links to it", c)
	}
	s.blocks[key] = b.Data
	s.looked[key] = true
	s.puts++
}

// Mark implements walk.Store, by a Write. An error loses the mark.
func (s *Store) Mark(h graph.Holder, l pin.Limits) {
	_ = s.Write(context.Background(), graph.Batch{Whole: []graph.Holder{h}, Limits: l})
}

// NewHolders implements walk.Store.
func (s *Store) NewHolders(_ context.Context, n int) (graph.Holder, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.next
	s.next += graph.Holder(n)
	return first, nil
}

// NewUpload gives the attempt of an upload.
func (s *Store) NewUpload(context.Context) (pin.Attempt, error) {
	a := s.NewAttempt()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[graph.HolderOf(a)] = struct{}{}
	return a, nil
}

// NewAttempt gives an attempt that there was not before.
func (s *Store) NewAttempt() pin.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	return s.attempts
}

// NodeOf implements walk.Store.
func (s *Store) NodeOf(_ context.Context, a pin.Attempt, d pin.DAG) (graph.Holder, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, of := range s.nodes[d] {
		if of == a {
			return id, true, nil
		}
	}
	return 0, false, nil
}

// Whole implements walk.Store.
func (s *Store) Whole(_ context.Context, d pin.DAG, l pin.Limits, surely bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.nodes[d] {
		if s.isWhole(id, l) {
			return true, nil
		}
	}
	for id := range s.linked[d] {
		if s.isWhole(id, l) {
			return true, nil
		}
	}
	return false, nil
}

func (s *Store) isWhole(h graph.Holder, l pin.Limits) bool {
	kept, ok := s.whole[h]
	within := func(kept, limit uint64) bool { return limit == 0 || kept > 0 && kept <= limit }
	return ok && within(kept.BlockBytes, l.BlockBytes) && within(kept.Links, l.Links)
}

// Look implements walk.Store.
func (s *Store) Look(_ context.Context, h multihash.Multihash) (data []byte, found bool, err error) {
	if s.isUnreadable(h) {
		return nil, false, pin.ErrUnreadable
	}
	data, found = s.look(h)
	return data, found, nil
}

// Measure implements walk.Store: it never knows better.
func (s *Store) Measure(context.Context, graph.Known) (pin.Totals, bool, error) {
	return pin.Totals{}, false, nil
}

// Below implements walk.Store.
func (s *Store) Below(_ context.Context, d pin.DAG) (below []graph.Link, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.nodes[d] {
		if s.isWhole(id, pin.Limits{}) {
			for _, l := range s.links[id] {
				below = append(below, l)
			}
			return below, true, nil
		}
	}
	return nil, false, nil
}

// Blockstore implements walk.Store.
func (s *Store) Blockstore() blockstore.Blockstore { return readOnly{s} }

func (s *Store) look(h multihash.Multihash) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.blocks[string(h)]
	s.looked[string(h)] = true
	s.reads[string(h)] = true
	return data, ok
}

// Lose takes a block away, as a reclaim may, and Damage changes it.
func (s *Store) Lose(c cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blocks, string(c.Hash()))
}

// Damage puts other bytes in the place of a block.
func (s *Store) Damage(c cid.Cid, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks[string(c.Hash())] = data
}

// Unreadable has a block be there, and not be readable until it is written again.
func (s *Store) Unreadable(c cid.Cid) { s.Damage(c, unreadable) }

// unreadable is in the place of a block that cannot be read.
var unreadable = []byte("unreadable")

func (s *Store) isUnreadable(h multihash.Multihash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.blocks[string(h)]
	return len(data) > 0 && &data[0] == &unreadable[0]
}

// Has reports whether a block is there.
func (s *Store) Has(c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.blocks[string(c.Hash())]
	return ok
}

// Stored is how many blocks were written, and Batches how many batches.
func (s *Store) Stored() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

// Batches is how many batches were written.
func (s *Store) Batches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// Held gives the sizes of all blocks that an attempt holds, by multihash: its root,
// what that links to, and so on.
func (s *Store) Held(a pin.Attempt) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(map[string]int)
	done := make(map[graph.Holder]bool)
	for todo := []graph.Holder{graph.HolderOf(a)}; len(todo) > 0; {
		h := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if done[h] {
			continue
		}
		done[h] = true
		for d, l := range s.links[h] {
			held[string(l.Hash)] = l.Size
			for id := range s.nodes[d] {
				todo = append(todo, id)
			}
		}
	}
	return held
}

// LookSize gives how many bytes a block has.
func (s *Store) LookSize(_ context.Context, h multihash.Multihash) (size int, found bool, err error) {
	if s.isUnreadable(h) {
		return 0, false, pin.ErrUnreadable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, found := s.blocks[string(h)]
	return len(data), found, nil
}

// LookEach looks for one block after the other.
func (s *Store) LookEach(ctx context.Context, fn func(look func(h multihash.Multihash, room func(size int) []byte) ([]byte, bool, error)) error) error {
	return fn(func(h multihash.Multihash, room func(size int) []byte) ([]byte, bool, error) {
		data, found, err := s.Look(ctx, h)
		if err != nil || !found {
			return nil, found, err
		}
		return append(room(len(data))[:0], data...), true, nil
	})
}

// Needed reports whether anything links to a block. The attempt of an upload does not count.
func (s *Store) Needed(_ context.Context, h multihash.Multihash) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.needed[string(h)]
	return ok, nil
}

// CheckWhole fails unless the attempt holds exactly the blocks given, and each is
// here, and was put or looked at after the link to it.
func (s *Store) CheckWhole(a pin.Attempt, all []blocks.Block) {
	s.t.Helper()
	held := s.Held(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	distinct := make(map[string]bool)
	for _, b := range all {
		key := string(b.Cid().Hash())
		distinct[key] = true
		if string(s.blocks[key]) != string(b.RawData()) {
			s.t.Fatalf("block %s is not on disk as it should be", b.Cid())
		}
		if size, ok := held[key]; !ok || size != len(b.RawData()) {
			s.t.Fatalf("block %s is held: %v, as one of %d bytes", b.Cid(), ok, size)
		}
		if !s.looked[key] {
			s.t.Fatalf("block %s was trusted on a look from before the link to it", b.Cid())
		}
	}
	if len(held) != len(distinct) {
		s.t.Fatalf("%d blocks are held of %d", len(held), len(distinct))
	}
	if _, ok := s.whole[graph.HolderOf(a)]; !ok {
		s.t.Fatalf("attempt %d is not marked as whole", a)
	}
}

// ForgetWhole takes back that anything is whole.
func (s *Store) ForgetWhole() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.whole)
}

// IsWhole reports whether a node of a block is marked as whole.
func (s *Store) IsWhole(c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.nodes[pin.DAGOf(c)] {
		if _, ok := s.whole[id]; ok {
			return true
		}
	}
	return false
}

// Nodes is how many nodes an attempt has.
func (s *Store) Nodes(a pin.Attempt) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ids := range s.nodes {
		for _, of := range ids {
			if of == a {
				n++
			}
		}
	}
	return n
}

// ForgetLooks takes back that blocks were looked at, for Looked. What was trusted is
// then seen to be so only if it is looked at again.
func (s *Store) ForgetLooks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.reads)
}

// Looked reports whether a block was looked at since ForgetLooks.
func (s *Store) Looked(c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[string(c.Hash())]
}

// CheckMarks fails unless what is marked as whole is: all below it is held, is here,
// and is marked, too.
func (s *Store) CheckMarks() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.whole {
		for d, l := range s.links[h] {
			if _, ok := s.blocks[string(l.Hash)]; !ok {
				s.t.Errorf("%d is marked as whole, and %s is not here", h, d)
			}
			if len(s.nodes[d]) == 0 {
				continue
			}
			marked := false
			for id := range s.nodes[d] {
				_, ok := s.whole[id]
				marked = marked || ok
			}
			if !marked {
				s.t.Errorf("%d is marked as whole, and %s below it is not", h, d)
			}
		}
	}
}

// readOnly reads a Store as blockstore does.
type readOnly struct{ s *Store }

func (m readOnly) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, ok := m.s.look(c.Hash())
	return ok, nil
}

func (m readOnly) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	if m.s.isUnreadable(c.Hash()) {
		return nil, pin.ErrUnreadable
	}
	data, ok := m.s.look(c.Hash())
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return blocks.NewBlockWithCid(data, c)
}

func (m readOnly) GetSize(_ context.Context, c cid.Cid) (int, error) {
	data, ok := m.s.look(c.Hash())
	if !ok {
		return 0, ipld.ErrNotFound{Cid: c}
	}
	return len(data), nil
}

func (m readOnly) Put(_ context.Context, b blocks.Block) error {
	err := fmt.Errorf("block %s was put by another road than the walk's", b.Cid())
	m.s.t.Error(err)
	return err
}

func (m readOnly) PutMany(ctx context.Context, bs []blocks.Block) error { return m.Put(ctx, bs[0]) }

func (m readOnly) DeleteBlock(_ context.Context, c cid.Cid) error {
	err := fmt.Errorf("the walk deleted block %s", c)
	m.s.t.Error(err)
	return err
}

func (m readOnly) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, fmt.Errorf("nobody should list all blocks")
}

// Drop takes away what an attempt holds and nothing else does, with the blocks that
// nothing holds then.
func (s *Store) Drop(ctx context.Context, a pin.Attempt) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for next := []graph.Holder{graph.HolderOf(a)}; len(next) > 0; {
		h := next[0]
		next = next[1:]
		for d, l := range s.links[h] {
			delete(s.linked[d], h)
			if len(s.linked[d]) > 0 {
				continue
			}
			delete(s.linked, d)
			for node := range s.nodes[d] {
				next = append(next, node)
				delete(s.nodeOf, node)
			}
			delete(s.nodes, d)
			s.unlink(l)
		}
		delete(s.links, h)
		delete(s.whole, h)
	}
	return nil
}

// unlink deletes a block unless it is linked to under another codec.
func (s *Store) unlink(l graph.Link) {
	for d := range s.linked {
		if string(d.CID().Hash()) == string(l.Hash) {
			return
		}
	}
	delete(s.hashes, string(l.Hash))
	delete(s.needed, string(l.Hash))
	delete(s.blocks, string(l.Hash))
}

// RoomForTemp says that there is room.
func (s *Store) RoomForTemp(uint64) error { return nil }

// Room says that there is room.
func (s *Store) Room(ctx context.Context, _ uint64) error { return ctx.Err() }

package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// memStore is a Store in memory that watches the walk keep its rules: what it
// trusts to be on disk was claimed before it looked last.
type memStore struct {
	t *testing.T

	mu      sync.Mutex
	blocks  map[string][]byte                   // by multihash
	refs    map[pin.Attempt]map[string]struct{} // by multihash
	looked  map[string]bool                     // looked at since the claim
	puts    int                                 // blocks put
	batches int                                 // calls of PutClaimed and Claim

	// hooks, called without the lock; nil is none
	beforePut   func(ctx context.Context, bs []blocks.Block) error
	beforeClaim func(refs []pin.Ref) error
}

func newMemStore(t *testing.T, have ...blocks.Block) *memStore {
	s := &memStore{
		t:      t,
		blocks: make(map[string][]byte),
		refs:   make(map[pin.Attempt]map[string]struct{}),
		looked: make(map[string]bool),
	}
	for _, b := range have {
		s.blocks[string(b.Cid().Hash())] = b.RawData()
	}
	return s
}

func (s *memStore) Claim(ctx context.Context, a pin.Attempt, refs []pin.Ref) error {
	if s.beforeClaim != nil {
		if err := s.beforeClaim(refs); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	for _, r := range refs {
		if data, ok := s.blocks[string(r.Hash)]; ok && len(data) != r.Size {
			s.t.Errorf("claimed a block of %d bytes as one of %d", len(data), r.Size)
		}
		s.ref(a, string(r.Hash))
		s.looked[string(r.Hash)] = false
	}
	return ctx.Err()
}

func (s *memStore) ref(a pin.Attempt, key string) {
	if a == 0 {
		s.t.Error("a reference of no attempt")
	}
	if s.refs[a] == nil {
		s.refs[a] = make(map[string]struct{})
	}
	s.refs[a][key] = struct{}{}
}

func (s *memStore) PutClaimed(ctx context.Context, a pin.Attempt, bs []blocks.Block) error {
	if s.beforePut != nil {
		if err := s.beforePut(ctx, bs); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	for _, b := range bs {
		if sum, err := b.Cid().Prefix().Sum(b.RawData()); err != nil || !sum.Equals(b.Cid()) {
			s.t.Errorf("put a block that is not %s", b.Cid())
		}
		key := string(b.Cid().Hash())
		s.ref(a, key)
		s.blocks[key] = b.RawData()
		s.looked[key] = true
		s.puts++
	}
	return nil
}

func (s *memStore) Blockstore() blockstore.Blockstore { return memBlocks{s} }

func (s *memStore) Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error) {
	return look(ctx, s.Blockstore(), h)
}

// look is Store.Look of a store that makes nobody wait.
func look(ctx context.Context, bs blockstore.Blockstore, h multihash.Multihash) (data []byte, found bool, err error) {
	b, err := bs.Get(ctx, cid.NewCidV1(cid.Raw, h))
	if ipld.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return b.RawData(), true, nil
}

// drop takes a block away, as reclaim may.
func (s *memStore) drop(c cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blocks, string(c.Hash()))
}

func (s *memStore) has(c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.blocks[string(c.Hash())]
	return ok
}

func (s *memStore) stored() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

// checkWhole fails unless every block given is here, referenced by the
// attempt, and was put or looked at after that.
func (s *memStore) checkWhole(a pin.Attempt, all []blocks.Block) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	distinct := make(map[string]bool)
	for _, b := range all {
		key := string(b.Cid().Hash())
		distinct[key] = true
		if string(s.blocks[key]) != string(b.RawData()) {
			s.t.Fatalf("block %s is not on disk as it should be", b.Cid())
		}
		if _, ok := s.refs[a][key]; !ok {
			s.t.Fatalf("block %s has no reference", b.Cid())
		}
		if !s.looked[key] {
			s.t.Fatalf("block %s was trusted on a look from before its reference", b.Cid())
		}
	}
	if len(s.refs[a]) != len(distinct) {
		s.t.Fatalf("%d references for %d blocks", len(s.refs[a]), len(distinct))
	}
}

// memBlocks reads a memStore.
type memBlocks struct{ s *memStore }

func (m memBlocks) look(c cid.Cid) ([]byte, bool) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	data, ok := m.s.blocks[string(c.Hash())]
	m.s.looked[string(c.Hash())] = true
	return data, ok
}

func (m memBlocks) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, ok := m.look(c)
	return ok, nil
}

func (m memBlocks) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	data, ok := m.look(c)
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return blocks.NewBlockWithCid(data, c)
}

func (m memBlocks) GetSize(_ context.Context, c cid.Cid) (int, error) {
	data, ok := m.look(c)
	if !ok {
		return 0, ipld.ErrNotFound{Cid: c}
	}
	return len(data), nil
}

func (m memBlocks) Put(_ context.Context, b blocks.Block) error {
	err := fmt.Errorf("block %s was put by another road than the walk's", b.Cid())
	m.s.t.Error(err)
	return err
}

func (m memBlocks) PutMany(ctx context.Context, bs []blocks.Block) error { return m.Put(ctx, bs[0]) }

func (m memBlocks) DeleteBlock(_ context.Context, c cid.Cid) error {
	err := fmt.Errorf("the walk deleted block %s", c)
	m.s.t.Error(err)
	return err
}

func (m memBlocks) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, fmt.Errorf("nobody should list all blocks")
}

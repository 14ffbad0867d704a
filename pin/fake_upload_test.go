package pin_test

import (
	"context"
	"maps"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// Upload is [pin.Engine]'s.
func (n *network) Upload(ctx context.Context, l pin.Limits) (pin.Intake, error) {
	if err := n.fails(ctx, "Upload"); err != nil {
		return nil, err
	}
	a, err := n.number(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.uploads[a] = make(map[cid.Cid][]byte)
	return &intake{net: n, attempt: a, limits: l}, nil
}

// intake is an upload. The n-th DAG of so many blocks is those of [uploadOf].
type intake struct {
	net     *network
	attempt pin.Attempt
	limits  pin.Limits
	closed  atomic.Bool
}

// uploadOf makes the blocks of the n-th DAG, the root last. Nobody checks their hashes.
func uploadOf(n, count int) (all []pintest.Block) {
	for i := range count - 1 {
		all = append(all, pintest.Block{CID: pintest.DAGSpec(1_000_000*(n+1) + i).Root, Data: make([]byte, 100)})
	}
	return append(all, pintest.Block{CID: pintest.DAGSpec(n).Root, Data: make([]byte, 100)})
}

func (in *intake) Attempt() pin.Attempt { return in.attempt }

func (in *intake) Put(ctx context.Context, c cid.Cid, data []byte) (news int, err error) {
	if err := in.net.fails(ctx, "Put"); err != nil {
		return 0, err
	}
	if in.closed.Load() {
		return 0, pin.ErrClosed
	}
	if in.limits.BlockBytes > 0 && uint64(len(data)) > in.limits.BlockBytes {
		return 0, pin.Refused("it has %d bytes", len(data))
	}
	in.net.mu.Lock()
	in.net.uploads[in.attempt][c] = data
	news = len(data)
	if in.net.here {
		news = 0
	}
	in.net.mu.Unlock()
	return news, in.net.fails(ctx, "Put done")
}

func (in *intake) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	in.net.mu.Lock()
	defer in.net.mu.Unlock()
	data, ok := in.net.uploads[in.attempt][c]
	if !ok {
		return nil, pin.ErrNotFound
	}
	return data, nil
}

func (in *intake) Lacks(_ context.Context, root cid.Cid) (cid.Cid, error) {
	c, _ := in.net.look(pin.DAGOf(root))
	if c.blocks == 0 {
		return root, nil
	}
	return cid.Undef, nil
}

// Flush has the network have every DAG that is here as a whole.
func (in *intake) Flush(ctx context.Context) error {
	if err := in.net.fails(ctx, "Flush"); err != nil {
		return err
	}
	in.net.mu.Lock()
	there := maps.Clone(in.net.uploads[in.attempt])
	in.net.mu.Unlock()
	for n := range 10 {
		if _, root := there[pintest.DAGSpec(n).Root]; !root {
			continue
		}
		count := 1
		for _, more := there[uploadOf(n, count+1)[count-1].CID]; more; _, more = there[uploadOf(n, count+1)[count-1].CID] {
			count++
		}
		in.net.set(dag(n), content{blocks: count})
		in.net.mu.Lock()
		in.net.kept[in.attempt], in.net.whole[in.attempt] = dag(n), true
		in.net.mu.Unlock()
	}
	return nil
}

func (in *intake) Close() error {
	in.closed.Store(true)
	return nil
}

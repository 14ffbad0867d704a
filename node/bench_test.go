package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// benchStore is a Store that only stores.
type benchStore struct{ blocks blockstore.Blockstore }

func newBenchStore() benchStore {
	return benchStore{blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))}
}

func (benchStore) Claim(context.Context, pin.Attempt, []pin.Ref) error { return nil }
func (s benchStore) PutClaimed(ctx context.Context, _ pin.Attempt, bs []blocks.Block) error {
	return s.blocks.PutMany(ctx, bs)
}
func (s benchStore) Blockstore() blockstore.Blockstore { return s.blocks }
func (s benchStore) Look(ctx context.Context, h multihash.Multihash) ([]byte, bool, error) {
	return look(ctx, s.blocks, h)
}

// BenchmarkFetch walks DAGs of several shapes, with the source in the same
// process.
func BenchmarkFetch(b *testing.B) {
	for _, shape := range []struct{ n, size, width int }{
		{20_000, 4 << 10, 174},
		{10_000, 100, 5_000},
		{256, 1 << 20, 174},
	} {
		b.Run(fmt.Sprintf("%dx%dB", shape.n, shape.size), func(b *testing.B) {
			all := tree(leaves(shape.n, shape.size), shape.width)
			src := newSource(b, all...)
			b.SetBytes(int64(shape.n * shape.size))
			var wanted, received uint64
			for b.Loop() {
				n := newTestNode(b, newBenchStore())
				job := newJob(last(all), src.addr())
				if _, err := n.Fetch(b.Context(), job); err != nil {
					b.Fatal(err)
				}
				stat, err := n.bitswap.Stat()
				if err != nil {
					b.Fatal(err)
				}
				wanted += job.Progress.Received.Load()
				received += stat.BlocksReceived
			}
			b.ReportMetric(float64(wanted)/b.Elapsed().Seconds(), "blocks/s")
			b.ReportMetric(float64(received-wanted)/float64(b.N), "twice/op")
		})
	}
}

package node

import (
	"fmt"
	"testing"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// BenchmarkFetch walks DAGs of several shapes, with the source in the same
// process.
func BenchmarkFetch(b *testing.B) {
	for _, shape := range []struct{ n, size, width int }{
		{20_000, 4 << 10, 174},
		{10_000, 100, 5_000},
		{256, 1 << 20, 174},
	} {
		b.Run(fmt.Sprintf("%dx%dB", shape.n, shape.size), func(b *testing.B) {
			all := dagtest.Tree(dagtest.Leaves(shape.n, shape.size), shape.width)
			src := newSource(b, all...)
			b.SetBytes(int64(shape.n * shape.size))
			var wanted, twice uint64
			for b.Loop() {
				n := newTestNode(b, walktest.NewStore(b))
				job := newJob(dagtest.Last(all), src.addr())
				if _, err := n.Fetch(b.Context(), job); err != nil {
					b.Fatal(err)
				}
				wanted += job.Progress.Received.Load()
				twice += n.bitswap.exchange.Stats().Twice
			}
			b.ReportMetric(float64(wanted)/b.Elapsed().Seconds(), "blocks/s")
			b.ReportMetric(float64(twice)/float64(b.N), "twice/op")
		})
	}
}

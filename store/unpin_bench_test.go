package store

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// flatOf makes n dag-cbor blocks under a few that link to 1,000 each.
func flatOf(n int) []blocks.Block {
	leaves := make([]blocks.Block, n)
	for i := range leaves {
		leaves[i] = dagtest.CBOR(fmt.Sprint("leaf", i))
	}
	return dagtest.Tree(leaves, 1000)
}

// BenchmarkUnpin unpins DAGs of 50,000 blocks that are deep and narrow. It gives how
// many times as long as for a flat one that takes, which should be under 5, and how many
// times as much it writes, if the file system counts that. It fails above 3.
func BenchmarkUnpin(b *testing.B) {
	const n = 50_000
	var flat cost
	b.Run("Flat", func(b *testing.B) {
		for b.Loop() {
			flat = unpinCost(b, flatOf(n))
		}
		b.ReportMetric(flat.time.Seconds(), "unpin-s")
	})
	for _, shape := range roomtest.DeepShapes(n) {
		b.Run(shape.Name, func(b *testing.B) {
			for b.Loop() {
				deep := unpinCost(b, shape.Make())
				b.ReportMetric(deep.time.Seconds()/flat.time.Seconds(), "times-as-long")
				b.ReportMetric(deep.time.Seconds(), "unpin-s")
				if flat.written == 0 {
					continue // a file system in memory
				}
				more := float64(deep.written) / float64(flat.written)
				b.ReportMetric(more, "times-as-much-written")
				if more > 3 {
					b.Errorf("it writes %.1f times as much as a flat one", more)
				}
			}
		})
	}
}

// cost is what unpinning a DAG takes.
type cost struct {
	time    time.Duration
	written uint64 // bytes, to disk
}

// unpinCost pins a DAG and unpins it, in a store of its own.
func unpinCost(b *testing.B, all []blocks.Block) cost {
	b.Helper()
	b.StopTimer()
	defer b.StartTimer()
	s := openServed(b, b.TempDir(), Config{})
	p := roomtest.PinDAG(b, s, all)
	must(b, compact(b.Context(), s)) // as a reclaim leaves it
	start, before := time.Now(), writtenBytes(b)
	b.StartTimer()
	p.Remove(b, s)
	b.StopTimer()
	c := cost{time.Since(start), writtenBytes(b) - before}
	if left, err := s.kv.CountKeys(b.Context(), []byte{roomtest.KLinkFrom}); err != nil || left > 0 {
		b.Errorf("%d links are left, %v", left, err)
	}
	must(b, s.Close())
	return c
}

// writtenBytes is how much this process had written to disk until now.
func writtenBytes(tb testing.TB) (n uint64) {
	tb.Helper()
	b, err := os.ReadFile("/proc/self/io")
	must(tb, err)
	for line := range bytes.Lines(b) {
		if _, err := fmt.Sscanf(string(line), "write_bytes: %d", &n); err == nil {
			return n
		}
	}
	tb.Fatalf("/proc/self/io says nothing of it: %q", b)
	return 0
}

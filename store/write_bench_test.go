package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// BenchmarkWrite writes 1 GiB of blocks as a walk or an upload does: a batch is gathered while the
// one before is made durable. It gives how many times as long that takes as to write and sync as
// many bytes to one plain file, just before and just after. The disk of a shared machine is three times
// as fast at some times as at others, so seconds alone say little.
func BenchmarkWrite(b *testing.B) {
	const total = 1 << 30
	for _, size := range []int{1 << 20, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(total)
			for b.Loop() {
				b.StopTimer()
				before := plainWrite(b, total)
				b.StartTimer()
				took := writeBlocks(b, total/size, size)
				b.StopTimer()
				plain := (before + plainWrite(b, total)) / 2
				b.ReportMetric(took.Seconds()/plain.Seconds(), "times-as-long")
				b.ReportMetric(plain.Seconds(), "plain-s")
				b.StartTimer()
			}
		})
	}
}

// writeBatch is how many bytes of blocks walks and uploads write at a time.
const writeBatch = 8 << 20

// writeBlocks writes n blocks to a store of its own, and gives how long that took.
func writeBlocks(b *testing.B, n, size int) time.Duration {
	b.Helper()
	b.StopTimer()
	defer b.StartTimer()
	s := openServed(b, b.TempDir(), Config{})
	p := roomtest.BeginPin(b, s, 1)
	source := randomBytes(b, 64<<20)
	batches, written := make(chan graph.Batch), make(chan error, 1)
	go func() {
		var err error
		for batch := range batches {
			if err == nil {
				err = s.held.Write(context.Background(), batch)
			}
		}
		written <- err
	}()
	before, cpu := writtenBytes(b), cpuTime(b)
	b.StartTimer()
	start := time.Now()
	var batch graph.Batch
	for i := range n {
		data := make([]byte, size)
		copy(data, source[i*size%len(source):])
		binary.BigEndian.PutUint64(data, uint64(i))
		sum := sha256.Sum256(data)
		h, err := multihash.Encode(sum[:], multihash.SHA2_256)
		must(b, err)
		batch.Links = append(batch.Links, graph.Link{Holder: graph.HolderOf(p.Attempt), Ref: graph.Ref{Hash: h, Size: size}, Codec: cid.Raw})
		batch.Blocks = append(batch.Blocks, graph.Block{Hash: h, Data: data})
		if len(batch.Blocks)*size >= writeBatch || i == n-1 {
			batches <- batch
			batch = graph.Batch{}
		}
	}
	close(batches)
	must(b, <-written)
	took := time.Since(start)
	b.StopTimer()
	b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s")
	b.ReportMetric(float64(writtenBytes(b)-before)/float64(n*size), "written/bytes")
	must(b, s.Close())
	return took
}

// plainWrite writes so many bytes to a file and syncs it, and gives how long that took.
func plainWrite(b *testing.B, total int) time.Duration {
	b.Helper()
	path := filepath.Join(b.TempDir(), "plain")
	source := randomBytes(b, 1<<20)
	f, err := os.Create(path)
	must(b, err)
	start := time.Now()
	for range total / len(source) {
		_, err := f.Write(source)
		must(b, err)
	}
	must(b, f.Sync())
	took := time.Since(start)
	must(b, f.Close())
	must(b, os.Remove(path))
	return took
}

// randomBytes gives bytes that nothing can make smaller.
func randomBytes(b *testing.B, n int) []byte {
	b.Helper()
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // it never fails
	return data
}

package provide

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	format "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

var benchFiles = flag.Int("files", 100_000, "how many small files the DAG of BenchmarkStrategies has, a hundred in a directory")

// BenchmarkStrategies provides one DAG of many small files by its root and by its files and
// directories: the first time, and in a sweep. It has the network, the store and the client of
// BenchmarkSweep.
func BenchmarkStrategies(b *testing.B) {
	for _, s := range []Strategy{Roots, Entities} {
		b.Run(string(s), func(b *testing.B) {
			for b.Loop() {
				strategyBench(b, s)
			}
		})
	}
}

// putSite puts a directory of directories of small files, and gives its root.
func putSite(b *testing.B, bs blockstore.Blockstore, files int) pin.DAG {
	var batch []blocks.Block
	put := func(bl blocks.Block) {
		if batch = append(batch, bl); len(batch) == 1000 {
			if err := bs.PutMany(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = nil
		}
	}
	dir := func(links []*format.Link) *merkledag.ProtoNode {
		n := merkledag.NodeWithData(unixfs.FolderPBData())
		if err := n.SetCidBuilder(merkledag.V1CidPrefix()); err != nil {
			b.Fatal(err)
		}
		n.SetLinks(links)
		put(n)
		return n
	}
	var dirs, links []*format.Link
	for i := range files {
		leaf := merkledag.NewRawNode(fmt.Appendf(make([]byte, 0, 1000), "file %d %0900d", i, i))
		put(leaf)
		links = append(links, &format.Link{Name: fmt.Sprintf("%06d", i), Size: uint64(len(leaf.RawData())), Cid: leaf.Cid()})
		if len(links) == 100 || i == files-1 {
			d := dir(links)
			dirs = append(dirs, &format.Link{Name: fmt.Sprintf("%06d", i), Cid: d.Cid()})
			links = nil
		}
	}
	root := dir(dirs)
	if err := bs.PutMany(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return pin.DAGOf(root.Cid())
}

// diskUse is the bytes of the files in a directory, as far as they take up disk.
func diskUse(b *testing.B, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if st, ok := info.Sys().(*syscall.Stat_t); err == nil && ok {
			n += st.Blocks * 512
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.Fatal(err)
	}
	return n
}

// processor is the processor time of this process so far.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap is what is alive.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func strategyBench(b *testing.B, strategy Strategy) {
	w := newNetwork(*benchPeers)
	client := w.newDHT(b)
	w.provider = client.PeerID()
	dir := b.TempDir()
	lock, err := store.Lock(dir)
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(b.Context(), lock, store.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	root := putSite(b, s.Blockstore(), *benchFiles)
	pinned := &pins{dags: make(map[pin.DAG]bool)}
	pinned.set(true, root)
	n := w.network("wan")
	n.Self = client.PeerID()
	n.Closest = func(ctx context.Context, key string) ([]peer.ID, error) {
		w.lookups.Add(1)
		return client.GetClosestPeers(ctx, key)
	}

	disk, cpu, before, began := diskUse(b, dir), processor(b), w.cost(), time.Now()
	p, err := New(Config{
		Strategy: strategy, Interval: *benchInterval, Networks: []Network{n}, Datastore: s.Datastore(),
		Roots: pinned.roots, Complete: pinned.complete, Blocks: s.Blockstore(), Logger: slog.Default(),
	})
	if err != nil {
		b.Fatal(err)
	}
	quiet := 0
	for quiet < 30 { // for 3 s nothing waits, and nothing is being told
		time.Sleep(100 * time.Millisecond)
		st, err := p.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		ln, _ := p.ledger.line(hashOf(root))
		if quiet++; st.Untold > 0 || st.Roots == 0 || st.QueuedKeys+st.Telling > 0 || int(ln.by) != strategy.rank() {
			quiet = 0
		}
	}
	took := time.Since(began) - 3*time.Second
	st, err := p.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	keys := max(int(st.Keys), 1)
	now := w.cost()
	sent := func(c cost) float64 { return float64(c.requests - before.requests + c.records - before.records) }
	w.mu.Lock()
	told := len(w.keeps)
	clear(w.keeps) // what the simulated peers keep is not this one's
	w.mu.Unlock()
	b.Logf("first: %d keys in %d regions, %d told, after %v; %d lookups, %d requests, %d records: %.2f messages for each key; %.1f s of processor, of this and of the simulation",
		st.Keys, st.Regions, told, took.Round(100*time.Millisecond), now.lookups-before.lookups, now.requests-before.requests, now.records-before.records, sent(now)/float64(keys), (processor(b) - cpu).Seconds())
	b.Logf("first: %.1f MiB more are on disk; heap of it all %d MiB", float64(diskUse(b, dir)-disk)/(1<<20), heap()>>20)
	b.ReportMetric(sent(now)/float64(keys), "first-messages/key")

	time.Sleep(*benchInterval)
	before, cpu = w.cost(), processor(b)
	time.Sleep(*benchInterval)
	now = w.cost()
	b.Logf("sweep: %d lookups, %d requests, %d records: %.2f messages for each key; %.1f s of processor",
		now.lookups-before.lookups, now.requests-before.requests, now.records-before.records, sent(now)/float64(keys), (processor(b) - cpu).Seconds())
	b.Logf("sweep: within 22 hours that is %.2f messages a second", sent(now)/(22*3600))
	b.ReportMetric(sent(now)/float64(keys), "sweep-messages/key")
	if err := errors.Join(p.Close(), s.Close(), lock.Close()); err != nil {
		b.Fatal(err)
	}
}

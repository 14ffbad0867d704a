package provide

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

var (
	benchRoots    = flag.Int("roots", 100_000, "how many roots BenchmarkSweep provides")
	benchPeers    = flag.Int("peers", 10_000, "how many servers the simulated DHT has, about what the public one does")
	benchInterval = flag.Duration("interval", 4*time.Minute, "within what BenchmarkSweep has everything told again: as long as this machine needs for it")
)

// BenchmarkSweep provides many roots in a simulated DHT, with real lookups, and the
// state in a real store: all of them once, then in a sweep, then across a restart in
// the midst of one.
func BenchmarkSweep(b *testing.B) {
	for b.Loop() {
		sweepBench(b)
	}
}

// cost is what was sent.
type cost struct{ requests, records, lookups int64 }

func (w *network) cost() cost {
	return cost{w.requests.Load(), w.records.Load(), w.lookups.Load()}
}

// report gives what each root took since then.
func (w *network) report(b *testing.B, phase string, since cost, roots int) {
	now := w.cost()
	per := func(n int64) float64 { return float64(n) / float64(roots) }
	b.ReportMetric(per(now.requests-since.requests), phase+"-requests/root")
	b.ReportMetric(per(now.records-since.records), phase+"-records/root")
	b.Logf("%s: %d roots, %d lookups, %d requests, %d records: %.2f messages for each root", phase, roots,
		now.lookups-since.lookups, now.requests-since.requests, now.records-since.records,
		per(now.requests-since.requests+now.records-since.records))
}

func sweepBench(b *testing.B) {
	w := newNetwork(*benchPeers)
	client := w.newDHT(b)
	w.provider = client.PeerID()
	roots := rootsOf(*benchRoots)
	pinned := &pins{dags: make(map[pin.DAG]bool)}
	pinned.set(true, roots...)

	// Beside it: the same roots one by one, as far as it is worth waiting for.
	before, few := w.cost(), min(1000, len(roots))
	for _, d := range roots[:few] {
		if _, err := client.GetClosestPeers(b.Context(), string(hashOf(d))); err != nil {
			b.Fatal(err)
		}
	}
	each := float64(w.cost().requests-before.requests) / float64(few)
	b.ReportMetric(each, "alone-requests/root")
	b.Logf("one by one: %.1f requests and %d records for each root", each, replicas)

	dir := b.TempDir()
	open := func() (p *Provider, close func()) {
		lock, err := store.Lock(dir)
		if err != nil {
			b.Fatal(err)
		}
		s, err := store.Open(b.Context(), lock, store.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		n := w.network("wan")
		n.Self = client.PeerID()
		n.Closest = func(ctx context.Context, key string) ([]peer.ID, error) {
			w.lookups.Add(1)
			return client.GetClosestPeers(ctx, key)
		}
		p, err = New(Config{
			Interval: *benchInterval, Networks: []Network{n}, Datastore: s.Datastore(),
			Roots: pinned.roots, Complete: pinned.complete, Logger: slog.Default(),
		})
		if err != nil {
			b.Fatal(err)
		}
		return p, func() {
			began := time.Now()
			if err := errors.Join(p.Close(), s.Close(), lock.Close()); err != nil {
				b.Fatal(err)
			}
			b.Logf("closed in %v", time.Since(began).Round(time.Millisecond))
		}
	}
	stats := func(p *Provider) Stats {
		s, err := p.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return s
	}

	before = w.cost()
	began := time.Now()
	p, close := open()
	for s := stats(p); s.Roots < len(roots) || s.Untold > 0; s = stats(p) {
		time.Sleep(100 * time.Millisecond)
	}
	first := time.Since(began)
	w.report(b, "first", before, len(roots))
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.Logf("first: all announced after %v; %d regions; heap of it all %d MiB", first.Round(time.Millisecond), stats(p).Regions, m.HeapAlloc>>20)

	holders, none := 0, 0
	for _, d := range roots {
		n := 0
		for _, i := range w.closestTo(sha256.Sum256(hashOf(d))) {
			if w.has(i, hashOf(d)) {
				n++
			}
		}
		holders += n
		if n == 0 {
			none++
		}
	}
	b.ReportMetric(float64(holders)/float64(len(roots)), "holders/root")
	b.Logf("of the %d peers closest to a root %.2f have it on average; for %d roots none has", replicas, float64(holders)/float64(len(roots)), none)
	b.Logf("found by others: %d of %d", w.findable(b, roots[:few], p.cfg.Networks[0].Self), few)

	// A whole interval, from a quiet moment on.
	time.Sleep(*benchInterval)
	w.forget()
	before = w.cost()
	time.Sleep(*benchInterval)
	w.report(b, "sweep", before, len(roots))
	told := w.told(roots)
	b.Logf("sweep: %d of %d roots were told within one interval", told, len(roots))

	// A restart in the midst of the next.
	time.Sleep(*benchInterval / 2)
	s := stats(p)
	close()
	w.forget()
	began = time.Now()
	p, close = open()
	defer close()
	for s := stats(p); !s.Online || s.Roots < len(roots); s = stats(p) {
		time.Sleep(10 * time.Millisecond)
	}
	b.Logf("restart: online after %v; %d roots are known, %d untold; before it there were %d keys in %d regions",
		time.Since(began).Round(time.Millisecond), stats(p).Roots, stats(p).Untold, s.Keys, s.Regions)
	time.Sleep(*benchInterval/10 - time.Since(began))
	early := w.told(roots)
	b.ReportMetric(float64(early)/float64(len(roots)), "told-in-a-tenth")
	time.Sleep(*benchInterval + *benchInterval/10 - time.Since(began))
	b.Logf("restart: %d of %d roots were told again within a tenth of the interval, %d within all of it",
		early, len(roots), w.told(roots))
}

// has reports whether a peer was told of a key.
func (w *network) has(i int, key multihash.Multihash) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keeps[string(key)][i] > 0
}

// told is how many of the roots anybody was told of.
func (w *network) told(roots []pin.DAG) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range roots {
		if len(w.keeps[string(hashOf(d))]) > 0 {
			n++
		}
	}
	return n
}

// findable is how many of the roots another client of the DHT finds.
func (w *network) findable(b *testing.B, roots []pin.DAG, who peer.ID) (n int) {
	other := w.newDHT(b)
	for _, d := range roots {
		ctx, cancel := context.WithCancel(b.Context())
		for ai := range other.FindProvidersAsync(ctx, cid.NewCidV1(cid.Raw, hashOf(d)), 1) {
			if ai.ID == who {
				n++
			}
		}
		cancel()
	}
	return n
}

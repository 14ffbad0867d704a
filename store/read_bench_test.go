package store

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/node/gateway"
	"github.com/holdfast-ipfs/holdfast/node/links"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// BenchmarkServe reads blocks over HTTP, one after the other, as a client of the gateway
// does. Beside the commit before:
//
//	go test -run '^$' -bench 'Serve|Look|Scan' -count 6 ./store
func BenchmarkServe(b *testing.B) {
	for _, size := range []int{256 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := openServed(b, b.TempDir(), Config{})
			p := roomtest.BeginPin(b, s, 1)
			bs := roomtest.SomeBlocks(80, 64<<20/size, size)
			p.Put(b, s, bs)
			h, err := gateway.New(gateway.Config{Blocks: s.held.Blockstore(), Links: links.Of})
			must(b, err)
			server := httptest.NewServer(h)
			defer server.Close()
			b.SetBytes(int64(size))
			n, done := 0, reportCPU(b)
			for b.Loop() {
				answer, err := http.Get(server.URL + "/ipfs/" + bs[n%len(bs)].Cid().String() + "?format=raw")
				must(b, err)
				got, err := io.Copy(io.Discard, answer.Body)
				if err != nil || got != int64(size) {
					b.Fatalf("%d bytes, %v", got, err)
				}
				answer.Body.Close()
				n++
			}
			done()
		})
	}
}

// reportCPU adds how much of the processor a benchmark takes from now on, which others on
// the machine change less than the time. It is to be called before the loop, and what it
// gives after.
func reportCPU(b *testing.B) func() {
	before := cpuTime(b)
	return func() { b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op") }
}

// cpuTime is the processor time that this process has taken until now.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLook reads blocks from a store that has them in its memory.
func BenchmarkLook(b *testing.B) {
	for _, size := range []int{256 << 10, 4 << 10, 300} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			dir := b.TempDir()
			s := openServed(b, dir, Config{})
			p := roomtest.BeginPin(b, s, 1)
			bs := roomtest.SomeBlocks(81, min(32<<20/size, 20_000), size)
			p.Put(b, s, bs)
			must(b, compact(b.Context(), s)) // small ones are in tables, then
			b.SetBytes(int64(size))
			n, done := 0, reportCPU(b)
			for b.Loop() {
				data, found, err := s.held.Look(b.Context(), bs[n%len(bs)].Cid().Hash())
				if err != nil || !found || len(data) != size {
					b.Fatalf("%d bytes, %v, %v", len(data), found, err)
				}
				n++
			}
			done()
		})
	}
}

// BenchmarkScan goes through the links of 100,000 blocks, in tables.
func BenchmarkScan(b *testing.B) {
	s := openServed(b, b.TempDir(), Config{})
	p := roomtest.BeginPin(b, s, 1)
	for i := range 10 {
		p.Put(b, s, roomtest.SomeBlocks(uint64(90+i), 10_000, 100))
	}
	must(b, compact(b.Context(), s))
	defer reportCPU(b)()
	for b.Loop() {
		n, err := s.kv.CountKeys(b.Context(), []byte{holding.KLinkTo})
		if err != nil || n != 100_000 {
			b.Fatalf("%d links, %v", n, err)
		}
	}
}

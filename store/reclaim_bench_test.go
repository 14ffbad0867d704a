package store

import (
	"math/rand/v2"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// mixedSize gives the size of a block of a mixed store. Of its bytes half are in
// blocks of 256 KiB, 45 % in those of 4 KiB, and 5 % in those of 700 bytes.
func mixedSize(rng *rand.Rand) int {
	const large, medium, small = 256 << 10, 4 << 10, 700
	weights := [...]float64{0.5 / large, 0.45 / medium, 0.05 / small} // blocks for each byte
	switch x := rng.Float64() * (weights[0] + weights[1] + weights[2]); {
	case x < weights[0]:
		return large
	case x < weights[0]+weights[1]:
		return medium
	default:
		return small
	}
}

// fillMixed pins 20 DAGs of blocks of all sizes. If scattered, each batch that
// is written has blocks of all of them; else one is written after the other.
func fillMixed(tb testing.TB, s *Store, total int, scattered bool) (pins []*roomtest.Pinned) {
	tb.Helper()
	const dags, batch = 20, 8 << 20
	rng := rand.NewChaCha8([32]byte{1})
	pick := rand.New(rng)
	for n := range dags {
		pins = append(pins, roomtest.BeginPin(tb, s, n))
	}
	waiting := make([][]blocks.Block, dags)
	flush := func() {
		for n, bs := range waiting {
			if len(bs) > 0 {
				pins[n].Put(tb, s, bs)
			}
			waiting[n] = nil
		}
	}
	written, gathered := 0, 0
	for written < total {
		size := mixedSize(pick)
		data := make([]byte, size)
		rng.Read(data)
		n := written * dags / total
		if scattered {
			n = pick.IntN(dags)
		}
		waiting[n] = append(waiting[n], blocks.NewBlock(data))
		written += size
		if gathered += size; gathered >= batch {
			flush()
			gathered = 0
		}
	}
	flush()
	for _, p := range pins {
		_, _, err := s.requestRecords.Complete(tb.Context(), p.Request.DAG(), p.Attempt, pin.Totals{Bytes: uint64(p.Bytes)})
		must(tb, err)
	}
	return pins
}

// BenchmarkReclaim times one reclaim after 60 % of a mixed store of 1 GiB was
// unpinned, and gives what is then allocated for each byte of what is alive.
// It fails above 1.15.
func BenchmarkReclaim(b *testing.B) {
	for _, scattered := range []bool{false, true} {
		b.Run(map[bool]string{false: "WholeDAGs", true: "Scattered"}[scattered], func(b *testing.B) {
			var ratio, drop float64
			stages := map[string]time.Duration{}
			for b.Loop() {
				b.StopTimer()
				s := openServed(b, b.TempDir(), Config{})
				pins := fillMixed(b, s, 1<<30, scattered)
				start := time.Now()
				live := 0
				for n, p := range pins {
					if n%5 < 3 {
						p.Remove(b, s)
					} else {
						live += p.Bytes
					}
				}
				drop += time.Since(start).Seconds()
				b.StartTimer()
				stage, since := stageDelete, time.Now()
				r, err := s.Reclaim(b.Context(), func(p ReclaimProgress) {
					stages[stage] += time.Since(since)
					stage, since = p.Stage, time.Now()
				})
				stages[stage] += time.Since(since)
				b.StopTimer()
				must(b, err)
				ratio += float64(r.After) / float64(live)
				if float64(r.After) > 1.15*float64(live) {
					b.Errorf("%.3f bytes are allocated for each that is alive", float64(r.After)/float64(live))
				}
				b.Logf("%d blocks deleted; %d MiB before, %d MiB after, %d MiB alive; %v",
					r.Blocks, r.Before>>20, r.After>>20, live>>20, r.Elapsed.Round(time.Millisecond))
				must(b, s.Close())
				b.StartTimer()
			}
			b.ReportMetric(ratio/float64(b.N), "allocated/live")
			b.ReportMetric(drop/float64(b.N), "drop-s")
			for stage, name := range map[string]string{
				stageDelete: "delete-s", stageCompact: "compact-s", stageCollect: "collect-s",
			} {
				b.ReportMetric(stages[stage].Seconds()/float64(b.N), name)
			}
		})
	}
}

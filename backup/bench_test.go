package backup_test

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store"
)

var (
	benchBlocks = flag.Int("backup-blocks", 4096, "blocks of what BenchmarkBackups backs up")
	benchSize   = flag.Int("backup-block-size", 256<<10, "size of each of them")
)

// pinRandom pins so many random blocks.
func (o *opened) pinRandom(b *testing.B, seed uint64, n int) (request string) {
	b.Helper()
	ctx := b.Context()
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	random := rand.NewChaCha8(key)
	var r pin.Request
	var a pin.Attempt
	for done := 0; done < n; {
		var batch graph.Batch
		for bytes := 0; bytes < 8<<20 && done < n; done++ {
			data := make([]byte, *benchSize)
			_, _ = random.Read(data)
			h, err := multihash.Sum(data, multihash.SHA2_256, -1)
			must(b, err)
			if done == 0 {
				root := cid.NewCidV1(cid.Raw, h)
				r, err = o.Add(ctx, account, pin.Spec{CID: root.String(), Root: root})
				must(b, err)
				a, _, err = o.Begin(ctx, r.DAG())
				must(b, err)
			}
			batch.Blocks = append(batch.Blocks, graph.Block{Hash: h, Data: data})
			batch.Links = append(batch.Links, graph.Link{Holder: graph.HolderOf(a), Ref: graph.Ref{Hash: h, Size: len(data)}, Codec: cid.Raw})
			bytes += len(data)
		}
		must(b, o.Write(ctx, batch))
	}
	_, _, err := o.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: uint64(n), Bytes: uint64(n * *benchSize)})
	must(b, err)
	return r.ID
}

// ownMemory is what the process holds, without what it has mapped of files.
func ownMemory(tb testing.TB) (bytes uint64) {
	tb.Helper()
	text, err := os.ReadFile("/proc/self/status")
	must(tb, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			n, err := strconv.ParseUint(f[1], 10, 64)
			must(tb, err)
			bytes = n << 10
		}
	}
	return bytes
}

// cpuTime is how long the process had a core.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// maxMemory is what a backup may take, however many blocks there are.
const maxMemory = 128 << 20

// BenchmarkBackups measures a full backup, cp of it, the next one after a hundredth of the blocks
// changed, and a restore. It fails if the first takes more than maxMemory.
func BenchmarkBackups(b *testing.B) {
	for b.Loop() {
		o, p := open(b, b.TempDir()), place(b)
		n := *benchBlocks
		o.pinRandom(b, 1, n-n/100)
		old := o.pinRandom(b, 2, n/100)
		time.Sleep(time.Second) // a backup is slow while blocks of pins are written
		one := func() (took time.Duration) {
			sn, err := o.Snapshot(b.Context())
			must(b, err)
			defer sn.Close()
			began := time.Now()
			_, err = backup.Run(b.Context(), config(b, p, nil), func() (backup.Snapshot, error) { return snapshot{sn}, nil })
			must(b, err)
			return time.Since(began)
		}
		debug.FreeOSMemory()
		before, most := ownMemory(b), uint64(0)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					most = max(most, ownMemory(b))
				}
			}
		}()
		cpu := cpuTime(b)
		first := one()
		cpu = cpuTime(b) - cpu
		close(stop)
		<-stopped
		// A backup reads what was just pinned from memory, and cp is to do the same.
		must(b, exec.Command("sh", "-c", `find "$1" -type f -exec cat {} + >/dev/null`, "sh", p.String()).Run())
		to := b.TempDir()
		began := time.Now()
		out, err := exec.Command("sh", "-c", `cp -r "$1" "$2/copy" && find "$2" -type f -exec sync {} +`, "sh", p.String(), to).CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		copied := time.Since(began)
		must(b, os.RemoveAll(to))
		must(b, o.unpin(b.Context(), old))
		o.pinRandom(b, 3, n/100)
		time.Sleep(time.Second)
		next := one()
		m, err := backup.Find(b.Context(), p, nil, "")
		must(b, err)
		dir := b.TempDir()
		began = time.Now()
		target, _, end := beginRestoreOf(b, dir, m, store.Choice{})
		_, err = backup.Restore(b.Context(), p, nil, m, target, nil)
		must(b, err)
		_, err = target.Finish(b.Context())
		must(b, err)
		end()
		b.ReportMetric(first.Seconds(), "s/first")
		b.ReportMetric(copied.Seconds(), "s/cp")
		b.ReportMetric(cpu.Seconds(), "cpu-s/first")
		b.ReportMetric(next.Seconds(), "s/next")
		b.ReportMetric(time.Since(began).Seconds(), "s/restore")
		took := most - min(before, most)
		b.ReportMetric(float64(took)/(1<<20), "MiB")
		if took > maxMemory {
			b.Errorf("a backup takes %d MiB", took>>20)
		}
		must(b, os.RemoveAll(dir))
		o.close()
	}
}

//go:build linux

package space_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-datastore"
	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// wait is how long what has to happen may take.
const wait = 30 * time.Second

// unsyncedStore opens rooms of small files that try often whether they can be mended.
func unsyncedStore(t *testing.T, dir string) (*roomtest.Store, *logtest.Buffer) {
	t.Helper()
	var log logtest.Buffer
	s := roomtest.OpenSmall(t, dir, roomtest.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.KV.MendEvery = time.Millisecond
	return s, &log
}

// failLogSync has every sync of the newest file of the value log fail, and of no other
// file: a page of its map that nothing is in is taken out, and msync does not take maps
// with holes. again puts it back.
func failLogSync(t *testing.T, s *roomtest.Store) (file string, again func()) {
	t.Helper()
	logs := roomtest.ValueLog(t, s.Dir)
	file = logs[len(logs)-1]
	maps, err := os.Open("/proc/self/maps")
	must(t, err)
	defer maps.Close()
	page := uintptr(os.Getpagesize())
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if !strings.HasSuffix(lines.Text(), " "+file) {
			continue
		}
		var from, to, offset uintptr
		var rights string
		_, err := fmt.Sscanf(lines.Text(), "%x-%x %s %x", &from, &to, &rights, &offset)
		must(t, err)
		hole := to - page
		if _, _, e := unix.Syscall(unix.SYS_MUNMAP, hole, page, 0); e != 0 {
			t.Fatal(e)
		}
		return file, func() {
			t.Helper()
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			_, _, e := unix.Syscall6(unix.SYS_MMAP, hole, page, unix.PROT_READ|unix.PROT_WRITE,
				unix.MAP_SHARED|unix.MAP_FIXED, f.Fd(), offset+(hole-from))
			if e != 0 {
				t.Fatal(e)
			}
		}
	}
	t.Fatalf("%s is not mapped", file)
	return "", nil
}

func awaitWritable(t *testing.T, s *roomtest.Store) {
	t.Helper()
	for deadline := time.Now().Add(wait); s.Writable(t.Context()) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it was not mended: %v", s.Writable(t.Context()))
		}
	}
}

func batchOf(bs ...blocks.Block) (b graph.Batch) {
	for _, block := range bs {
		b.Blocks = append(b.Blocks, graph.Block{Hash: block.Cid().Hash(), Data: block.RawData()})
	}
	return b
}

// Where only the value log is not synced, no write is answered as made, by whichever way
// it came; and once its syncs work all that is read is on disk.
func TestValueLogNotSynced(t *testing.T) {
	bs := roomtest.SomeBlocks(901, 3, 5000)
	writes := map[string]func(*roomtest.Store) error{
		"a batch of a walk": func(s *roomtest.Store) error { return s.Write(t.Context(), batchOf(bs[1])) },
		"a block":           func(s *roomtest.Store) error { return s.Blockstore().Put(t.Context(), bs[1]) },
		"a record": func(s *roomtest.Store) error {
			_, err := s.Add(t.Context(), roomtest.Account, pintest.DAGSpec(2))
			return err
		},
		"others' state": func(s *roomtest.Store) error {
			b, err := s.Datastore().Batch(t.Context())
			must(t, err)
			must(t, b.Put(t.Context(), datastore.NewKey("/others/state"), bs[1].RawData()))
			return b.Commit(t.Context())
		},
		"a key of its own": func(s *roomtest.Store) error { return s.KV.SetMeta(kv.MetaFiller, bs[1].RawData()) },
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, log := unsyncedStore(t, dir)
			must(t, s.Write(t.Context(), batchOf(bs[0])))
			file, again := failLogSync(t, s)
			if err := write(s); !errors.Is(err, pin.ErrInDoubt) {
				t.Errorf("a write that was not synced: %v", err)
			}
			if err := s.Writable(t.Context()); !errors.Is(err, pin.ErrUnwritable) {
				t.Errorf("it is writable: %v", err)
			}
			if err := s.Write(t.Context(), batchOf(bs[2])); !errors.Is(err, pin.ErrUnwritable) {
				t.Errorf("another write: %v", err)
			}
			if !space.Marked(file, space.UnsyncedLog) {
				t.Error("the file is not marked")
			}
			again()
			awaitWritable(t, s)
			if space.Marked(file, space.UnsyncedLog) {
				t.Error("the file is still marked")
			}
			must(t, s.Write(t.Context(), batchOf(bs[2])))
			for text, want := range map[string]int{"level=ERROR": 1, "takes writes again": 1} {
				if n := strings.Count(log.String(), text); n != want {
					t.Errorf("the log has %q %d times, want %d:\n%s", text, n, want, log)
				}
			}
			must(t, s.Close())
		})
	}
}

// What the disk did not take and is not in memory any more is not called mended, and
// nothing is written until a restart, after which it is known to be unreadable.
func TestUnsyncedValuesLost(t *testing.T) {
	bs := roomtest.SomeBlocks(902, 2, 50_000)
	dir := t.TempDir()
	s, log := unsyncedStore(t, dir)
	must(t, s.Write(t.Context(), batchOf(bs[0])))
	file, again := failLogSync(t, s)
	if err := s.Write(t.Context(), batchOf(bs[1])); !errors.Is(err, pin.ErrInDoubt) {
		t.Fatalf("a write that was not synced: %v", err)
	}
	loseBytes(t, file, bs[1].RawData()[10_000:20_000])
	again()
	for deadline := time.Now().Add(wait); !strings.Contains(log.String(), "restarted"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is not said that values are lost:\n%s", log)
		}
	}
	if err := s.Writable(t.Context()); !errors.Is(err, pin.ErrUnwritable) || !strings.Contains(err.Error(), "restart the server") {
		t.Errorf("it is writable: %v", err)
	}
	must(t, s.Close())

	s = roomtest.Open(t, dir, roomtest.Config{})
	must(t, s.Writable(t.Context()))
	if data, found, err := s.Look(t.Context(), bs[0].Cid().Hash()); err != nil || !found || !bytes.Equal(data, bs[0].RawData()) {
		t.Errorf("what was synced is read as %d bytes, %v, %v", len(data), found, err)
	}
	if data, found, err := s.Look(t.Context(), bs[1].Cid().Hash()); !errors.Is(err, pin.ErrUnreadable) {
		t.Errorf("what was lost is read as %d bytes, %v, %v", len(data), found, err)
	}
}

// loseBytes makes zeros of what is in a file, as if its pages had never come to disk.
func loseBytes(t *testing.T, file string, what []byte) {
	t.Helper()
	all, err := os.ReadFile(file)
	must(t, err)
	at := bytes.Index(all, what)
	if at < 0 {
		t.Fatal("it is not in the file")
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, len(what)), int64(at))
	must(t, errors.Join(err, f.Close()))
}

// A start after such a failure writes the bytes again before anything is read.
func TestUnsyncedThenStarted(t *testing.T) {
	bs := roomtest.SomeBlocks(903, 1, 50_000)
	dir := t.TempDir()
	s, _ := unsyncedStore(t, dir)
	file, again := failLogSync(t, s)
	if err := s.Write(t.Context(), batchOf(bs[0])); !errors.Is(err, pin.ErrInDoubt) {
		t.Fatalf("a write that was not synced: %v", err)
	}
	copied := t.TempDir()
	must(t, os.CopyFS(copied, os.DirFS(dir))) // as after a kill
	again()
	must(t, s.Close())

	file = filepath.Join(copied, filepath.Base(file))
	if !space.Marked(file, space.UnsyncedLog) {
		t.Fatal("the file is not marked")
	}
	s = roomtest.Open(t, copied, roomtest.Config{})
	if space.Marked(file, space.UnsyncedLog) {
		t.Error("the file is still marked")
	}
	if data, found, err := s.Look(t.Context(), bs[0].Cid().Hash()); err != nil || !found || !bytes.Equal(data, bs[0].RawData()) {
		t.Errorf("it is read as %d bytes, %v, %v", len(data), found, err)
	}
}

// What is moved out of a file that is collected is on disk before the file goes. If that
// cannot be had at once the file stays until it is.
func TestCollectedNotSynced(t *testing.T) {
	t.Run("at once", func(t *testing.T) { collectUnsynced(t, true) })
	t.Run("later", func(t *testing.T) { collectUnsynced(t, false) })
}

func collectUnsynced(t *testing.T, atOnce bool) {
	bs := roomtest.SomeBlocks(904, 6, 250_000)
	s, _ := unsyncedStore(t, t.TempDir())
	must(t, s.Write(t.Context(), batchOf(bs...)))
	logs := roomtest.ValueLog(t, s.Dir)
	old := filepath.Base(logs[len(logs)-1])
	for _, b := range bs[1:] {
		must(t, s.KV.SetAlone(roomtest.BlockKey(b.Cid().Hash()), nil))
	}
	must(t, s.Space.RollValueLog(t.Context()))
	must(t, s.Space.Compact(t.Context()))
	name, size, collect, err := s.Space.CollectNext()
	if err != nil || name != old {
		t.Fatalf("%s is collected, want %s: %v", name, old, err)
	}
	var asked atomic.Int64
	s.Space.ChangeEndOfLog(func(end int64) int64 { // by the goroutine that writes
		asked.Add(1)
		if atOnce {
			return end
		}
		return end + 1 // what is there is not all that was written
	})
	_, again := failLogSync(t, s)
	if err := collect(t.Context()); !errors.Is(err, pin.ErrInDoubt) {
		t.Errorf("collecting gives %v", err)
	}
	if asked.Load() == 0 {
		t.Error("values were moved before they were written again")
	}
	path := filepath.Join(s.Dir, name)
	if info, err := os.Stat(path); err != nil || info.Size() != size {
		t.Fatalf("the file is %v, %v", info, err)
	}
	again()
	awaitWritable(t, s)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}
	if !roomtest.Has(t, s, bs[0]) {
		t.Error("the block is gone")
	}
	must(t, s.Close())
}

// While Badger cannot write its memory to a table, nothing is written.
func TestMemoryNotWrittenOut(t *testing.T) {
	s, log := unsyncedStore(t, t.TempDir())
	// Its next tables cannot be made; each try takes the next number.
	var taken []string
	for id := 1; id < 20; id++ {
		name := filepath.Join(s.Dir, fmt.Sprintf("%06d.sst", id))
		if err := os.Mkdir(name, 0o700); err == nil {
			taken = append(taken, name)
			if len(taken) == 2 {
				break
			}
		}
	}
	s.KV.MendEvery = time.Hour
	err := s.Space.PushOutMemory(t.Context()) // it waits for the table
	if err != nil && !errors.Is(err, pin.ErrUnwritable) {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "write memory to a table"); n != 1 {
		t.Errorf("the log has it %d times:\n%s", n, log)
	}
	if err := s.Writable(t.Context()); !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("it is writable: %v", err)
	}
	must(t, s.Close())
	for _, name := range taken {
		must(t, os.Remove(name))
	}
}

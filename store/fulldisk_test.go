package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// A disk that is full of what was unpinned heals itself: deletes and reclaim go
// on where nothing new is stored.
func TestFullDiskHeals(t *testing.T) {
	dir := t.TempDir()
	const disk = 420 << 20
	s := openServed(t, dir, Config{
		MinFreeSpace: 300 << 20,
		FreeSpace: func(dir string) (uint64, error) {
			used, err := space.DiskUse(dir)
			return disk - min(used, disk), err
		},
	})
	fill := func(p *roomtest.Pinned, seed uint64) (stored int) {
		t.Helper()
		for i := range uint64(100) {
			err := roomtest.PutTo(s, t.Context(), p.Attempt, roomtest.SomeBlocks(seed+i, 16, 256<<10))
			if errors.Is(err, pin.ErrDiskFull) {
				return stored
			}
			must(t, err)
			stored += 4 << 20
		}
		t.Fatal("the disk does not get full")
		return 0
	}
	p := roomtest.BeginPin(t, s, 1)
	first := fill(p, 1000)
	p.Remove(t, s)
	r, err := s.Reclaim(t.Context(), nil)
	must(t, err)
	if r.freed() < uint64(first)*8/10 {
		t.Errorf("%d MiB were stored, %d MiB came back", first>>20, r.freed()>>20)
	}
	if second := fill(roomtest.BeginPin(t, s, 2), 2000); second < first*8/10 {
		t.Errorf("%d MiB were stored at first, %d MiB later", first>>20, second>>20)
	}
}

// What a reclaim leaves free on a full disk, wherever it is killed, is enough to open,
// and to make room by what is dead already.
func TestOpenAfterAReclaimOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	free := uint64(1 << 40)
	cfg := Config{FreeSpace: func(string) (uint64, error) { return free, nil }}
	lock, err := Lock(dir)
	must(t, err)
	defer func() { must(t, lock.Close()) }()
	s, err := Open(t.Context(), lock, cfg)
	must(t, err)
	b := roomtest.SomeBlocks(70, 1, 3000)[0]
	must(t, s.held.Blockstore().Put(t.Context(), b))
	free = roomtest.DefaultReserve / 2
	if reclaimAll(t, s); roomtest.Has(t, s, b) {
		t.Error("nothing was deleted")
	}
	must(t, s.Close())
	free = roomtest.DefaultReserve / 4
	s, err = Open(t.Context(), lock, cfg)
	must(t, err)
	roomtest.Set(t, s.db, roomtest.LooseKey(b.Cid().Hash()), roomtest.SizeValue(3000))
	roomtest.Set(t, s.db, roomtest.BlockKey(b.Cid().Hash()), b.RawData())
	if _, err := s.Reclaim(t.Context(), nil); roomtest.Has(t, s, b) || err != nil && !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("nothing is deleted: %v", err)
	}
	must(t, s.Close())
	free = roomtest.DefaultReserve/4 - 1
	if _, err := Open(t.Context(), lock, cfg); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("with less than a reclaim leaves: %v", err)
	}
}

// On a full disk the database is left as it is, and what was written is there.
func TestCloseOnAFullDisk(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	free := uint64(1 << 40)
	var log logtest.Buffer
	cfg := Config{FreeSpace: func(string) (uint64, error) { return free, nil }, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(t.Context(), lock, cfg)
	must(t, err)
	b := roomtest.SomeBlocks(71, 1, 3000)[0]
	must(t, s.held.Blockstore().Put(t.Context(), b))
	free = 0
	if err := s.Close(); err != nil { // nothing is lost
		t.Errorf("closing gives %v", err)
	}
	if n := strings.Count(log.String(), "too full to close the database"); n != 1 {
		t.Errorf("the log has it %d times: %s", n, &log)
	}
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	must(t, s.db.Close()) // the disk has room for a test
	must(t, lock.Close())
	free = 1 << 40
	s = openTest(t, copied, cfg)
	if !roomtest.Has(t, s, b) {
		t.Error("a block is lost")
	}
}

// A reclaim that was cut off when half of the reserve was not free any more goes on with
// what is known to be dead, and makes room by that.
func TestInterruptedReclaimOnAFullDisk(t *testing.T) {
	disk := uint64(1 << 40)
	s := openServed(t, t.TempDir(), Config{FreeSpace: func(dir string) (uint64, error) {
		used, err := space.DiskUse(dir)
		return disk - min(used, disk), err
	}})
	gone, kept := roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2)
	for i := range uint64(48) {
		gone.Put(t, s, roomtest.SomeBlocks(2*i, 15, 256<<10))
		kept.Put(t, s, roomtest.SomeBlocks(2*i+1, 1, 256<<10))
	}
	gone.Remove(t, s)
	ctx, kill := context.WithCancel(t.Context())
	_, err := s.Reclaim(ctx, func(p ReclaimProgress) {
		if p.Stage == stageCollect {
			kill()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	used, err := space.DiskUse(s.dbDir)
	must(t, err)
	disk = used + roomtest.DefaultReserve*3/8
	r, err := s.Reclaim(t.Context(), nil)
	must(t, err)
	if r.freed() < uint64(gone.Bytes)*8/10 || r.Left > 0 {
		t.Errorf("%d MiB of %d came back, %d bytes are left", r.freed()>>20, gone.Bytes>>20, r.Left)
	}
}

// A file system that does not say what is free is one that cannot be written, for whoever
// asks, and nothing is changed.
func TestFreeSpaceIsNotTold(t *testing.T) {
	var fails error
	s := openTest(t, t.TempDir(), Config{FreeSpace: func(string) (uint64, error) { return 1 << 40, fails }})
	r, err := s.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	fails = syscall.EIO
	_, add := s.Add(t.Context(), roomtest.Account, pintest.DAGSpec(2))
	_, _, remove := s.Remove(t.Context(), roomtest.Account, r.ID)
	for name, err := range map[string]error{
		"a pin": add, "a removal": remove, "what room there is": s.Room(t.Context(), 0), "whether writes work": s.Writable(t.Context()),
	} {
		if !errors.Is(err, pin.ErrUnwritable) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fails = nil
	if page, err := s.List(t.Context(), roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 10}); err != nil || len(page.Requests) != 1 {
		t.Errorf("there are %v, %v", page.Requests, err)
	}
}

// Temporary files may use what is kept free of new blocks, and leave what removals need.
func TestRoomForTemporaryFiles(t *testing.T) {
	free := uint64(0)
	s := openServed(t, t.TempDir(), Config{
		MinFreeSpace: 1 << 30, Reserve: 100 << 20, FreeSpace: func(string) (uint64, error) {
			if free == 0 {
				return 1 << 40, nil // while it opens
			}
			return free, nil
		},
	})
	free = 500 << 20
	if err := s.Room(t.Context(), 0); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("room for blocks: %v", err)
	}
	if err := s.RoomForTemp(400 << 20); err != nil {
		t.Error(err)
	}
	if err := s.RoomForTemp(401 << 20); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("room for files that leave less than removals need: %v", err)
	}
}

// While writes are in doubt, nothing that was unpinned is dropped or deleted: a crash may undo the
// unpinning alone.
func TestNothingGoesWhileWritesFail(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Logger: slog.New(slog.DiscardHandler)})
	s.kv.MendEvery = time.Hour
	kept, dropped := roomtest.PinDAG(t, s, dagtest.Chain(3)), roomtest.PinDAG(t, s, roomtest.SmallChain("other", 3))
	kept.Release(t, s)
	dropped.Remove(t, s)
	keys := func() int { return len(roomtest.KeysOf(t, s.kv, holding.KLinkTo, holding.KLoose, '/')) }
	before := keys()
	s.kv.Fails(syscall.EIO)
	if err := s.Drop(t.Context(), kept.Attempt); !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("drop: %v", err)
	}
	if _, err := s.Reclaim(t.Context(), nil); !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("reclaim: %v", err)
	}
	if after := keys(); after != before {
		t.Errorf("of %d links, notes and blocks %d are left", before, after)
	}
}

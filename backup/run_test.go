package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// A backup that is cut off leaves the one before as it was, and the next removes what is
// left of it.
func TestBackupCutOff(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(20)
	_, err = o.pinDAG(t.Context(), net, roots[0], "")
	must(t, err)
	good := run(t, o, p, nil)
	for _, root := range roots[1:] {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	for cut := range 5 {
		fails := &failing{Place: p}
		fails.left.Store(int64(cut))
		_, err := backup.Run(t.Context(), config(t, fails, nil), o.take(t))
		if !errors.Is(err, errCut) {
			t.Fatalf("cut off after %d files: %v", cut, err)
		}
		all, err := backup.List(t.Context(), p, nil)
		if err != nil || len(all) != 1 || all[0].ID != good.ID {
			t.Fatalf("after a backup that was cut off there are %v: %v", all, err)
		}
		if done := restore(t, t.TempDir(), p, nil, ""); len(done.Damaged) > 0 {
			t.Errorf("restored %+v", done)
		}
	}
	last := run(t, o, p, nil)
	runs, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range runs {
		if e.IsDir() && e.Name() != good.ID && e.Name() != last.ID {
			t.Errorf("%s is left of a backup that was cut off", e.Name())
		}
	}
}

// failing fails once so many files were put.
type failing struct {
	backup.Place
	left atomic.Int64
}

func (f *failing) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if f.left.Add(-1) < 0 {
		return errCut
	}
	return f.Place.Put(ctx, name, size, r)
}

func (f *failing) Commit(ctx context.Context, name string, data []byte) error {
	if f.left.Add(-1) < 0 {
		return errCut
	}
	return f.Place.Commit(ctx, name, data)
}

// A reclaim leaves what a snapshot has, until that is closed or the disk needs the room.
func TestSnapshotKeepsBlocks(t *testing.T) {
	dir := t.TempDir()
	lock, err := store.Lock(dir)
	must(t, err)
	defer lock.Close()
	free := uint64(1 << 40)
	s, err := store.Open(t.Context(), lock, store.Config{
		Logger: slog.New(slog.DiscardHandler), FreeSpace: func(string) (uint64, error) { return free, nil },
	})
	must(t, err)
	defer s.Close()
	o := &opened{Store: s}
	roots, net := dags(2)
	r, err := o.pinDAG(t.Context(), net, roots[0], "")
	must(t, err)
	sn, err := s.Snapshot(t.Context())
	must(t, err)
	defer sn.Close()
	var hashes []multihash.Multihash
	_, err = sn.Records(t.Context(), func(_, _ []byte) error { return nil }, func(h multihash.Multihash, _ uint64) error {
		hashes = append(hashes, slices.Clone(h))
		return nil
	})
	must(t, err)
	must(t, o.unpin(t.Context(), r.ID))
	report, err := s.Reclaim(t.Context(), nil)
	if err != nil || report.Blocks > 0 || report.Kept < uint64(len(hashes)) {
		t.Errorf("a reclaim deleted %d blocks, and says that %d are kept: %v", report.Blocks, report.Kept, err)
	}
	for _, h := range hashes {
		if _, err := sn.Block(t.Context(), h, nil); err != nil {
			t.Errorf("block %s: %v", h, err)
		}
	}
	stock := s.Stock()
	defer stock.Close()
	if stock.Lost() {
		t.Error("a stock was given up while there was room")
	}
	free = 300 << 20 // under the floor for new blocks
	report, err = s.Reclaim(t.Context(), nil)
	if err != nil || report.Blocks != uint64(len(hashes)) || report.Kept > 0 {
		t.Errorf("on a full disk a reclaim deleted %d blocks of %d: %v", report.Blocks, len(hashes), err)
	}
	if _, err := sn.Block(t.Context(), hashes[0], nil); !errors.Is(err, store.ErrKeepLost) {
		t.Errorf("a block of a snapshot that was given up: %v", err)
	}
	if !stock.Lost() {
		t.Error("a stock that was given up does not say so")
	}
}

// What the store lost since the last backup is still in the next one, also if little else of
// its pack is.
func TestLostSinceTheLastBackup(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(30)
	var requests []pin.Request
	for _, root := range roots {
		r, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
		requests = append(requests, r)
	}
	first := run(t, o, p, nil)
	for _, r := range requests[1:] {
		must(t, o.unpin(t.Context(), r.ID)) // so that the pack is not used any more
	}
	lost := func() (backup.Snapshot, error) {
		s, err := o.take(t)()
		return lossy{s}, err
	}
	m, err := backup.Run(t.Context(), config(t, p, nil), lost)
	must(t, err)
	if m.DamagedBlocks > 0 || m.Blocks == 0 || len(m.Packs) != 1 || m.Packs[0].Name != first.Packs[0].Name {
		t.Errorf("the backup is %+v", m)
	}
	dir := t.TempDir()
	if done := restore(t, dir, p, nil, m.ID); done.Missing > 0 || done.Blocks != m.Blocks {
		t.Errorf("restored %+v", done)
	}
	open(t, dir).verify(t)
	// Without the earlier backup it is damage, and the new one says so to all who use it.
	other := place(t)
	m, err = backup.Run(t.Context(), config(t, other, nil), lost)
	must(t, err)
	if m.DamagedBlocks == 0 || m.Blocks > 0 {
		t.Errorf("the backup is %+v", m)
	}
	c, err := backup.Check(t.Context(), other, nil, "", func(backup.Progress) {}, func(backup.Fault) error { return nil })
	if err != nil || c.Faults != 1 {
		t.Errorf("checked %+v: %v", c, err)
	}
	if done := restore(t, t.TempDir(), other, nil, ""); done.Missing != m.DamagedBlocks || len(done.MissingNamed) == 0 {
		t.Errorf("restored %+v", done)
	}
}

// lossy has lost every block.
type lossy struct{ backup.Snapshot }

// A backup that finds no room is given up, and leaves nothing.
func TestNoRoom(t *testing.T) {
	o, p, dir, _, _ := filled(t, 5)
	for name, limit := range map[string]func(*backup.Config){
		"at the place": func(cfg *backup.Config) {
			left := int64(60_000)
			cfg.Room = func(size int64) error {
				if left -= size; left < 0 {
					return pin.ErrDiskFull
				}
				return nil
			}
		},
		"for temporary files": func(cfg *backup.Config) {
			cfg.TempRoom = func(uint64) error { return pin.ErrDiskFull }
		},
	} {
		cfg := config(t, p, nil)
		limit(&cfg)
		if _, err := backup.Run(t.Context(), cfg, o.take(t)); !errors.Is(err, pin.ErrDiskFull) {
			t.Errorf("a backup without room %s: %v", name, err)
		}
		names, err := p.List(t.Context(), "")
		if err != nil || !slices.Equal(names, []string{"holdfast-backup.json"}) {
			t.Errorf("without room %s left are %v: %v", name, names, err)
		}
	}
	// A directory that is not the server's own, as at the top of a file system, is no obstacle.
	must(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o000))
	run(t, o, p, nil)
}

// A manifest that came to the place although writing it failed is removed before what it
// names.
func TestManifestThatFailedGoesFirst(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(2)
	_, err := o.pinDAG(t.Context(), net, roots[0], "")
	must(t, err)
	var removed []string
	_, err = backup.Run(t.Context(), config(t, unanswered{p, &removed}, nil), o.take(t))
	if !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if len(removed) < 4 || !strings.HasSuffix(removed[0], "/manifest.json") {
		t.Errorf("removed were %v", removed)
	}
	if all, err := backup.List(t.Context(), p, nil); err != nil || len(all) > 0 {
		t.Errorf("there are %v: %v", all, err)
	}
}

// unanswered writes manifests, and says that it did not.
type unanswered struct {
	backup.Place
	removed *[]string
}

func (u unanswered) Commit(ctx context.Context, name string, data []byte) error {
	err := u.Place.Commit(ctx, name, data)
	if err == nil && strings.HasSuffix(name, "/manifest.json") {
		err = errCut
	}
	return err
}

func (u unanswered) Remove(ctx context.Context, name string) error {
	*u.removed = append(*u.removed, name)
	return u.Place.Remove(ctx, name)
}

// brokenOff is a place that breaks off in the middle of lists of blocks.
type brokenOff struct{ backup.Place }

var errBroken = errors.New("the connection broke")

func (p brokenOff) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := p.Place.Get(ctx, name)
	if err != nil || !strings.HasSuffix(name, "/blocks") {
		return r, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(errBroken))), err
}

// TestListThatBreaksOff: a list that cannot be read now is not damaged. The backup fails, and does not write
// everything anew.
func TestListThatBreaksOff(t *testing.T) {
	o, p, _, _, _ := filled(t, 3)
	run(t, o, p, nil)
	m, err := backup.Run(t.Context(), config(t, brokenOff{p}, nil), o.take(t))
	if !errors.Is(err, errBroken) {
		t.Errorf("the next backup is %+v, %v", m, err)
	}
	if m := run(t, o, p, nil); m.NewBlocks != 0 {
		t.Errorf("the one after it wrote %d blocks", m.NewBlocks)
	}
}

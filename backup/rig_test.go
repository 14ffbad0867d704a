package backup_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

var account = uuid.NewString()

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// opened is a store that was opened, and its directory.
type opened struct {
	*store.Store
	dir   string
	close func()
}

func open(tb testing.TB, dir string) *opened {
	tb.Helper()
	lock, err := store.Lock(dir)
	must(tb, err)
	s, err := store.Open(tb.Context(), lock, store.Config{Logger: slog.New(slog.DiscardHandler), FreeSpace: roomy})
	must(tb, err)
	o := &opened{Store: s, dir: dir, close: sync.OnceFunc(func() {
		must(tb, s.Close())
		must(tb, lock.Close())
	})}
	tb.Cleanup(o.close)
	return o
}

// roomy is a disk that is never full.
func roomy(string) (uint64, error) { return 1 << 40, nil }

// freeSlot is a worker that is always free.
type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }

func (freeSlot) Release() {}

// pinDAG pins a DAG, whose root is the last block, as a client and a walk do.
func (o *opened) pinDAG(ctx context.Context, net *walktest.Network, root cid.Cid, name string) (pin.Request, error) {
	return o.pinFor(ctx, account, net, root, name)
}

func (o *opened) pinFor(ctx context.Context, account string, net *walktest.Network, root cid.Cid, name string) (pin.Request, error) {
	r, err := o.Add(ctx, account, pin.Spec{CID: root.String(), Root: root, Name: name})
	if err == nil {
		err = o.fetch(ctx, net, r)
	}
	return r, err
}

// fetch fetches the DAG of a request.
func (o *opened) fetch(ctx context.Context, net *walktest.Network, r pin.Request) error {
	a, complete, err := o.Begin(ctx, r.DAG())
	if err != nil || complete {
		return err
	}
	asker := net.Asker(16, 1)
	defer asker.Close()
	totals, err := walk.Run(ctx, walk.Config{Store: o.Store, Asker: asker}, pin.Job{
		DAG: r.DAG(), Attempt: a, Progress: new(pin.Progress), Slot: freeSlot{},
	})
	if err == nil {
		_, _, err = o.Store.Complete(ctx, r.DAG(), a, totals)
	}
	return err
}

func (o *opened) unpin(ctx context.Context, id string) error {
	_, released, err := o.Remove(ctx, account, id)
	if err != nil {
		return err
	}
	return o.dropAll(ctx, released)
}

// snapshot is a store's, in the words of a backup.
type snapshot struct{ *store.Snapshot }

func (s snapshot) Block(ctx context.Context, h multihash.Multihash, buf []byte) ([]byte, error) {
	data, err := s.Snapshot.Block(ctx, h, buf)
	switch {
	case errors.Is(err, store.ErrNoBlock):
		return nil, backup.ErrNoBlock
	case errors.Is(err, pin.ErrUnreadable):
		return nil, backup.ErrUnreadable
	}
	return data, err
}

func run(tb testing.TB, o *opened, p backup.Place, k *backup.Key) *backup.Manifest {
	tb.Helper()
	m, err := backup.Run(tb.Context(), config(tb, p, k), o.take(tb))
	must(tb, err)
	return m
}

func config(tb testing.TB, p backup.Place, k *backup.Key) backup.Config {
	return backup.Config{
		Place: p, Key: k, Store: "test", Version: "test", Temp: tb.TempDir(), Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
}

func (o *opened) take(tb testing.TB) func() (backup.Snapshot, error) {
	return func() (backup.Snapshot, error) {
		sn, err := o.Snapshot(tb.Context())
		if err != nil {
			return nil, err
		}
		tb.Cleanup(sn.Close)
		return snapshot{sn}, nil
	}
}

// restore restores a backup into a directory.
func restore(tb testing.TB, dir string, p backup.Place, k *backup.Key, id string) backup.Restored {
	tb.Helper()
	done, _ := restoreChoice(tb, dir, p, k, id, store.Choice{})
	return done
}

// restoreChoice restores some of a backup. It also gives how many DAGs miss blocks.
func restoreChoice(tb testing.TB, dir string, p backup.Place, k *backup.Key, id string, choice store.Choice) (backup.Restored, uint64) {
	tb.Helper()
	m, err := backup.Find(tb.Context(), p, k, id)
	must(tb, err)
	target, _, end := beginRestoreOf(tb, dir, m, choice)
	done, err := backup.Restore(tb.Context(), p, k, m, target, nil)
	must(tb, err)
	waiting, err := target.Finish(tb.Context())
	must(tb, err)
	end()
	return done, waiting
}

// beginRestore begins a restore, or goes on with it. It also gives the lock of the directory.
func beginRestore(tb testing.TB, dir string, m *backup.Manifest) (target *store.Restoring, lock *store.DirLock, end func()) {
	tb.Helper()
	return beginRestoreOf(tb, dir, m, store.Choice{})
}

func beginRestoreOf(tb testing.TB, dir string, m *backup.Manifest, choice store.Choice) (target *store.Restoring, lock *store.DirLock, end func()) {
	tb.Helper()
	lock, err := store.Lock(dir)
	must(tb, err)
	target, err = store.Restore(tb.Context(), lock, m.ID, m.Layout, choice, store.Config{FreeSpace: roomy, Logger: slog.New(slog.DiscardHandler)})
	must(tb, err)
	return target, lock, func() {
		must(tb, target.Close())
		must(tb, lock.Close())
	}
}

// pins lists all requests, as text.
func (o *opened) pins(tb testing.TB) (all []string) {
	tb.Helper()
	page, err := o.Store.List(tb.Context(), account, pin.Query{Limit: 1000})
	must(tb, err)
	for _, r := range page.Requests {
		all = append(all, fmt.Sprint(r.ID, " ", r.Status, " ", r.Root, " ", r.Name))
	}
	slices.Sort(all)
	return all
}

// verify hashes all that is pinned, and looks for links that do not fit.
func (o *opened) verify(tb testing.TB) {
	tb.Helper()
	report, err := o.Store.Verify(tb.Context(), func(d store.Damage) error {
		tb.Errorf("block %s is %s", d.CID(), d.Kind)
		return nil
	}, func(store.VerifyProgress) {})
	must(tb, err)
	if report.BadRecords > 0 || report.Strays > 0 {
		tb.Errorf("verify found %d bad records and %d strays", report.BadRecords, report.Strays)
	}
}

// filled is a store with n DAGs pinned, and a place for its backups, which is the directory dir.
func filled(t *testing.T, n int) (o *opened, p backup.Place, dir string, roots []cid.Cid, net *walktest.Network) {
	t.Helper()
	o, dir = open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net = dags(n)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	return o, p, dir, roots, net
}

// dags makes trees that share leaves, and a network that has them.
func dags(n int) (roots []cid.Cid, net *walktest.Network) { return dagsOf(n, 2000) }

// dagsOf is dags with leaves of a size.
func dagsOf(n, size int) (roots []cid.Cid, net *walktest.Network) {
	leaves := dagtest.Leaves(60, size)
	net = walktest.NewNetwork(leaves...)
	for i := range n {
		some := append([]blocks.Block{dagtest.Raw(fmt.Sprint("own ", i))}, leaves[i%40:i%40+20]...)
		tree := dagtest.Tree(some, 5)
		net.Add(tree...)
		net.Add(some...)
		roots = append(roots, dagtest.Last(tree))
	}
	return roots, net
}

func place(tb testing.TB) backup.Place {
	p, err := backup.OpenPlace(tb.TempDir())
	must(tb, err)
	return p
}

var errCut = errors.New("cut off")

func (lossy) Block(context.Context, multihash.Multihash, []byte) ([]byte, error) {
	return nil, backup.ErrUnreadable
}

func (broken) Read([]byte) (int, error) { return 0, errCut }

var loadRounds = flag.Int("backup-rounds", 8, "backups that are made and restored under load")

func newKey(tb testing.TB) *backup.Key {
	id, err := age.GenerateX25519Identity()
	must(tb, err)
	path := filepath.Join(tb.TempDir(), "key")
	must(tb, os.WriteFile(path, []byte("# a comment\n"+id.String()+"\n"), 0o600))
	k, err := backup.ReadKey(path)
	must(tb, err)
	return k
}

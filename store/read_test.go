package store

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/google/uuid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// bypasses lists the calls by which a file reads Badger past read.go.
func bypasses(src any, name string) (found []string, err error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	// Methods that no other type here has, and those of a transaction or a datastore. Value
	// and Backup are names of fields, too, and count when they are called.
	always := map[string]bool{
		"ValueCopy": true, "ValueSize": true, "EstimatedSize": true,
		"NewIterator": true, "NewKeyIterator": true, "NewStream": true, "VerifyChecksum": true,
	}
	ofThese := map[string]bool{"txn": true, "ds": true, "Txn": true}
	their := map[string]bool{"Get": true, "Has": true, "GetSize": true, "Query": true}
	last := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			return e.Sel.Name
		}
		return ""
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && slices.Contains([]string{"Value", "Backup"}, last(call.Fun)) {
			found = append(found, files.Position(n.Pos()).String()+": "+last(call.Fun))
		}
		if sel, ok := n.(*ast.SelectorExpr); ok && (always[sel.Sel.Name] || their[sel.Sel.Name] && ofThese[last(sel.X)]) {
			found = append(found, files.Position(sel.Pos()).String()+": "+last(sel.X)+"."+sel.Sel.Name)
		}
		return true
	})
	return found, nil
}

// All reads go through package reading, which knows what Badger does with what it cannot
// read.
func TestNothingReadsPastTheOnePlace(t *testing.T) {
	const one = "internal/space/reading"
	must(t, filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == one:
			return filepath.SkipDir
		case e.IsDir(), filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"):
			return nil
		}
		found, err := bypasses(nil, path)
		for _, f := range found {
			t.Errorf("%s: it is to go by package reading", f)
		}
		return err
	}))
	if found, err := bypasses(nil, filepath.Join(one, "read.go")); err != nil || len(found) < 5 {
		t.Errorf("of read.go itself %q are seen, %v", found, err)
	}
	if found, err := bypasses("package p\nfunc f() { g.txn.Get(k); ds.Query(q); item.Value(nil); r.get(k) }", "x.go"); err != nil || len(found) != 3 {
		t.Errorf("of three ways %q are seen, %v", found, err)
	}
}

// No other package opens the database.
func TestOnlyTheStoreUsesBadger(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "store" || d.Name() == "e2e") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "badger") {
				t.Errorf("%s imports %s", path, i.Path.Value)
			}
		}
		return nil
	})
	must(t, err)
}

// cut makes a store whose oldest file of the value log was cut to a part, and which has
// large records, blocks and others' values there. It gives what of all that is lost.
func makeCut(t *testing.T) (s *Store, bs []blocks.Block, lost map[string]bool) {
	t.Helper()
	dir := t.TempDir()
	s, lock := openSmall(t, dir)
	bs = roomtest.SomeBlocks(50, 100, 50_000)
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, bs)
	p.Complete(t, s, len(bs))
	must(t, s.Close())
	must(t, lock.Close())
	path := roomtest.ValueLog(t, filepath.Join(dir, dbName))[0]
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Truncate(path, int64(len(data)/3)))
	lost = map[string]bool{}
	for _, b := range bs {
		if at := bytes.Index(data, roomtest.BlockKey(b.Cid().Hash())); at >= 0 && at+60+50_000 > len(data)/3 {
			lost[string(b.Cid().Hash())] = true
		}
	}
	if len(lost) < 5 || len(lost) > 90 {
		t.Fatalf("%d blocks are lost", len(lost))
	}
	s, _ = openLogged(t, dir)
	return s, bs, lost
}

// What is in a file that was cut is an error by every way to read it: it is not empty, nor
// absent. The rest is as it was.
func TestCutValueLog(t *testing.T) {
	s, bs, lost := makeCut(t)
	for _, b := range bs {
		h := b.Cid().Hash()
		bad := lost[string(h)]
		ways := map[string]func() ([]byte, error){
			"Look": func() ([]byte, error) {
				data, found, err := s.held.Look(t.Context(), h)
				if err == nil && !found {
					err = ipld.ErrNotFound{Cid: b.Cid()}
				}
				return data, err
			},
			"LookEach": func() (data []byte, err error) {
				err = s.held.LookEach(t.Context(), func(look func(multihash.Multihash, func(int) []byte) ([]byte, bool, error)) error {
					data, _, err = look(h, func(size int) []byte { return make([]byte, 0, size) })
					return err
				})
				return data, err
			},
			"Blockstore": func() ([]byte, error) {
				got, err := s.held.Blockstore().Get(t.Context(), b.Cid())
				if err != nil {
					return nil, err
				}
				return got.RawData(), nil
			},
			"Datastore": func() ([]byte, error) {
				return s.held.Datastore().Get(t.Context(), datastore.RawKey(string(roomtest.BlockKey(h))))
			},
		}
		for name, way := range ways {
			data, err := way()
			if bad && (!errors.Is(err, pin.ErrUnreadable) || data != nil) || !bad && (err != nil || !bytes.Equal(data, b.RawData())) {
				t.Errorf("%s of a block that is lost (%v): %d bytes, %v", name, bad, len(data), err)
			}
		}
		if size, _, err := s.held.LookSize(t.Context(), h); bad != errors.Is(err, pin.ErrUnreadable) || !bad && size != len(b.RawData()) {
			t.Errorf("LookSize of a block that is lost (%v): %d, %v", bad, size, err)
		}
	}
	res, err := s.held.Datastore().Query(t.Context(), query.Query{Prefix: "/blocks"})
	must(t, err)
	good, bad := 0, 0
	for {
		e, ok := res.NextSync()
		if !ok {
			break
		}
		if e.Error != nil && errors.Is(e.Error, pin.ErrUnreadable) {
			bad++
		} else if e.Error == nil && len(e.Value) == 50_000 {
			good++
		}
	}
	if bad != len(lost) || good != len(bs)-len(lost) {
		t.Errorf("a query gives %d values and %d errors, of %d blocks and %d lost", good, bad, len(bs), len(lost))
	}
	st, err := s.Stats(t.Context())
	must(t, err)
	named := map[string]bool{}
	for _, c := range st.Unreadable {
		named[string(c.Hash())] = true
	}
	if !maps.Equal(named, lost) {
		t.Errorf("stats name %d blocks, %d are lost", len(named), len(lost))
	}
	found, _ := verify(t, s)
	if !slices.Equal(slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(lost))) {
		t.Errorf("verify finds %d blocks, %d are lost", len(found), len(lost))
	}
	// Fetched again, they are as if nothing had been.
	for _, b := range bs {
		if lost[string(b.Cid().Hash())] {
			must(t, roomtest.PutTo(s, t.Context(), 1, []blocks.Block{b}))
		}
	}
	if st, err := s.Stats(t.Context()); err != nil || len(st.Unreadable) > 0 {
		t.Errorf("mended, stats name %v, %v", st.Unreadable, err)
	}
}

// A file that gets shorter while it is mapped, or that the disk does not read, is an error
// and not the end of the process.
func TestValueLogCutWhileOpen(t *testing.T) {
	s, lock := openSmall(t, t.TempDir(), func(c *Config) { c.closeWait = 1 }) // Badger may keep locks
	defer func() { must(t, lock.Close()) }()
	bs := roomtest.SomeBlocks(51, 100, 50_000)
	roomtest.BeginPin(t, s, 1).Put(t, s, bs)
	must(t, os.Truncate(filepath.Join(s.dbDir, "000001.vlog"), 100_000))
	bad := 0
	for _, b := range bs {
		data, found, err := s.held.Look(t.Context(), b.Cid().Hash())
		switch {
		case errors.Is(err, pin.ErrUnreadable) && data == nil:
			bad++
		case err != nil || found && !bytes.Equal(data, b.RawData()):
			t.Fatalf("%d bytes, %v, %v", len(data), found, err)
		}
	}
	if bad == 0 {
		t.Error("all can be read of a file that was cut")
	}
	if err := s.Close(); err != nil && !strings.Contains(err.Error(), unclosed) {
		t.Error(err)
	}
}

// A block whose hash is another, though it is as it was written, is not given out once
// that is known.
func TestCorruptBlockIsNotGivenOut(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	b := roomtest.SomeBlocks(52, 1, 5000)[0]
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, []blocks.Block{b})
	p.Complete(t, s, 1)
	overwrite(t, s, b, make([]byte, 5000))
	if found, _ := verify(t, s); len(found) != 1 {
		t.Fatalf("%d blocks are damaged", len(found))
	}
	for range 2 {
		if _, _, err := s.held.Look(t.Context(), b.Cid().Hash()); !errors.Is(err, pin.ErrUnreadable) {
			t.Errorf("a look gives %v", err)
		}
		if _, _, err := s.held.LookSize(t.Context(), b.Cid().Hash()); !errors.Is(err, pin.ErrUnreadable) {
			t.Errorf("its size gives %v", err)
		}
	}
	must(t, roomtest.PutTo(s, t.Context(), p.Attempt, []blocks.Block{b}))
	if got, err := s.held.Blockstore().Get(t.Context(), b.Cid()); err != nil || !bytes.Equal(got.RawData(), b.RawData()) {
		t.Errorf("written again it is %v, %v", got, err)
	}
}

// A table that is damaged while it is open is an error: it has not, for that, no such key.
// Nor is it compacted away.
func TestTableDamagedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s, lock := openSmall(t, dir)
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, roomtest.SomeBlocks(54, 2000, 300))
	must(t, s.Close())
	must(t, lock.Close())
	s, lock = openSmall(t, dir, func(c *Config) { c.closeWait = 1 })
	defer func() { must(t, lock.Close()) }()
	if s.db.Opts().ChecksumVerificationMode != options.OnBlockRead {
		t.Fatal("tables are not verified")
	}
	count := func() (n int, err error) {
		err = s.kv.View(t.Context(), func(r *kv.Reader) error {
			return r.Scan(kv.Span{Prefix: []byte{holding.KLinkTo}, KeysOnly: true}, func(_, _ []byte) (bool, error) { n++; return true, nil })
		})
		return n, err
	}
	if n, err := count(); n != 2000 || err != nil {
		t.Fatalf("%d links, %v", n, err)
	}
	must(t, s.Sound())
	tables, err := filepath.Glob(filepath.Join(s.dbDir, "*.sst"))
	must(t, err)
	for _, path := range tables {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		b := make([]byte, 1)
		for at := int64(0); at < info.Size()/2; at += 16 << 10 {
			_, err = f.ReadAt(b, at)
			must(t, err)
			_, err = f.WriteAt([]byte{b[0] ^ 4}, at)
			must(t, err)
		}
		must(t, f.Close())
	}
	if n, err := count(); !errors.Is(err, pin.ErrUnreadable) {
		t.Errorf("%d links, %v", n, err)
	}
	if err := s.Sound(); !errors.Is(err, ErrDamaged) {
		t.Errorf("after that it is sound: %v", err)
	}
	unreadable, absent := 0, 0
	must(t, s.kv.View(t.Context(), func(r *kv.Reader) error {
		for _, b := range roomtest.SomeBlocks(54, 2000, 300) {
			_, err := reading.Fetch(r.Txn, roomtest.BlockKey(b.Cid().Hash()), nil)
			switch {
			case errors.Is(err, pin.ErrUnreadable):
				unreadable++
			case errors.Is(err, badger.ErrKeyNotFound):
				absent++
			}
		}
		return nil
	}))
	if absent > 0 {
		t.Errorf("%d blocks are taken to be absent, %d are unreadable", absent, unreadable)
	}
	var named *space.DamagedTablesError
	if _, err := s.Reclaim(t.Context(), nil); !errors.As(err, &named) || !errors.Is(err, space.ErrDamaged) {
		t.Errorf("a reclaim gives %v", err)
	}
	if r, err := s.Verify(t.Context(), func(Damage) error { return nil }, nil); !errors.As(err, &named) || len(r.Tables) == 0 || len(r.Tables[0].Hurt) == 0 {
		t.Errorf("verify gives %+v, %v", r.Tables, err)
	}
	if err := s.Sound(); !errors.As(err, &named) {
		t.Errorf("what a reclaim found is not known: %v", err)
	}
	// From then on nothing is taken that the next start would refuse with the rest.
	_, err = s.Add(t.Context(), uuid.NewString(), pintest.DAGSpec(1))
	if !errors.Is(err, pin.ErrDamaged) || !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("a request is added: %v", err)
	}
	if err := s.Room(t.Context(), 1); !errors.Is(err, pin.ErrDamaged) {
		t.Errorf("there is room: %v", err)
	}
	if err := s.Writable(t.Context()); !errors.Is(err, pin.ErrDamaged) {
		t.Errorf("it is writable: %v", err)
	}
	// A compaction that comes to it stops there, and nothing is lost.
	go compact(context.Background(), s) // it never ends
	stopped := func() bool {            // a compaction waits in the error that it met
		all := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
			if strings.Contains(stack, "[select (no cases)") && strings.Contains(stack, "subcompact") {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(30 * time.Second); !stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no compaction came to it")
		}
	}
	for _, path := range tables {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("a table was compacted: %v", err)
		}
	}
	if err := s.Close(); err != nil && !strings.Contains(err.Error(), unclosed) {
		t.Error(err)
	}
}

// While space is given back, again and again, all that is pinned is read as it is.
func TestReadsBesideReclaims(t *testing.T) {
	s, log := openLogged(t, t.TempDir())
	kept := roomtest.BeginPin(t, s, 1)
	bs := roomtest.SomeBlocks(56, 100, 20_000)
	kept.Put(t, s, bs)
	done := make(chan struct{})
	var readers sync.WaitGroup
	var reads atomic.Int64
	for n := range 2 {
		readers.Go(func() {
			for i := n; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				b := bs[i*7%len(bs)]
				data, found, err := s.held.Look(t.Context(), b.Cid().Hash())
				if err != nil || found && !bytes.Equal(data, b.RawData()) {
					t.Errorf("a look gives %d bytes, %v, %v", len(data), found, err)
				}
				got, err := s.held.Blockstore().Get(t.Context(), b.Cid())
				if err != nil || !bytes.Equal(got.RawData(), b.RawData()) {
					t.Errorf("the block store gives %v", err)
				}
				reads.Add(1)
			}
		})
	}
	for i := range 5 {
		gone := roomtest.BeginPin(t, s, 10+i)
		for j := range 5 { // kept ones in between, so that they are moved
			gone.Put(t, s, roomtest.SomeBlocks(uint64(200+5*i+j), 30, 20_000))
			kept.Put(t, s, bs[j*20:(j+1)*20])
		}
		gone.Remove(t, s)
		reclaimAll(t, s)
	}
	close(done)
	readers.Wait()
	if strings.Contains(log.String(), "cannot be read") || reads.Load() == 0 {
		t.Errorf("after %d reads the log says\n%s", reads.Load(), log)
	}
}

package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

var (
	rotRounds = flag.Int("rot-rounds", 25, "how often TestDamageRounds damages a store")
	rotSeed   = flag.Uint64("rot-seed", 0, "`number` of the first round of TestDamageRounds, to repeat it; 0 is a new one")
)

const rotChild = "HOLDFAST_TEST_ROT_CHILD"

// TestDamageRounds flips bits of, or cuts, files of a store, at random places, and opens it:
// it opens, or says why it does not. All that it gives is what was stored, or an error; what
// was not hit is given.
//
// It does so in a process of its own, which what is damaged might end. The log has the seed
// of each round; -rot-rounds=1 -rot-seed=SEED repeats one.
func TestDamageRounds(t *testing.T) {
	if os.Getenv(rotChild) != "" {
		rotForRounds(t)
		return
	}
	first := *rotSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDamageRounds$", "-test.timeout=0", "-test.v",
		fmt.Sprintf("-rot-rounds=%d", *rotRounds), fmt.Sprintf("-rot-seed=%d", first))
	cmd.Env = append(os.Environ(), rotChild+"=1")
	var noise bytes.Buffer
	cmd.Stderr = &noise // of Badger's, and of the runtime if it ends the process
	out, err := cmd.Output()
	if err != nil || !bytes.Contains(out, []byte("\nall rounds are done\n")) {
		last := noise.Bytes()
		t.Errorf("%v\n%s\n%s", err, out, last[max(0, len(last)-10_000):])
		return
	}
	t.Logf("seeds from %d on", first)
}

// healthy is a store before it is damaged, and what it has.
type healthy struct {
	dir        string
	kept       *roomtest.Pinned
	blocks     []blocks.Block
	requestsOf map[string]pin.Request
	logs       map[string][]byte // the files of the value log
}

func makeHealthy(t *testing.T) *healthy {
	t.Helper()
	h := &healthy{dir: t.TempDir(), requestsOf: map[string]pin.Request{}}
	s, lock := openSmall(t, h.dir)
	h.kept = roomtest.BeginPin(t, s, 0)
	for i, size := range []int{200, 900, 3000, 40_000, 300} {
		h.blocks = append(h.blocks, roomtest.SomeBlocks(uint64(60+i), 40, size)...)
		h.kept.Put(t, s, h.blocks[40*i:])
	}
	h.kept.Complete(t, s, len(h.blocks))
	for i := range 120 {
		spec := pintest.DAGSpec(i % 30)
		spec.Name = fmt.Sprintf("request %d", i)
		if i%4 == 0 {
			spec.Meta = map[string]string{"long": strings.Repeat(spec.Name+" ", 200)}
		}
		_, err := s.requestRecords.Add(t.Context(), roomtest.Account, spec)
		must(t, err)
	}
	must(t, s.Close())
	// Each start begins a file of the value log, and the newest one is like no other.
	must(t, lock.Close())
	s, lock = openSmall(t, h.dir)
	page, err := s.requestRecords.List(t.Context(), roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
	must(t, err)
	for _, r := range page.Requests {
		h.requestsOf[r.ID] = r
	}
	if found, _ := verify(t, s); len(found) > 0 || len(page.Requests) != 121 {
		t.Fatalf("%d blocks are damaged, and %d requests listed", len(found), len(page.Requests))
	}
	more := roomtest.SomeBlocks(70, 20, 5000)
	h.kept.Put(t, s, more)
	h.kept.Complete(t, s, len(h.blocks)+len(more))
	h.blocks = append(h.blocks, more...)
	must(t, s.Close())
	must(t, lock.Close())
	h.logs = map[string][]byte{}
	for _, path := range roomtest.ValueLog(t, filepath.Join(h.dir, dbName)) {
		h.logs[filepath.Base(path)], err = os.ReadFile(path)
		must(t, err)
	}
	return h
}

// hit is a part of a file that is not as it was.
type hit struct {
	file     string
	from, to int64 // to is behind it
}

// damage damages a file of a database, and says where.
func damage(t *testing.T, db string, rng *rand.Rand) (hits []hit) {
	t.Helper()
	kind := []string{"*.sst", "*.vlog", "*.vlog", "*.vlog"}[rng.IntN(4)] // a table is refused, which is soon done
	all, err := filepath.Glob(filepath.Join(db, kind))
	must(t, err)
	path := all[rng.IntN(len(all))]
	data, err := os.ReadFile(path)
	must(t, err)
	used := len(bytes.TrimRight(data, "\x00"))
	if used == 0 {
		return nil
	}
	if rng.IntN(3) == 0 {
		to := rng.IntN(used)
		must(t, os.Truncate(path, int64(to)))
		return []hit{{filepath.Base(path), int64(to), int64(len(data))}}
	}
	for range 1 + rng.IntN(3) {
		at := rng.IntN(used)
		data[at] ^= 1 << rng.IntN(8)
		hits = append(hits, hit{filepath.Base(path), int64(at), int64(at) + 1})
	}
	must(t, os.WriteFile(path, data, 0o600))
	return hits
}

func rotForRounds(t *testing.T) {
	h := makeHealthy(t)
	for n := range *rotRounds {
		seed := *rotSeed + uint64(n)
		fmt.Printf("seed %d\n", seed)
		h.round(t, rand.New(rand.NewPCG(seed, 1)))
		if t.Failed() {
			return
		}
	}
	fmt.Print("\nall rounds are done\n")
}

// where gives the part of a file of the value log that has a key's value.
func (h *healthy) where(key []byte, size int) (at hit, ok bool) {
	for name, data := range h.logs {
		if i := bytes.Index(data, key); i >= 0 && int64(size) >= space.BadgerOptions().ValueThreshold {
			return hit{name, int64(i) - reading.EntryHeader, int64(i + len(key) + 8 + size + 4)}, true
		}
	}
	return hit{}, false
}

func (h *healthy) round(t *testing.T, rng *rand.Rand) {
	dir := filepath.Join(t.TempDir(), "copy")
	defer os.RemoveAll(dir) // there are hundreds
	must(t, os.CopyFS(dir, os.DirFS(h.dir)))
	hits := damage(t, filepath.Join(dir, dbName), rng)
	t.Logf("damaged: %v", hits)
	touched := func(key []byte, size int) bool {
		if len(hits) == 0 || strings.HasSuffix(hits[0].file, ".sst") {
			return false
		}
		at, ok := h.where(key, size)
		for _, hit := range hits {
			if ok && hit.file == at.file && hit.from < at.to && at.from < hit.to {
				return true
			}
		}
		return false
	}
	lock, err := Lock(dir)
	must(t, err)
	defer lock.Close()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := openWith(t.Context(), dir, Config{Now: new(roomtest.Clock).Now, Logger: log, closeWait: 100 * time.Millisecond}.withDefaults(), roomtest.SmallFiles(), migrations())
	if err != nil {
		if !errors.Is(err, space.ErrDamaged) {
			t.Errorf("it does not open: %v", err)
		}
		if hits[0].file[len(hits[0].file)-4:] == ".sst" && !strings.Contains(err.Error(), hits[0].file) {
			t.Errorf("what is damaged is not named: %v", err)
		}
		t.Logf("it does not open: %v", err)
		return
	}
	defer func() { // Badger may keep a lock
		if err := s.Close(); err != nil && !strings.Contains(err.Error(), unclosed) {
			t.Errorf("it does not close: %v", err)
		}
	}()
	bad := map[string]bool{}
	for i, b := range h.blocks {
		hash := b.Cid().Hash()
		was := touched(roomtest.BlockKey(hash), len(b.RawData()))
		data, found, err := s.held.Look(t.Context(), hash)
		switch {
		case errors.Is(err, pin.ErrUnreadable) && data == nil && was:
			bad[string(hash)] = true
		case err != nil || !found:
			t.Errorf("block %d of %d bytes (hit: %v): %v, %v", i, len(b.RawData()), was, found, err)
		case !bytes.Equal(data, b.RawData()):
			t.Errorf("block %d of %d bytes (hit: %v) has %d others", i, len(b.RawData()), was, len(data))
		}
		if got, err := s.held.Blockstore().Get(t.Context(), b.Cid()); (err != nil) != bad[string(hash)] || err == nil && !bytes.Equal(got.RawData(), b.RawData()) {
			t.Errorf("block %d by the block store: %v", i, err)
		}
	}
	h.checkRequests(t, s, touched)
	st, err := s.Stats(t.Context())
	if err != nil || len(st.Unreadable) != len(bad) {
		t.Errorf("stats name %d blocks, %d are unreadable, %v", len(st.Unreadable), len(bad), err)
	}
	h.repair(t, s, bad)
}

// checkRequests wants every request that was not hit to be as it was, and others to be
// so, or marked.
func (h *healthy) checkRequests(t *testing.T, s *Store, touched func([]byte, int) bool) {
	t.Helper()
	same := func(got pin.Request) bool {
		want := h.requestsOf[got.ID]
		return reflect.DeepEqual(got, want) || pin.InfoOf(got)["damaged"] != ""
	}
	for id, want := range h.requestsOf {
		size := 300 // beside its metadata, at most
		for k, v := range want.Meta {
			size += len(k) + len(v)
		}
		was := touched(roomtest.RequestKey(want), size)
		got, err := s.requestRecords.Get(t.Context(), roomtest.Account, id)
		switch {
		case was && err == nil && pin.InfoOf(got)["damaged"] != "":
		case err != nil || !reflect.DeepEqual(got, want):
			t.Errorf("request %s (hit: %v) is %+v, %v; was %+v", id, was, got, err, want)
		}
	}
	page, err := s.requestRecords.List(t.Context(), roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
	if err != nil || len(page.Requests) != len(h.requestsOf) || page.Count != len(h.requestsOf) {
		t.Errorf("%d requests are listed and %d counted, of %d, %v", len(page.Requests), page.Count, len(h.requestsOf), err)
	}
	for _, got := range page.Requests {
		if !same(got) {
			t.Errorf("listed is %+v, was %+v", got, h.requestsOf[got.ID])
		}
	}
}

// repair wants a check to find just what is damaged, and all to be well once that was
// written again.
func (h *healthy) repair(t *testing.T, s *Store, bad map[string]bool) {
	t.Helper()
	check := func() map[string]bool {
		found := map[string]bool{}
		_, err := s.Verify(t.Context(), func(d Damage) error { found[string(d.Hash)] = true; return nil }, nil)
		if err != nil {
			t.Errorf("verify: %v", err)
		}
		return found
	}
	for hash := range check() {
		if !bad[hash] {
			t.Errorf("verify finds %s, which can be read", multihash.Multihash(hash).B58String())
		}
	}
	for _, b := range h.blocks {
		if bad[string(b.Cid().Hash())] {
			must(t, roomtest.PutTo(s, t.Context(), h.kept.Attempt, []blocks.Block{b}))
		}
	}
	for hash := range check() {
		t.Errorf("mended, verify finds %s", multihash.Multihash(hash).B58String())
	}
	if _, err := s.Reclaim(t.Context(), nil); err != nil {
		t.Errorf("a reclaim: %v", err)
	}
	for _, b := range h.blocks {
		if got, err := s.held.Blockstore().Get(t.Context(), b.Cid()); err != nil || !bytes.Equal(got.RawData(), b.RawData()) {
			t.Errorf("mended and reclaimed, block %s: %v", b.Cid(), err)
		}
	}
}

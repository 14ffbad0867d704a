package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// patience is how long a test waits for what should happen at once.
const patience = time.Minute

// eventuallyCounted waits until what was counted is as it should be.
func eventuallyCounted(t *testing.T, s *Store, what string, ok func(Counts) bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(s.Counted()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: counted %+v", what, s.Counted())
		}
	}
}

// What is counted in the background is what Stats counts, in more pieces than
// one too.
func TestCount(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	if c := s.Counted(); c != (Counts{}) {
		t.Errorf("before the first time it is %+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Count(ctx, time.Millisecond) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventuallyCounted(t, s, "empty", func(c Counts) bool { return !c.At.IsZero() && c.Live == Amount{} && c.Disk > 0 })

	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, roomtest.SomeBlocks(41, 5, 1000))
	links := make([]graph.Link, kv.WalkPage+1000)
	for i := range links {
		h, err := multihash.Sum([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, multihash.SHA2_256, -1)
		must(t, err)
		links[i] = graph.Link{Holder: graph.HolderOf(p.Attempt), Ref: graph.Ref{Hash: h, Size: 2}, Codec: cid.Raw}
	}
	must(t, s.held.Write(ctx, graph.Batch{Links: links}))
	want := Amount{Blocks: 5 + uint64(len(links)), Bytes: 5000 + 2*uint64(len(links))}
	eventuallyCounted(t, s, "pinning", func(c Counts) bool { return c.Live == want && c.Dead == Amount{} })

	p.Remove(t, s)
	eventuallyCounted(t, s, "removed", func(c Counts) bool { return c.Live == Amount{} && c.Dead == Amount{5, 5000} })
	st, err := s.Stats(ctx)
	if err != nil || st.Live != s.Counted().Live || st.Dead != s.Counted().Dead {
		t.Errorf("counted %+v, and Stats gives %+v, %v", s.Counted(), st, err)
	}

	reclaimAll(t, s)
	eventuallyCounted(t, s, "reclaimed", func(c Counts) bool { return c.Dead == Amount{} })
	r := s.Reclaims()
	if r.Runs != 1 || r.Failed != 0 || r.Blocks != 5 || r.Bytes != 5000 || r.Elapsed <= 0 || r.Last.IsZero() {
		t.Errorf("the reclaim is %+v", r)
	}
}

// An interrupted reclaim is no failure; one that met a full disk is.
func TestReclaimsAreCounted(t *testing.T) {
	free := uint64(1 << 40)
	s := openTest(t, t.TempDir(), Config{FreeSpace: func(string) (uint64, error) { return free, nil }})
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, roomtest.SomeBlocks(43, 5, 1000))
	p.Remove(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reclaim(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r := s.Reclaims(); r != (ReclaimCounts{}) {
		t.Errorf("after one that was interrupted: %+v", r)
	}
	free = 0
	if _, err := s.Reclaim(t.Context(), nil); !errors.Is(err, pin.ErrDiskFull) {
		t.Fatal(err)
	}
	if r := s.Reclaims(); r.Failed != 1 || r.Runs != 0 {
		t.Errorf("after one that failed: %+v", r)
	}
	if err := s.Room(t.Context(), 0); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("with a full disk Room gives %v", err)
	}
	free = 1 << 40
	if err := s.Room(t.Context(), free/2); err != nil {
		t.Errorf("Room gives %v", err)
	}
	if err := s.Room(t.Context(), free); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("for all that is free Room gives %v", err)
	}
	if got, err := s.Free(); err != nil || got != free {
		t.Errorf("%d bytes are free, %v", got, err)
	}
}

func TestQueue(t *testing.T) {
	clock := new(roomtest.Clock)
	s := openTest(t, t.TempDir(), Config{Now: clock.Now})
	ctx := t.Context()
	const other = "0a11ce00-0000-4000-8000-000000000002"
	expect := func(what string, queued, pinning uint64, oldest time.Time) {
		t.Helper()
		q, err := s.requestRecords.Queue(ctx)
		if err != nil || q.Requests[pin.Queued] != queued || q.Requests[pin.Pinning] != pinning || len(q.Requests) != 4 || !q.Oldest.Equal(oldest) {
			t.Errorf("%s: %+v, %v; want %d queued, %d pinning, the oldest of %v", what, q, err, queued, pinning, oldest)
		}
	}
	expect("empty", 0, 0, time.Time{})
	var made []pin.Request
	for i, account := range []string{other, roomtest.Account, roomtest.Account, other} {
		r, err := s.requestRecords.Add(ctx, account, pintest.DAGSpec(i))
		must(t, err)
		made = append(made, r)
	}
	expect("added", 4, 0, made[0].Created)
	_, _, err := s.requestRecords.Begin(ctx, made[0].DAG())
	must(t, err)
	expect("one begun", 3, 1, made[1].Created)
	_, _, err = s.requestRecords.Remove(ctx, roomtest.Account, made[1].ID)
	must(t, err)
	expect("one removed", 2, 1, made[2].Created)
	for _, r := range made[2:] {
		_, _, err := s.requestRecords.Begin(ctx, r.DAG())
		must(t, err)
	}
	expect("all begun", 0, 3, time.Time{})
}

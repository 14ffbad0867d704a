package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// restored is a front whose backup is older than the pinset: for DAG 1 the pinset tells of a request
// of bob that no record here has.
type restored struct {
	*front
	r     pin.Request // alice's, which the backup has
	since string      // the ID of bob's
}

func newRestored(t *testing.T, peers int, change func(*Config)) restored {
	t.Helper()
	life := Life{Name: "first"}
	f := restored{front: newFront(t, peers, func(c *Config) {
		c.Life = life
		if change != nil {
			change(c)
		}
	})}
	f.r, _ = f.pinned(alice, 1, func(s *pin.Spec) { s.Name, s.Meta = "known", map[string]string{"replication": "2", "of": "known"} })
	f.stop()
	at, ok := MadeAt(f.r.ID)
	if !ok {
		t.Fatalf("%s has no time", f.r.ID)
	}
	life = Life{Name: "second", Newest: at}
	f.start()
	f.since = idAt(at.Add(time.Hour))
	later := *f.c.Get(f.cid(1))
	later.Metadata[requestsPrefix+instance] = strings.Join([]string{
		shortUUID(bob) + "." + shortUUID(f.since),
		later.Metadata[requestsPrefix+instance],
		shortUUID(bob) + "." + shortUUID(idAt(at.Add(-time.Hour))), // removed before the backup or since
	}, " ")
	later.Name, later.Metadata["of"] = "since", "since"
	f.c.Put(later)
	return f
}

// idAt makes the ID of a request that is made at some time.
func idAt(at time.Time) string {
	u := uuid.Must(uuid.NewV7())
	for i, ms := 5, at.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		u[i] = byte(ms)
	}
	return u.String()
}

// tells checks which requests the pinset tells of, and that bob's name and metadata are there.
func (f restored) tells(want ...string) {
	f.t.Helper()
	var got []string
	err := f.engine.Claims(f.t.Context(), func(c Claim) error {
		got = append(got, c.Request)
		if c.Request == f.since && (c.Own || c.Account != bob || c.Spec.Name != "since" || c.Spec.Meta["of"] != "since") {
			f.t.Errorf("the request that has no record is %+v", c)
		}
		return nil
	})
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		f.t.Errorf("the pinset tells of %v, %v, want %v", got, err, want)
	}
}

// Whatever is the reason to ask for a pin again: what it tells of requests that have no record stays.
func TestPostsKeepRequestsWithoutRecord(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		post   func(restored)
	}{
		"a request was removed": {nil, func(f restored) { f.mends("outdated 1") }},
		"few copies": {func(c *Config) { c.LostAfter = time.Nanosecond }, func(f restored) {
			f.c.Peer(0).Kill()
			eventually(f.t, "it is away", func() bool { return !f.engine.peers[0].answers() })
			for range 2 {
				f.differences(true)
			}
			if n := len(f.c.Get(f.cid(1)).Allocations); n != 2 || slices.Contains(f.c.Get(f.cid(1)).Allocations, f.c.Peer(0).ID) {
				f.t.Errorf("it is at %v", f.c.Get(f.cid(1)).Allocations)
			}
		}},
		"under another attempt": {nil, func(f restored) {
			later := *f.c.Get(f.cid(1))
			later.Metadata[attemptPrefix+instance] = "1000000.first"
			f.c.Put(later)
			f.mends("missing 1")
		}},
		"a drain": {nil, func(f restored) {
			done, err := f.engine.Drain(f.t.Context(), "s1", func(Drained) {})
			if err != nil || done.Done != 1 {
				f.t.Errorf("it ends with %+v, %v", done, err)
			}
		}},
		"another replication": {func(c *Config) {
			c.Account = func(context.Context, string) (pin.Replication, error) { return pin.Replication{Min: 2, Max: 2}, nil }
		}, func(f restored) {
			later := *f.c.Get(f.cid(1))
			later.Min, later.Max = 1, 1
			f.c.Put(later)
			f.mends("outdated 1")
		}},
		"a fetch": {nil, func(f restored) {
			a, _, _, err := f.store.Held(f.t.Context(), f.r.DAG())
			if err != nil {
				f.t.Fatal(err)
			}
			w, err := f.engine.want(f.t.Context(), f.r.DAG(), a, nil)
			if err == nil {
				_, _, err = f.engine.place(f.t.Context(), w, 1)
			}
			if err != nil {
				f.t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRestored(t, 3, c.change)
			c.post(f)
			f.tells(f.r.ID, f.since)
			if got := f.differences(true); got != nil {
				t.Errorf("then it finds %v", got)
			}
			f.tells(f.r.ID, f.since)
		})
	}
}

// What is asked for after the restore is in the pinset with the next check, which posts it once.
func TestRequestAfterRestore(t *testing.T) {
	f := newRestored(t, 3, nil)
	const carol = "ca201000-0000-4000-8000-000000000000"
	spec, _ := f.content(1, 10)
	r, err := f.store.Add(t.Context(), carol, spec)
	if err != nil {
		t.Fatal(err)
	}
	posts := f.c.Posts()
	f.mends("outdated 1")
	if n := f.c.Posts() - posts; n != 1 {
		t.Errorf("it is posted %d times", n)
	}
	f.tells(f.r.ID, f.since, r.ID)
}

// To unpin what is known leaves what is not. The pinset keeps it until it is imported, and then it is
// this server's.
func TestUnpinLeavesRequestsWithoutRecord(t *testing.T) {
	for _, posted := range []bool{false, true} {
		t.Run(fmt.Sprint(posted), func(t *testing.T) {
			f := newRestored(t, 3, nil)
			if posted {
				f.mends("outdated 1")
			}
			f.unpin(f.r)
			f.tells(f.since)
			if n := f.c.Copies(f.cid(1)); n != 2 {
				t.Errorf("there are %d copies", n)
			}
			for range 2 {
				if got := f.differences(true); len(got) != 1 || got[0] != "orphan 1" {
					t.Errorf("it finds %v", got)
				}
			}
			mine, j := f.ask(bob, 1, nil)
			f.complete(j)
			f.tells(mine.ID)
			f.unpin(mine)
			if f.c.Get(f.cid(1)) != nil {
				t.Error("it stays")
			}
		})
	}
}

// Once all was imported, the records know it, whatever accounts have it now.
func TestRecordsKnowWhatWasImported(t *testing.T) {
	f := newRestored(t, 3, nil)
	f.mends("outdated 1")
	f.tells(f.r.ID, f.since)
	at, _ := MadeAt(f.since)
	if l := f.engine.KnowUntil(at); l.Name != "second" || !l.Newest.Equal(at) {
		t.Errorf("the life is %+v", l)
	}
	f.mends("outdated 1")
	f.tells(f.r.ID)
	f.unpin(f.r)
	if f.c.Get(f.cid(1)) != nil {
		t.Error("it stays")
	}
}

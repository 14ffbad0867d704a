package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// differences checks once, and gives what is found as KIND N, with + if it was mended.
func (f *front) differences(repair bool) (all []string) {
	f.t.Helper()
	_, err := f.engine.Check(f.t.Context(), repair, func(d Difference) {
		n := -1
		for i := range f.dags {
			if f.cid(i) == d.CID {
				n = i
			}
		}
		s := fmt.Sprintf("%s %d", d.Kind, n)
		if d.Mended {
			s += "+"
		}
		if d.Err != nil {
			s += " " + d.Err.Error()
		}
		all = append(all, s)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// mends checks that a difference is found and not touched, then mended once, and then gone.
func (f *front) mends(want string) {
	f.t.Helper()
	for _, c := range []struct {
		repair bool
		want   string
	}{{false, want}, {true, want + "+"}, {true, ""}} {
		if got := strings.Join(f.differences(c.repair), "; "); got != c.want {
			f.t.Errorf("with repair %v it finds %q, want %q", c.repair, got, c.want)
		}
	}
}

func withJournal() func(*Config) {
	ds := dssync.MutexWrap(datastore.NewMapDatastore())
	return func(c *Config) { c.Journal = ds }
}

func TestCheckFindsNothing(t *testing.T) {
	f := newFront(t, 3, withJournal())
	for n := range 3 {
		f.pinned(alice, n, nil)
	}
	f.c.Put(clustertest.Pin{CID: "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", Min: 1, Max: 1, Allocations: []string{f.c.Peer(0).ID}})
	f.c.Peer(1).Node.Add("bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	if got := f.differences(true); got != nil {
		t.Errorf("it finds %v", got)
	}
}

// A peer was killed with what it had acknowledged, or somebody removed a pin.
func TestCheckMissing(t *testing.T) {
	f := newFront(t, 3, nil)
	for n := range 3 {
		f.pinned(alice, n, nil)
	}
	f.engine.posts.forget(pin.DAGOf(f.dags[1].spec.Root)) // it is not recent
	f.c.Lose(f.cid(1))
	f.mends("missing 1")
	if f.c.Copies(f.cid(1)) < 2 {
		t.Error("the copies do not come back")
	}
}

// What the cluster refuses to take is found by the next check as well, however soon that comes.
func TestCheckFindsWhatIsRefused(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "3"} })
	f.engine.posts.forget(f.dags[1].spec.DAG()) // it is not recent
	f.c.Lose(f.cid(1))
	f.c.Peer(2).Fill(true)
	for range 2 {
		var found []string
		_, err := f.engine.Check(t.Context(), true, func(d Difference) { found = append(found, fmt.Sprintf("%s: %v", d.Kind, d.Err)) })
		if want := []string{"missing: the cluster has 2 peers with room that answer, and 3 copies are wanted"}; err != nil || !slices.Equal(found, want) {
			t.Errorf("it finds %q, %v", found, err)
		}
	}
}

// The pinset keeps what nothing here needs: its removal was lost with a peer.
func TestCheckOrphan(t *testing.T) {
	f := newFront(t, 3, nil)
	r, _ := f.pinned(alice, 1, nil)
	left := *f.c.Get(f.cid(1))
	f.unpin(r)
	f.c.Put(left)
	f.mends("orphan 1")
	if f.c.Get(f.cid(1)) != nil || f.c.Copies(f.cid(1)) != 0 {
		t.Error("it is kept")
	}
}

// What was pinned after the backup that is restored here is not removed.
func TestCheckOtherLife(t *testing.T) {
	life := "first"
	f := newFront(t, 3, func(c *Config) { c.Life.Name = life })
	r, _ := f.pinned(alice, 1, nil)
	kept, _ := f.pinned(alice, 2, nil)
	left := *f.c.Get(f.cid(1))
	f.unpin(r)
	f.c.Put(left) // the records never heard of it
	f.stop()
	life = "second"
	f.start()
	for range 2 {
		if got := strings.Join(f.differences(true), "; "); got != "orphan 1" {
			t.Errorf("it finds %q", got)
		}
	}
	if f.c.Get(f.cid(1)) == nil {
		t.Error("what was pinned after the backup is removed")
	}
	f.unpin(kept) // this one it knows
	if f.c.Get(f.cid(2)) != nil {
		t.Error("what is unpinned stays")
	}
}

// A request that was made since the backup, for a DAG that the backup has, stays in the pinset.
func TestCheckOtherLifeKeepsRequests(t *testing.T) {
	life := "first"
	f := newFront(t, 3, func(c *Config) { c.Life.Name = life })
	r, _ := f.pinned(alice, 1, nil)
	f.stop()
	life = "second"
	f.start()
	later := *f.c.Get(f.cid(1))
	since := "c0ffee00-0000-4000-8000-000000000001"
	later.Metadata[requestsPrefix+instance] += " " + shortUUID(bob) + "." + shortUUID(since)
	f.c.Put(later)
	for range 2 {
		if got := f.differences(true); got != nil {
			t.Errorf("it finds %v", got)
		}
	}
	var claimed []string
	if err := f.engine.Claims(t.Context(), func(c Claim) error { claimed = append(claimed, c.Request); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(claimed, []string{r.ID, since}) {
		t.Errorf("the pinset tells of %v", claimed)
	}
}

// The same, of a directory that was copied as a whole.
func TestCheckOlderRecords(t *testing.T) {
	life := "first"
	f := newFront(t, 3, func(c *Config) {
		c.Life.Name = life
		c.NewLife = func(time.Time) (Life, error) { life = "second"; return Life{Name: life}, nil }
	})
	r, j := f.pinned(alice, 1, nil)
	left := *f.c.Get(f.cid(1))
	f.unpin(r)
	left.Metadata[attemptPrefix+instance] = fmt.Sprint(uint64(j.Attempt)+1000, ".first")
	f.c.Put(left)
	for range 2 {
		if got := strings.Join(f.differences(true), "; "); got != "orphan 1" {
			t.Errorf("it finds %q", got)
		}
	}
	if life != "second" || f.c.Get(f.cid(1)) == nil {
		t.Error("what was pinned after the copy was made is removed")
	}
}

// A node that does not unpin keeps what it has, and the cluster forgets it.
func TestCheckStray(t *testing.T) {
	f := newFront(t, 3, withJournal())
	r, _ := f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "3"} })
	f.c.Peer(1).Node.SetDown(true)
	f.unpin(r)
	f.c.Peer(1).Kill() // and forgets what it had to do
	f.c.Peer(1).Node.SetDown(false)
	f.c.Peer(1).Start()
	eventually(t, "it answers", func() bool { return f.engine.peers[1].answers() })
	if !f.c.Peer(1).Node.Has(f.cid(1)) {
		t.Fatal("the node has unpinned it")
	}
	f.c.Peer(1).Node.Add("bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") // its operator's own
	f.mends("stray 1")
	if f.c.Peer(1).Node.Has(f.cid(1)) || !f.c.Peer(1).Node.Has("bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") {
		t.Error("it unpins the wrong one")
	}
	if all, err := f.engine.journal.all(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("it still remembers %v, %v", all, err)
	}
}

// A pin has gone to other peers, and the cluster forgot to tell one.
func TestCheckStrayCopy(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Peer(2).Node.Add(f.cid(1))
	f.mends("stray 1")
	if n := f.c.Copies(f.cid(1)); n != 2 {
		t.Errorf("there are %d copies", n)
	}
}

// A copy where the pinset does not have the DAG stays until the peers that should have it do.
func TestCheckStrayIsTheOnlyCopy(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Peer(2).Node.Add(f.cid(1))
	f.c.Serve(f.cid(1), clustertest.Content{Blocks: 10, Bytes: 1000}) // nobody has all of it
	for i := range 2 {
		f.c.Peer(i).Node.Forget(f.cid(1))
	}
	if got := strings.Join(f.differences(true), "; "); got != "lost copy 1+; lost copy 1+; few copies 1" {
		t.Errorf("it finds %q", got)
	}
	if !f.c.Peer(2).Node.Has(f.cid(1)) {
		t.Fatal("the only copy is unpinned")
	}
	f.serve(1)
	f.mends("stray 1")
	if n := f.c.Copies(f.cid(1)); n != 2 {
		t.Errorf("there are %d copies", n)
	}
}

// While a change is not in the pinset yet, it is not asked for again.
func TestCheckDuringABatch(t *testing.T) {
	f := newFront(t, 3, func(c *Config) {
		c.Account = func(context.Context, string) (pin.Replication, error) { return c.Replication, nil }
	})
	f.pinned(alice, 1, nil)
	f.engine.cfg.Account = func(context.Context, string) (pin.Replication, error) { return pin.Replication{Min: 1, Max: 1}, nil }
	f.c.Hold()
	if got := strings.Join(f.differences(true), "; "); got != "outdated 1+" {
		t.Errorf("it finds %q", got)
	}
	posts := f.c.Posts()
	if got := f.differences(true); got != nil || f.c.Posts() != posts {
		t.Errorf("before the end of the batch it finds %v, and asks %d times more", got, f.c.Posts()-posts)
	}
	f.c.Commit()
	if got := f.differences(true); got != nil || f.c.Copies(f.cid(1)) != 1 {
		t.Errorf("after the batch it finds %v, and there are %d copies", got, f.c.Copies(f.cid(1)))
	}
}

// A node lost a pin, and its peer does not look.
func TestCheckLost(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "3-3"} })
	f.c.Peer(2).Node.Forget(f.cid(1))
	got := f.differences(false)
	if len(got) != 2 || got[0] != "lost copy 1" || got[1] != "few copies 1" {
		t.Errorf("it finds %v", got)
	}
	if got := f.differences(true); len(got) != 1 || got[0] != "lost copy 1+" {
		t.Errorf("it finds %v", got)
	}
	if !f.c.Peer(2).Node.Has(f.cid(1)) {
		t.Error("the copy does not come back")
	}
}

// A peer that is away has its time. Then others get what it had.
func TestCheckFew(t *testing.T) {
	below := time.Hour
	f := newFront(t, 3, func(c *Config) { c.LostAfter = below })
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Peer(0).Kill()
	eventually(t, "it is away", func() bool { return !f.engine.peers[0].answers() })
	posts := f.c.Posts()
	for range 2 {
		if got := f.differences(true); len(got) != 1 || got[0] != "few copies 1" {
			t.Errorf("it finds %v", got)
		}
	}
	if n := len(f.engine.check.below); n != 1 || f.c.Posts() != posts {
		t.Errorf("%d are below, and something was asked for", n)
	}
	f.engine.cfg.LostAfter = time.Nanosecond
	if got := f.differences(true); len(got) != 1 || got[0] != "few copies 1+" {
		t.Errorf("it finds %v", got)
	}
	if !f.c.Peer(2).Node.Has(f.cid(1)) {
		t.Error("nobody else gets it")
	}
	if got := f.differences(true); got != nil {
		t.Errorf("then it finds %v", got)
	}
}

// Another account asks for what is pinned, and more copies are wanted.
func TestCheckOutdated(t *testing.T) {
	f := newFront(t, 3, func(c *Config) {
		c.Account = func(_ context.Context, account string) (pin.Replication, error) {
			if account == bob {
				return pin.Replication{Min: 3, Max: 3}, nil
			}
			return pin.Replication{Min: 2, Max: 2}, nil
		}
	})
	f.pinned(alice, 1, nil)
	spec, _ := f.content(1, 10)
	r, err := f.store.Add(t.Context(), bob, spec)
	if err != nil {
		t.Fatal(err)
	}
	f.c.Peer(1).Fill(true)
	if got := f.differences(true); len(got) != 1 || got[0] != "outdated 1" {
		t.Errorf("while a peer that has it is full it finds %v", got)
	}
	f.c.Peer(1).Fill(false)
	f.mends("outdated 1")
	if n := f.c.Copies(f.cid(1)); n != 3 {
		t.Errorf("there are %d copies", n)
	}
	f.unpin(r)
	f.mends("outdated 1")
	if n := f.c.Copies(f.cid(1)); n != 2 {
		t.Errorf("there are %d copies", n)
	}
}

// Nothing is mended by a list that was cut.
func TestCheckWithoutPeers(t *testing.T) {
	f := newFront(t, 2, nil)
	f.pinned(alice, 1, nil)
	for i := range 2 {
		f.c.Peer(i).Kill()
	}
	if _, err := f.engine.Check(t.Context(), true, func(d Difference) { t.Errorf("it finds %+v", d) }); err == nil {
		t.Error("nobody answers, and all is well")
	}
}

// The cluster takes a pin from a peer without room as soon as it is asked.
func TestDrainFull(t *testing.T) {
	f := newFront(t, 4, nil)
	for n := range 4 {
		f.pinned(alice, n, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	}
	f.c.Peer(0).Fill(true)
	posts := f.c.Posts()
	done, err := f.engine.Drain(t.Context(), "s1", func(Drained) {})
	if err != nil || done.Failed != 0 || f.c.Posts()-posts != int(done.Total) {
		t.Errorf("%+v, %v, in %d requests", done, err, f.c.Posts()-posts)
	}
	for n := range 4 {
		if f.c.Peer(0).Node.Has(f.cid(n)) || f.c.Copies(f.cid(n)) != 2 {
			t.Errorf("DAG %d is at %v", n, f.c.Get(f.cid(n)).Allocations)
		}
	}
}

func TestDrain(t *testing.T) {
	f := newFront(t, 4, nil)
	for n := range 4 {
		f.pinned(alice, n, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	}
	var steps int
	done, err := f.engine.Drain(t.Context(), "s1", func(Drained) { steps++ })
	if err != nil || done.Failed != 0 || done.Done != done.Total || uint64(steps) != done.Total || done.Total == 0 {
		t.Errorf("%+v, %v", done, err)
	}
	for n := range 4 {
		if f.c.Peer(0).Node.Has(f.cid(n)) || f.c.Copies(f.cid(n)) != 2 {
			t.Errorf("DAG %d is at %v", n, f.c.Get(f.cid(n)).Allocations)
		}
	}
	if got := f.differences(false); got != nil {
		t.Errorf("then it finds %v", got)
	}
	if _, err := f.engine.Drain(t.Context(), "s9", func(Drained) {}); err == nil || !strings.Contains(err.Error(), "s1") {
		t.Errorf("a peer that there is not: %v", err)
	}
}

// While a drain waits for a copy, a check leaves the pin to it. If somebody else changes the pin, the
// drain asks for the copy again.
func TestDrainIsDisturbed(t *testing.T) {
	f := newFront(t, 4, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	before := *f.c.Get(f.cid(1))
	f.c.Serve(f.cid(1), clustertest.Content{Blocks: 10, Bytes: 1000}) // so that it waits
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		done, err := f.engine.Drain(ctx, "s1", func(Drained) {})
		if err == nil && done.Failed != 0 {
			err = fmt.Errorf("it ends with %+v", done)
		}
		ended <- err
	}()
	more := func() bool { return f.c.Get(f.cid(1)).Min == 3 }
	eventually(t, "one copy more is asked for", more)
	for _, got := range f.differences(true) {
		if strings.HasPrefix(got, Outdated) {
			t.Errorf("a check finds %q", got)
		}
	}
	if !more() {
		t.Error("a check undoes what the drain asked for")
	}
	f.c.Put(before)
	f.engine.posts.forget(pin.DAGOf(f.dags[1].spec.Root)) // it is not recent
	eventually(t, "one copy more is asked for again", more)
	f.serve(1)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if f.c.Peer(0).Node.Has(f.cid(1)) || f.c.Copies(f.cid(1)) != 2 {
		t.Errorf("it is at %v", f.c.Get(f.cid(1)).Allocations)
	}
}

// What a lost server was asked for is in the pinset.
func TestClaims(t *testing.T) {
	f := newFront(t, 3, nil)
	meta := map[string]string{"app": "a b&c", "replication": "2"}
	r, _ := f.pinned(alice, 1, func(s *pin.Spec) { s.Name, s.Meta = "one", meta })
	other := newFront(t, 1, nil)
	other.stop()
	other.change = func(c *Config) {
		c.Peers, c.Nodes, c.Instance = f.c.URLs(), f.c.NodeURLs(), "0ther000-0000-4000-8000-000000000001"
	}
	other.start()
	var got []Claim
	if err := other.engine.Claims(t.Context(), func(c Claim) error { got = append(got, c); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Instance != instance || got[0].Account != alice || got[0].Request != r.ID ||
		got[0].Spec.Name != "one" || fmt.Sprint(got[0].Spec.Meta) != fmt.Sprint(meta) || got[0].Spec.DAG() != r.DAG() {
		t.Fatalf("the pinset tells of %+v", got)
	}
	// Taken over, it is the other server's alone.
	if got := other.engine.Inherit(instance); len(got) != 1 || got[0] != instance {
		t.Errorf("heirs are %v", got)
	}
	mine, j := other.ask(bob, 1, func(s *pin.Spec) { *s = got[0].Spec })
	other.complete(j)
	other.unpin(mine)
	if f.c.Get(f.cid(1)) != nil {
		t.Error("the pin of the lost server stays")
	}
}

// What accounts had at a lost server that nobody here stands for stays theirs, also where somebody here
// pins the same.
func TestInheritSome(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, nil)
	theirs, _ := f.pinned(bob, 2, nil)
	other := newFront(t, 1, nil)
	other.stop()
	other.change = func(c *Config) {
		c.Peers, c.Nodes, c.Instance = f.c.URLs(), f.c.NodeURLs(), "0ther000-0000-4000-8000-000000000001"
	}
	other.start()
	if got := other.engine.Inherit(instance, alice); len(got) != 1 || got[0] != instance+" "+alice {
		t.Errorf("heirs are %v", got)
	}
	for n, stays := range map[int]bool{1: false, 2: true} {
		mine, j := other.ask(alice, n, nil)
		other.complete(j)
		if is := f.c.Get(f.cid(n)); (is.Metadata[requestsPrefix+instance] != "") != stays || (is.Metadata[attemptPrefix+instance] != "") != stays {
			t.Errorf("DAG %d has %v", n, is.Metadata)
		}
		other.unpin(mine)
		if is := f.c.Get(f.cid(n)); (is != nil) != stays {
			t.Errorf("then DAG %d is %+v", n, is)
		}
	}
	var got []string
	if err := other.engine.Claims(t.Context(), func(c Claim) error { got = append(got, c.Account+c.Request); return nil }); err != nil || len(got) != 1 || got[0] != bob+theirs.ID {
		t.Errorf("the pinset tells of %v, %v", got, err)
	}
}

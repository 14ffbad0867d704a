package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// A cluster that has lost all it was told is told again, and each DAG stays where it is: no copy is
// unpinned for another to be made.
func TestClusterIsEmpty(t *testing.T) {
	f := newFront(t, 6, func(c *Config) { c.Replication = pin.Replication{Min: 2, Max: 2} })
	const n = 8
	at := make([][]string, n)
	var want []string
	for i := range n {
		f.c.Peer(i % 3).Fill(true) // so that they are not all at the same peers
		f.pinned(alice, i, nil)
		f.c.Peer(i % 3).Fill(false)
		at[i] = f.c.Get(f.cid(i)).Allocations
		f.engine.posts.forget(pin.DAGOf(f.dags[i].spec.Root)) // it is not recent
		f.c.Peer(5).Node.Add(f.cid(i))                        // a copy too many, of which the pinset knew nothing
		want = append(want, fmt.Sprintf("missing %d+", i))
	}
	for i := range n {
		f.c.Peer(5).Node.Forget(f.cid(i))
	}
	f.c.Reset()
	got := f.differences(true)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("it finds %q", got)
	}
	for i := range n {
		is := f.c.Get(f.cid(i)).Allocations
		slices.Sort(is)
		slices.Sort(at[i])
		if !slices.Equal(is, at[i]) {
			t.Errorf("DAG %d was at %v, and is at %v", i, at[i], is)
		}
	}
}

// A front that starts from a copy of its directory, such as a snapshot of the disk, makes attempts of
// its own before the first check. What was pinned since the copy was made is kept all the same, and what
// is pinned from now on can be unpinned.
func TestCheckOlderRecordsInUse(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared=", shared), func(t *testing.T) { testOlderRecordsInUse(t, shared) })
	}
}

// testOlderRecordsInUse has bob ask for what alice has before the copy, if shared is set.
func testOlderRecordsInUse(t *testing.T, shared bool) {
	lives := 1
	life := Life{Name: "life1"}
	f := newFront(t, 3, func(c *Config) {
		if life.Newest.IsZero() {
			life.Newest = c.Life.Newest
		}
		newest := c.Life.Newest
		c.Life = life
		c.NewLife = func(since time.Time) (Life, error) {
			lives++
			life = Life{Name: fmt.Sprint("life", lives), Newest: newest, Since: since}
			return life, nil
		}
	})
	old, _ := f.pinned(alice, 0, nil)
	f.stop()
	copied := t.TempDir() + "/copy"
	if err := os.CopyFS(copied, os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	f.start()
	for n := range 3 {
		f.pinned(alice, 1+n, nil)
	}
	var bobs pin.Request
	if shared {
		spec, _ := f.content(0, 10)
		var err error
		if bobs, err = f.store.Add(t.Context(), bob, spec); err != nil {
			t.Fatal(err)
		}
		f.mends("outdated 0")
	}
	f.stop()

	f.dir = copied
	time.Sleep(2 * time.Millisecond) // requests say when they were made to the millisecond
	f.start()
	var own []pin.Request
	for n := range 6 {
		r, _ := f.pinned(bob, 10+n, nil)
		own = append(own, r)
	}
	f.unpin(own[5])
	for range 2 {
		got := f.differences(true)
		slices.Sort(got)
		if s := strings.Join(got, "; "); s != "orphan 1; orphan 2; orphan 3" {
			t.Errorf("it finds %q", s)
		}
	}
	for n := range 3 {
		if f.c.Get(f.cid(1+n)) == nil {
			t.Errorf("DAG %d, pinned after the copy was made, is removed", 1+n)
		}
	}
	if lives != 2 {
		t.Errorf("it had %d lives", lives)
	}
	f.unpin(own[0])
	f.stop()
	f.start()
	f.unpin(own[1])
	for n, gone := range map[int]bool{10: true, 11: true, 12: false, 15: true} {
		if is := f.c.Get(f.cid(n)); (is == nil) != gone {
			t.Errorf("DAG %d, pinned from the copy: %+v", n, is)
		}
	}
	f.unpin(old)
	told := false
	err := f.engine.Claims(t.Context(), func(c Claim) error {
		told = told || c.Request == bobs.ID && !c.Own
		return nil
	})
	if err != nil || told != shared {
		t.Errorf("the pinset tells of the request for a shared DAG that was made after the copy: %v, %v", told, err)
	}
}

// The same, if the copy was asked for nothing since and no new DAG was pinned: another account had
// asked for what it has.
func TestCheckOlderRecordsOfASharedPin(t *testing.T) {
	life := Life{Name: "first"}
	f := newFront(t, 3, func(c *Config) {
		newest := c.Life.Newest
		c.Life = life
		c.NewLife = func(since time.Time) (Life, error) {
			life = Life{Name: "second", Newest: newest, Since: since}
			return life, nil
		}
	})
	mine, _ := f.pinned(alice, 0, nil)
	f.stop()
	copied := t.TempDir() + "/copy"
	if err := os.CopyFS(copied, os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	f.start()
	spec, _ := f.content(0, 10)
	if _, err := f.store.Add(t.Context(), bob, spec); err != nil {
		t.Fatal(err)
	}
	f.mends("outdated 0")
	f.stop()
	f.dir = copied
	time.Sleep(2 * time.Millisecond) // requests say when they were made to the millisecond
	f.start()
	f.differences(true)
	f.unpin(mine)
	if f.c.Get(f.cid(0)) == nil {
		t.Error("it is unpinned, and bob had asked for it")
	}
}

// However many pins are asked about while a peer hangs, few of them wait for it: the others are told
// from memory.
func TestDescriptionsAreBounded(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	const n = maxLooks + 30
	all := make([]pin.Request, n)
	for i := range n {
		all[i], _ = f.ask(alice, i, nil)
		all[i].Status = pin.Pinning
	}
	f.c.Peer(0).Hang()
	var asked sync.WaitGroup
	for _, r := range all {
		asked.Go(func() { f.engine.Describe(context.WithoutCancel(t.Context()), r, true, map[string]string{}) })
	}
	asked.Wait()
	f.engine.known.mu.Lock()
	defer f.engine.known.mu.Unlock()
	if n := len(f.engine.known.all); n > maxLooks {
		t.Errorf("%d looks are under way", n)
	}
}

// What a node is still fetching is in no list of its pins. That it was let go of is remembered until the
// pinset does not have it, too: the node may not hear of it, and end what it began.
func TestDropIsRememberedWhileItIsFetched(t *testing.T) {
	f := newFront(t, 2, withJournal())
	_, j := f.ask(alice, 1, nil)
	_, stop := f.begin(j)
	defer stop()
	eventually(t, "it is asked for", func() bool { return f.c.Get(f.cid(1)) != nil })
	if err := f.engine.journal.note(t.Context(), j.DAG); err != nil { // as a drop does first
		t.Fatal(err)
	}
	f.differences(true)
	if has, err := f.engine.journal.has(t.Context(), j.DAG); err != nil || !has {
		t.Errorf("it is forgotten: %v", err)
	}
}

// Which copies go if fewer are wanted is the cluster's choice, and it may keep those that are not there. So
// that waits until all of them are.
func TestFewerCopiesAreWanted(t *testing.T) {
	f := newFront(t, 3, func(c *Config) {
		c.Account = func(context.Context, string) (pin.Replication, error) { return c.Replication, nil }
	})
	const n = 6
	for i := range n {
		f.pinned(alice, i, nil)
		for p := range 2 {
			f.c.Peer(p).Node.Forget(f.cid(i))
			f.c.Peer(p).Fail(f.cid(i), "it has more than pin.max_dag_blocks blocks")
		}
	}
	f.engine.cfg.Account = func(context.Context, string) (pin.Replication, error) { return pin.Replication{Min: 1, Max: 1}, nil }
	var waits int
	if _, err := f.engine.Check(t.Context(), true, func(d Difference) {
		if d.Kind == Outdated && !d.Mended && strings.Contains(d.Text, "waits until s1 and s2 have it") {
			waits++
		}
	}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if f.c.Copies(f.cid(i)) == 0 {
			t.Errorf("no copy of DAG %d is left", i)
		}
	}
	if waits != n {
		t.Errorf("of %d it is said that it waits", waits)
	}
	for i := range n {
		for p := range 2 {
			f.c.Peer(p).Recover(f.cid(i))
		}
	}
	f.differences(true)
	for i := range n {
		if n := f.c.Copies(f.cid(i)); n != 1 {
			t.Errorf("there are %d copies of DAG %d", n, i)
		}
	}
}

// A DAG that is pinned anew for fewer copies keeps those that are there until it is pinned: the cluster
// could keep it where it is not.
func TestPinnedAnewForFewerCopies(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.Replication = pin.Replication{Min: 3, Max: 3} })
	const n = 6
	for i := range n {
		r, _ := f.pinned(alice, i, nil)
		for p := range 2 {
			f.c.Peer(p).Node.Forget(f.cid(i))
			f.c.Peer(p).Fail(f.cid(i), "it has more than pin.max_dag_blocks blocks")
		}
		_, released, err := f.store.Remove(t.Context(), alice, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, j := f.ask(alice, i, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "1"} })
		for _, a := range released {
			if err := f.engine.Drop(t.Context(), a, j.DAG); err != nil {
				t.Fatal(err)
			}
		}
		f.complete(j)
		if f.c.Copies(f.cid(i)) == 0 {
			t.Errorf("no copy of DAG %d is left", i)
		}
		for p := range 2 {
			f.c.Peer(p).Recover(f.cid(i))
		}
	}
	f.engine.posts.mu.Lock()
	clear(f.engine.posts.all) // none is recent
	f.engine.posts.mu.Unlock()
	f.differences(true)
	for i := range n {
		if is := f.c.Get(f.cid(i)); is.Max != 1 || f.c.Copies(f.cid(i)) != 1 {
			t.Errorf("in the end DAG %d is in %d copies: %+v", i, f.c.Copies(f.cid(i)), is)
		}
	}
}

// A peer remembers that its node did not unpin, and gives up: that copy is a stray as any other, whether the
// pinset has the DAG elsewhere or not at all.
func TestCheckStrayOfAFailedUnpin(t *testing.T) {
	for name, elsewhere := range map[string]bool{"unpinned": false, "moved": true} {
		t.Run(name, func(t *testing.T) {
			journal := withJournal()
			f := newFront(t, 3, func(c *Config) { journal(c); c.Replication = pin.Replication{Min: 3, Max: 3} })
			r, _ := f.pinned(alice, 1, nil)
			f.c.Peer(1).Node.SetDown(true)
			if elsewhere {
				is := *f.c.Get(f.cid(1))
				is.Allocations, is.Min, is.Max = []string{f.c.Peer(0).ID, f.c.Peer(2).ID}, 2, 2
				f.engine.cfg.Replication = pin.Replication{Min: 2, Max: 2}
				f.engine.posts.forget(r.DAG()) // it is not recent
				f.c.Put(is)
			} else {
				f.unpin(r)
			}
			f.c.Peer(1).Node.SetDown(false)
			if s, _, err := f.engine.peers[1].status(t.Context(), f.c.Peer(1).ID, r.DAG().CID()); err != nil || s.Status != isUnpinError {
				t.Fatalf("the peer says %+v, %v", s, err)
			}
			got := f.differences(true)
			if !slices.Contains(got, "stray 1+") || f.c.Peer(1).Node.Has(f.cid(1)) {
				t.Errorf("it finds %v", got)
			}
		})
	}
}

// More copies are wanted of what a dead peer had as well: that waits for the peer as long as for any copy.
func TestCheckOutdatedWithADeadPeer(t *testing.T) {
	below := time.Hour
	f := newFront(t, 4, func(c *Config) { c.LostAfter, c.Replication = below, pin.Replication{Min: 1, Max: 2} })
	f.pinned(alice, 1, nil)
	f.c.Peer(0).Kill()
	eventually(t, "it is away", func() bool { return !f.engine.peers[0].answers() })
	f.engine.cfg.Replication = pin.Replication{Min: 3, Max: 3}
	if got := f.differences(true); len(got) != 1 || got[0] != "outdated 1" {
		t.Errorf("it finds %v", got)
	}
	f.engine.cfg.LostAfter = time.Nanosecond
	if got := f.differences(true); len(got) != 1 || got[0] != "outdated 1+" {
		t.Errorf("after its time it finds %v", got)
	}
	if n := f.c.Copies(f.cid(1)); n != 4 { // the dead one has its own still
		t.Errorf("there are %d copies", n)
	}
}

// The same of a peer that was taken out of the cluster and of the configuration. It may be one that is
// configured and was never there since the start.
func TestCheckOutdatedWithAPeerThatIsGone(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 2} })
	f.pinned(alice, 1, nil)
	is := *f.c.Get(f.cid(1))
	is.Allocations = []string{"12D3KooWgone", f.c.Peer(1).ID}
	f.c.Put(is)
	f.engine.posts.forget(f.dags[1].spec.DAG()) // it is not recent
	f.stop()
	f.c.Peer(2).Kill()
	f.start()
	f.engine.cfg.Replication = pin.Replication{Min: 2, Max: 2}
	if got := f.differences(true); len(got) != 1 || got[0] != "outdated 1" {
		t.Errorf("it finds %v", got)
	}
	f.c.Peer(2).Start()
	eventually(t, "all are there", func() bool { return f.engine.peers[2].answers() })
	if got := f.differences(true); len(got) != 1 || got[0] != "outdated 1+" || slices.Contains(f.c.Get(f.cid(1)).Allocations, "12D3KooWgone") {
		t.Errorf("then it finds %v", got)
	}
}

// What is unpinned while a drain waits for its copy is no pin that stays there.
func TestDrainOfWhatIsUnpinned(t *testing.T) {
	f := newFront(t, 4, nil)
	r, _ := f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Serve(f.cid(1), clustertest.Content{Blocks: 10, Bytes: 1000}) // so that it waits
	type outcome struct {
		done Drained
		err  error
	}
	ended := make(chan outcome, 1)
	go func() {
		done, err := f.engine.Drain(t.Context(), "s1", func(Drained) {})
		ended <- outcome{done, err}
	}()
	eventually(t, "one copy more is asked for", func() bool { return f.c.Get(f.cid(1)).Min == 3 })
	f.unpin(r)
	if o := <-ended; o.err != nil || o.done.Done != 1 || o.done.Failed != 0 {
		t.Errorf("it ends with %+v, %v", o.done, o.err)
	}
	if is := f.c.Get(f.cid(1)); is != nil {
		t.Errorf("the drain pins it again: %+v", is)
	}
}

package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const alice, bob = "a11ce000-0000-4000-8000-000000000000", "b0b00000-0000-4000-8000-000000000000"

// ask makes a request for the n-th DAG, and gives a job for it.
func (f *front) ask(account string, n int, change func(*pin.Spec)) (pin.Request, pin.Job) {
	f.t.Helper()
	spec, _ := f.content(n, 10)
	if change != nil {
		change(&spec)
	}
	r, err := f.store.Add(f.t.Context(), account, spec)
	if err != nil {
		f.t.Fatal(err)
	}
	return r, f.job(spec.DAG())
}

func (f *front) job(d pin.DAG) pin.Job {
	f.t.Helper()
	a, _, err := f.store.Begin(f.t.Context(), d)
	if err != nil {
		f.t.Fatal(err)
	}
	return pin.Job{DAG: d, Attempt: a, Progress: new(pin.Progress), Slot: noSlot{}, IdleTimeout: time.Second}
}

type noSlot struct{}

func (noSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (noSlot) Release()                          {}

// serve puts all of the n-th DAG into the network.
func (f *front) serve(n int) {
	is := f.totals(n)
	f.c.Serve(f.cid(n), clustertest.Content{Blocks: is.Blocks, Bytes: is.Bytes, All: true})
}

// begin runs a fetch. wait gives its outcome.
func (f *front) begin(j pin.Job) (wait func() (pin.Totals, error), stop func()) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	type outcome struct {
		t   pin.Totals
		err error
	}
	out := make(chan outcome, 1)
	go func() {
		t, err := f.engine.Fetch(ctx, j)
		out <- outcome{t, err}
	}()
	return func() (pin.Totals, error) { o := <-out; cancel(); return o.t, o.err }, cancel
}

// pinned brings the n-th DAG into the cluster.
func (f *front) pinned(account string, n int, change func(*pin.Spec)) (pin.Request, pin.Job) {
	f.t.Helper()
	r, j := f.ask(account, n, change)
	f.serve(n)
	f.complete(j)
	return r, j
}

func (f *front) complete(j pin.Job) pin.Totals {
	f.t.Helper()
	wait, _ := f.begin(j)
	totals, err := wait()
	if err == nil {
		_, _, err = f.store.Complete(f.t.Context(), j.DAG, j.Attempt, totals)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return totals
}

// unpin removes a request and drops what it held.
func (f *front) unpin(r pin.Request) {
	f.t.Helper()
	_, released, err := f.store.Remove(f.t.Context(), r.Account, r.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, a := range released {
		if err := f.engine.Drop(f.t.Context(), a, r.DAG()); err != nil {
			f.t.Fatal(err)
		}
		if err := f.store.Dropped(f.t.Context(), a); err != nil {
			f.t.Fatal(err)
		}
	}
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to this: " + what)
		}
	}
}

// What a peer acknowledged is not pinned before the batch is written.
func TestNotPinnedBeforeTheBatch(t *testing.T) {
	f := newFront(t, 3, nil)
	f.c.Hold()
	_, j := f.ask(alice, 1, nil)
	f.serve(1)
	wait, _ := f.begin(j)
	eventually(t, "the pin is asked for", func() bool { return f.c.Posts() == 1 })
	eventually(t, "the copies are looked at", func() bool { return strings.Contains(j.Progress.Note(), "0 of 2-3 copies are there") })
	f.c.Commit()
	if totals, err := wait(); err != nil || totals != f.totals(1) {
		t.Errorf("totals %+v, %v", totals, err)
	}
	if n := f.c.Posts(); n != 1 {
		t.Errorf("it was asked for %d times", n)
	}
}

// A peer that is killed takes with it what it acknowledged.
func TestAcknowledgedAndLost(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.HearWithin = 30 * time.Millisecond })
	f.c.Hold()
	_, j := f.ask(alice, 1, nil)
	f.serve(1)
	wait, _ := f.begin(j)
	eventually(t, "the pin is asked for", func() bool { return f.c.Posts() > 0 })
	for i := range 3 {
		f.c.Peer(i).Kill()
	}
	f.c.Commit()
	if got := f.c.Pinset(); len(got) != 0 {
		t.Fatalf("the pinset has %v", got)
	}
	for i := range 3 {
		f.c.Peer(i).Start()
	}
	if _, err := wait(); err != nil {
		// While no peer answers the fetch ends, and is tried again.
		if _, away := errors.AsType[*pin.AwayError](err); !away {
			t.Fatal(err)
		}
		eventually(t, "the peers answer", func() bool { return f.engine.Reachable() == nil })
		f.complete(f.job(j.DAG))
	}
	if f.c.Copies(f.cid(1)) < 2 {
		t.Error("it is pinned, and the nodes do not have it")
	}
}

// A new pin goes elsewhere than to a peer that is away for too long.
func TestDeadPeerIsReplaced(t *testing.T) {
	for peers, elsewhere := range map[int]bool{3: true, 2: false} {
		f := newFront(t, peers, func(c *Config) { c.ReplaceAfter = 30 * time.Millisecond })
		_, j := f.ask(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
		wait, _ := f.begin(j)
		eventually(t, "it is asked for", func() bool { return f.c.Get(f.cid(1)) != nil })
		f.c.Peer(0).Kill()
		f.serve(1)
		if !elsewhere { // it waits for the peer
			eventually(t, "the peer is missed", func() bool { return strings.Contains(j.Progress.Note(), "s1 does not answer") })
			eventually(t, "the cluster refuses", func() bool { return f.c.Refused() > 1 })
			f.c.Peer(0).Start()
		}
		if _, err := wait(); err != nil {
			t.Errorf("with %d peers: %v", peers, err)
		}
		if n := f.c.Copies(f.cid(1)); n != 2 {
			t.Errorf("with %d peers there are %d copies", peers, n)
		}
	}
}

// A node that loses its copy before there are enough has it fetched again.
func TestLostBeforeItIsPinned(t *testing.T) {
	f := newFront(t, 2, func(c *Config) { c.HearWithin = 30 * time.Millisecond })
	f.c.Peer(1).Node.SetDown(true)
	_, j := f.ask(alice, 1, nil)
	f.serve(1)
	wait, _ := f.begin(j)
	eventually(t, "one copy is there", func() bool { return f.c.Peer(0).Node.Has(f.cid(1)) })
	f.c.Peer(0).Node.Forget(f.cid(1))
	f.c.Peer(1).Node.SetDown(false)
	if _, err := wait(); err != nil {
		t.Errorf("it ends with %v: %s", err, j.Progress.Note())
	}
}

// A peer that hangs delays neither a pin nor what is said of it.
func TestHungPeer(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.AnswerTime = 2 * time.Second })
	r, j := f.pinned(alice, 1, nil)
	hung := f.c.Peer(2)
	hung.Hang()
	_, j2 := f.ask(alice, 2, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.serve(2)
	f.complete(j2)
	r.Status, r.Totals = pin.Pinned, f.totals(1)
	eventually(t, "it is said that the peer does not answer", func() bool {
		info := make(map[string]string)
		f.engine.Describe(t.Context(), r, true, info)
		return info["copies"] == "2" && strings.Contains(info["copies_missing"], "s3")
	})
	<-hung.Asked()
	hung.Continue()
	eventually(t, "it answers again", func() bool {
		info := make(map[string]string)
		f.engine.known.forget(j.DAG)
		f.engine.Describe(t.Context(), r, true, info)
		return info["copies"] == "3" && info["copies_on"] == "s1, s2, s3" && info["copies_missing"] == ""
	})
}

// A look that finds nothing leaves nothing in memory.
func TestLooksThatFindNothing(t *testing.T) {
	f := newFront(t, 1, nil)
	for n := range 3 {
		spec, _ := f.content(n, 10)
		<-f.engine.lookAgain(spec.DAG())
	}
	f.engine.known.mu.Lock()
	defer f.engine.known.mu.Unlock()
	if n := len(f.engine.known.all); n != 0 {
		t.Errorf("%d DAGs of which nothing was seen are remembered", n)
	}
}

// While a pin that was asked for has not appeared, it cannot be removed.
func TestDropBeforeTheBatch(t *testing.T) {
	f := newFront(t, 3, nil)
	f.c.Hold()
	r, j := f.ask(alice, 1, nil)
	f.serve(1)
	wait, stop := f.begin(j)
	eventually(t, "the pin is asked for", func() bool { return f.c.Posts() == 1 })
	stop()
	if _, err := wait(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	dropped := make(chan struct{})
	go func() { f.unpin(r); close(dropped) }()
	f.c.Commit()
	<-dropped
	if got := f.c.Pinset(); len(got) != 0 {
		t.Errorf("the pinset has %v", got)
	}
}

// What others asked the cluster for stays theirs.
func TestForeignPin(t *testing.T) {
	f := newFront(t, 3, nil)
	spec, _ := f.content(1, 10)
	f.serve(1)
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	f.c.Put(clustertest.Pin{
		CID: spec.DAG().CID().String(), Name: "theirs", Min: 1, Max: 3, Expires: expires, Allocations: []string{f.c.Peer(0).ID},
		Metadata: map[string]string{"team": "blue", "shared": "theirs"},
	})
	r, _ := f.pinned(alice, 1, func(s *pin.Spec) {
		s.Name, s.Meta = "ours", map[string]string{"shared": "ours", "app": "x", "replication": "2"}
	})
	got := f.c.Get(f.cid(1))
	if got.Metadata["team"] != "blue" || got.Metadata["shared"] != "theirs" || got.Metadata["app"] != "x" || got.Name != "theirs" {
		t.Errorf("the pin is %+v", got)
	}
	if got.Min != 2 || got.Max != 3 || !got.Expires.IsZero() {
		t.Errorf("it is kept in %d to %d copies until %v", got.Min, got.Max, got.Expires)
	}
	f.unpin(r)
	got = f.c.Get(f.cid(1))
	if got == nil {
		t.Fatal("the pin of others is gone")
	}
	if got.Name != "theirs" || got.Min != 1 || got.Max != 3 || !got.Expires.Equal(expires) {
		t.Errorf("it goes back to %+v", got)
	}
	if len(got.Metadata) != 2 || got.Metadata["team"] != "blue" || got.Metadata["shared"] != "theirs" {
		t.Errorf("its metadata is %v", got.Metadata)
	}
}

func TestReplication(t *testing.T) {
	f := newFront(t, 4, func(c *Config) {
		c.Account = func(_ context.Context, account string) (pin.Replication, error) {
			if account == bob {
				return pin.Replication{Min: 3, Max: 4}, nil
			}
			return pin.Replication{}, nil
		}
	})
	for n, c := range []struct {
		account, meta string
		min, max      int
	}{{alice, "", 2, 3}, {bob, "", 3, 4}, {alice, "1", 1, 1}, {bob, "1-4", 1, 4}} {
		f.pinned(c.account, n, func(s *pin.Spec) {
			if c.meta != "" {
				s.Meta = map[string]string{"replication": c.meta}
			}
		})
		if p := f.c.Get(f.cid(n)); p.Min != c.min || p.Max != c.max {
			t.Errorf("%s asks for %q and gets %d to %d copies", c.account, c.meta, p.Min, p.Max)
		}
	}
	for meta, want := range map[string]string{
		"": "is empty", "0": "want a number", "3-2": "larger than the second", "many": "want a number",
		"5": "5 copies are asked for, and the cluster has 4 peers", "2-9": "", "4": "",
	} {
		err := f.engine.Admit(pin.Spec{Meta: map[string]string{"replication": meta}})
		_, invalid := errors.AsType[*pin.InvalidError](err)
		if want == "" && err != nil || want != "" && (!invalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("replication %q: %v", meta, err)
		}
	}
}

// Errors of the cluster are those that the manager of pins knows.
func TestErrors(t *testing.T) {
	html := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html>Bad Gateway</html>"))
	}
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"12D3KooW`))
	}
	for _, c := range []struct {
		name string
		make func(f *front)
		away bool // else the disk is full
		text string
		log  string
	}{
		{"nobody answers", func(f *front) {
			for i := range 3 {
				f.c.Peer(i).Kill()
			}
		}, true, "no peer of the cluster answers", "connection refused"},
		{"a proxy answers", func(f *front) {
			for i := range 3 {
				f.c.Peer(i).Answer(html)
			}
		}, true, "no peer of the cluster answers", "is no cluster peer"},
		{"half an answer", func(f *front) {
			for i := range 3 {
				f.c.Peer(i).Answer(half)
			}
		}, true, "no peer of the cluster answers", "ends before it is whole"},
		{"a wrong password", func(f *front) { f.c.SetPassword("secret") }, true, "its operator has to mend", "cluster.password_file"},
		{"too few peers", func(f *front) { f.c.Peer(0).Kill(); f.c.Peer(1).Kill() }, true, "1 peers with room that answer, and 2 copies are wanted", ""},
		{"no room", func(f *front) { f.c.Peer(0).Fill(true); f.c.Peer(1).Fill(true) }, false, "1 of the cluster's peers have room", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFront(t, 3, nil)
			_, j := f.ask(alice, 1, nil)
			c.make(f)
			if c.log != "" {
				eventually(t, "it is noticed", func() bool { return f.engine.Reachable() != nil })
				if err := f.engine.Reachable(); !strings.Contains(err.Error(), c.log) {
					t.Errorf("the peers are away since %v", err)
				}
			} else {
				eventually(t, "the dead are noticed", func() bool {
					return c.name == "no room" || !f.engine.peers[0].answers() && !f.engine.peers[1].answers()
				})
			}
			for range 2 {
				wait, _ := f.begin(j)
				_, err := wait()
				away, is := errors.AsType[*pin.AwayError](err)
				if is != c.away || c.away && !strings.Contains(away.Reason, c.text) || !c.away && (!errors.Is(err, pin.ErrDiskFull) || !strings.Contains(err.Error(), c.text)) {
					t.Errorf("the fetch ends with %v", err)
				}
				if err := f.engine.Room(t.Context(), 0); err == nil {
					t.Error("there is room")
				}
			}
		})
	}
}

// A list that is cut is never taken for a short one.
func TestCutList(t *testing.T) {
	list := func(ending func(http.ResponseWriter)) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Trailer", streamError)
			_, _ = w.Write([]byte("{\"cid\":\"x\"}\n{\"cid\":\"y\"}\n"))
			ending(w)
		}))
		t.Cleanup(s.Close)
		return s
	}
	for name, c := range map[string]struct {
		ending func(http.ResponseWriter)
		cut    bool
	}{
		"whole":               {func(w http.ResponseWriter) { w.Header().Set(streamError, "") }, false},
		"an error at the end": {func(w http.ResponseWriter) { w.Header().Set(streamError, "context canceled") }, true},
		"within an object":    {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"cid":`)) }, true},
		"the connection ends": {func(w http.ResponseWriter) {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &peer{base: list(c.ending).URL, http: http.DefaultClient}
			n := 0
			var last error
			for _, err := range p.allocations(t.Context()) {
				if last = err; err == nil {
					n++
				}
			}
			if n != 2 || (last != nil) != c.cut || c.cut && !errors.Is(last, errCut) {
				t.Errorf("%d objects, then %v", n, last)
			}
		})
	}
}

// The reason of a node comes to the user, and another peer's copy counts all the same.
func TestReasonOfANode(t *testing.T) {
	f := newFront(t, 3, nil)
	_, j := f.ask(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "3"} })
	wait, stop := f.begin(j)
	eventually(t, "it is asked for", func() bool { return f.c.Get(f.cid(1)) != nil })
	f.c.Peer(1).Fail(f.cid(1), "a block has more than pin.max_links links")
	f.serve(1)
	eventually(t, "the reason is shown", func() bool {
		return strings.Contains(j.Progress.Note(), "2 of 3 copies are there, on s1 and s3; s2: pin error: a block has more than pin.max_links links")
	})
	stop()
	_, _ = wait()
}

func TestDelegates(t *testing.T) {
	f := newFront(t, 2, nil)
	got := f.engine.Delegates()
	want := []string{"/ip4/127.0.0.1/tcp/4040/p2p/" + f.c.Peer(0).Node.ID, "/ip4/127.0.0.1/tcp/4040/p2p/" + f.c.Peer(1).Node.ID}
	if !slices.Equal(got, want) {
		t.Errorf("delegates are %v", got)
	}
}

package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

var crashSeed = flag.Uint64("crash-seed", 0, "`number` to repeat the choices of a crash test with; 0 is a new one")

// kills is how often TestCrash kills the server.
const kills = 50

// TestCrash kills the server with SIGKILL at random instants, while it starts or while clients add,
// replace and remove pins. After each restart the acknowledged requests exist, the removed ones do
// not, and pinned DAGs read back whole. In the end everything that can be pinned is pinned.
func TestCrash(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("choices are those of -crash-seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	source := startKubo(t, "source")
	reader := startKubo(t, "reader")
	d := allowPrivate(newData(t))
	ctx := within(t, 6*time.Minute+60*patience)
	content := &freshContent{source: source, seed: seed}
	l := newLedger()
	c := rig.NewClient("", "")

	var starting, reads int
	var p *rig.Process
	t.Cleanup(func() {
		if p != nil {
			p.Kill()
			if t.Failed() {
				t.Log(p.Tail())
			}
		}
	})
	instant := func(most time.Duration) <-chan time.Time { return time.After(time.Duration(rng.Int64N(int64(most)))) }
	for round := range kills {
		content.renew(t, ctx, rng)
		p = must(d.Launch())(t)
		if round%5 == 4 { // in the middle of starting up
			<-instant(patience / 2)
			p.Kill()
			starting++
			continue
		}
		s := must(d.Ready(ctx, p))(t)
		if c.Token == "" {
			c.Token = login(t, s).Token
		}
		c.Base = s.HTTP
		reads += auditAndRead(t, ctx, l, c, s, reader)
		if t.Failed() {
			t.Fatalf("after kill %d", round)
		}

		working, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range 4 {
			rng := rand.New(rand.NewPCG(seed, rng.Uint64()))
			wg.Go(func() {
				if err := l.work(working, c, rng, content.choose); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		<-instant(3 * patience / 2)
		p.Kill()
		stop()
		wg.Wait()
	}

	s := serve(t, d)
	c.Base = s.HTTP
	reads += auditAndRead(t, ctx, l, c, s, reader)
	for id, e := range l.alive {
		if e.pin.Origins == nil {
			continue // nobody has it
		}
		must(c.WaitStatus(ctx, id, "pinned", 20*time.Millisecond))(t)
	}
	check(t, source.Stop())
	check(t, s.Stop())
	s = serve(t, d)
	c.Base = s.HTTP
	reads += auditAndRead(t, ctx, l, c, s, reader)
	t.Logf("%d kills, %d of them while starting; %d requests made, %d acknowledged as ended, %d DAGs read back",
		kills, starting, l.made, len(l.gone), reads)
	if l.made < kills || len(l.gone) < kills/2 || reads < kills {
		t.Error("too little happened between the kills to show anything")
	}
}

// auditAndRead checks the server's list. It reads back every pinned DAG through a Kubo that has no
// other connection, and returns how many there are.
func auditAndRead(t *testing.T, ctx context.Context, l *ledger, c *rig.Client, s *rig.Server, reader *rig.Kubo) int {
	t.Helper()
	for _, wrong := range l.audit(must(c.All(ctx))(t)) {
		t.Error(wrong)
	}
	var cids []string
	for _, e := range l.alive {
		if e.pinned && !slices.Contains(cids, e.pin.CID) {
			cids = append(cids, e.pin.CID)
		}
	}
	if len(cids) == 0 {
		return 0
	}
	connect(t, reader, s)
	if err := fetchSoon(ctx, reader, cids...); err == nil {
		check(t, reader.Forget(ctx, cids...))
		check(t, reader.Disconnect(ctx, s.Addrs[0]))
		return len(cids)
	} else {
		t.Logf("the reader did not get %d DAGs that are pinned: %v; trying a new one", len(cids), err)
	}
	// The reader has met this peer many times, and seen it vanish as often. A Kubo that never
	// met it shows whether the server or the reader is at fault.
	fresh := startKubo(t, "fresh reader")
	connect(t, fresh, s)
	for _, cid := range cids {
		if err := fetchSoon(ctx, fresh, cid); err != nil {
			t.Errorf("%s is pinned and does not read back: %v; %s", cid, err, missing(ctx, fresh, cid))
		}
	}
	fresh.Kill()
	return len(cids)
}

// fetchSoon fetches small DAGs. That takes a second or two if everything is there.
func fetchSoon(ctx context.Context, k *rig.Kubo, cids ...string) error {
	most := 30 * patience
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not there within %s", most))
	defer cancel()
	if err := k.Fetch(ctx, cids...); err != nil {
		return fmt.Errorf("%w: %v", err, context.Cause(ctx))
	}
	return nil
}

// missing says which block of a DAG a Kubo lacks.
func missing(ctx context.Context, k *rig.Kubo, cid string) string {
	r, err := k.Export(ctx, cid)
	if err == nil {
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
	}
	if err == nil {
		return "nothing is missing"
	}
	return err.Error()
}

// freshContent has DAGs to pin: those of the last few rounds. So most are not fetched yet, and
// several requests want the same ones.
type freshContent struct {
	source *rig.Kubo
	seed   uint64
	n      uint64

	mu   sync.Mutex
	pins []rig.Pin
}

// renew adds a few small DAGs, and one that takes a while.
func (f *freshContent) renew(t *testing.T, ctx context.Context, rng *rand.Rand) {
	t.Helper()
	const chunk = 4 << 10
	for _, blocks := range []int64{1, 1 + rng.Int64N(40), 1 + rng.Int64N(40), 400} {
		f.n++
		cid := must(f.source.AddFile(ctx, rig.Random(f.seed+f.n, blocks*chunk), chunk))(t)
		f.mu.Lock()
		f.pins = append(f.pins, rig.Pin{CID: cid, Origins: f.source.Addrs})
		f.mu.Unlock()
	}
	f.n++
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pins = append(f.pins, rig.Pin{CID: nobodyHas(f.seed + f.n)})
	f.pins = f.pins[max(0, len(f.pins)-20):]
}

func (f *freshContent) choose(rng *rand.Rand) rig.Pin {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pins[rng.IntN(len(f.pins))]
}

// TestResume kills the server up to three times in the first half of one DAG. Each time it goes on
// where it was: it does not fetch again what was on disk. The test counts that on the disk between
// the runs, and at the only peer that has the DAG.
func TestResume(t *testing.T) {
	t.Parallel()
	const (
		chunk  = 4 << 10
		leaves = 24_576
		nodes  = leaves + (leaves+173)/174 + 1 // leaves, their parents, the root
		kills  = 3
		// How much a run may fetch and not store: a batch of 8 MiB that is being written, two
		// that are gathered meanwhile, and 768 wants (node/walk, node/exchange).
		inMemory = 3*(8<<20)/chunk + 768
		// How much may be asked for twice if the source answers slowly.
		again = 2 * 768
	)
	source := startKubo(t, "source")
	d := allowPrivate(newData(t))
	ctx := within(t, 120*patience)
	cid := must(source.AddFile(ctx, rig.Random(901, leaves*chunk), chunk))(t)

	var made rig.PinStatus
	var c *rig.Client
	var stored, sent uint64
	for i := range kills {
		s := serve(t, d)
		if c == nil {
			c = login(t, s)
			made = must(c.Add(ctx, rig.Pin{CID: cid, Origins: source.Addrs}))(t)
		}
		c.Base = s.HTTP
		var last rig.PinStatus
		check(t, rig.Poll(ctx, time.Millisecond, func() (bool, error) {
			var err error
			last, err = c.Get(ctx, made.RequestID)
			return number(t, last.Info, "blocks") >= (i+1)*leaves/(2*kills) || last.Status == "pinned", err
		}))
		s.Kill()
		nowStored := liveBlocks(t, ctx, d)
		if last.Status == "pinned" || nowStored == nodes {
			t.Logf("kill %d came too late", i+1) // this machine stood still; the checks still hold
			break
		}
		nowSent := must(source.BlocksSent(ctx))(t)
		t.Logf("kill %d at %s blocks: %d stored and %d sent so far", i+1, last.Info["blocks"], nowStored, nowSent)
		if fetched, gained := nowSent-sent, nowStored-stored; fetched < gained || fetched > gained+inMemory+again {
			t.Errorf("%d blocks sent in this run, %d stored", fetched, gained)
		}
		stored, sent = nowStored, nowSent
	}
	if stored == 0 {
		t.Fatal("nothing was on disk at a kill: nothing is shown")
	}
	s := serve(t, d)
	c.Base = s.HTTP
	must(c.WaitStatus(ctx, made.RequestID, "pinned", 10*time.Millisecond))(t)

	fetched, missing := must(source.BlocksSent(ctx))(t)-sent, nodes-stored
	t.Logf("%d blocks sent at last, where %d of %d were missing", fetched, missing, nodes)
	if fetched < missing {
		t.Errorf("%d blocks sent where %d were missing: the count is not of this fetch", fetched, missing)
	}
	if fetched > missing+again {
		t.Errorf("%d blocks sent where %d were missing: stored blocks were fetched again", fetched, missing)
	}
	sum := carHash(t, ctx, source, cid)
	source.Kill()
	sameFromHoldfast(t, ctx, s, map[string]string{cid: sum})
}

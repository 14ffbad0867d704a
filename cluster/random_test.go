package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

var (
	modelRounds = flag.Int("cluster-rounds", 1, "how many rounds TestAgainstModel makes")
	modelSeed   = flag.Uint64("cluster-seed", 0, "of the first round of TestAgainstModel; 0 takes one from the clock")
)

// Pins and unpins, and all that peers and nodes may do meanwhile, at random. At the end, when all of
// them work, checks bring it to this: the pinset is what the records have, in as many copies as they
// want, and no node has anything else.
func TestAgainstModel(t *testing.T) {
	t.Parallel() // it mostly waits
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *modelRounds {
		seed := seed + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range 120 {
				m.step()
			}
			m.end()
		})
	}
}

// model is what should be, beside a front.
type model struct {
	*front
	rng      *rand.Rand
	n        int                    // DAGs that were asked for
	live     map[string]pin.Request // by ID
	number   map[string]int         // of the DAG of a request
	fetching map[pin.DAG]string     // what was last said of each
	drops    []drop
	killed   map[int]bool
	hung     map[int]bool
	held     bool
	events   []string
}

type drop struct {
	a pin.Attempt
	d pin.DAG
}

func newModel(t *testing.T, seed uint64) *model {
	journal := withJournal()
	f := newFront(t, 4, func(c *Config) {
		journal(c)
		c.LostAfter, c.ReplaceAfter, c.HearWithin = time.Nanosecond, 20*time.Millisecond, 20*time.Millisecond
		c.AnswerTime, c.Replication = 200*time.Millisecond, pin.Replication{Min: 2, Max: 2}
	})
	return &model{
		front: f, rng: rand.New(rand.NewPCG(seed, 0)), live: make(map[string]pin.Request), number: make(map[string]int),
		fetching: make(map[pin.DAG]string), killed: make(map[int]bool), hung: make(map[int]bool),
	}
}

func (m *model) say(format string, args ...any) {
	m.events = append(m.events, fmt.Sprintf(format, args...))
}

// step does something.
func (m *model) step() {
	m.t.Helper()
	i := m.rng.IntN(4)
	p := m.c.Peer(i)
	switch m.rng.IntN(16) {
	case 0, 1, 2, 3:
		m.pin()
	case 4, 5:
		m.unpin()
	case 6:
		switch {
		case m.killed[i]:
			p.Start()
		case len(m.killed)+len(m.hung) > 1 || m.hung[i]:
			return
		default:
			p.Kill()
		}
		m.toggle(m.killed, i)
		m.say("peer %d is killed: %v", i, m.killed[i])
	case 7:
		switch {
		case m.hung[i]:
			p.Continue()
		case len(m.killed)+len(m.hung) > 1 || m.killed[i]:
			return
		default:
			p.Hang()
		}
		m.toggle(m.hung, i)
		m.say("peer %d hangs: %v", i, m.hung[i])
	case 8:
		full := m.rng.IntN(3) == 0
		p.Fill(full)
		m.say("peer %d is full: %v", i, full)
	case 9:
		down := m.rng.IntN(3) == 0
		p.Node.SetDown(down)
		m.say("node %d is down: %v", i, down)
	case 10:
		if all := m.c.Pinset(); len(all) > 0 {
			c := all[m.rng.IntN(len(all))]
			p.Node.Forget(c)
			m.say("node %d forgets %s", i, c)
		}
	case 11:
		if all := m.c.Pinset(); len(all) > 0 {
			c := all[m.rng.IntN(len(all))]
			m.c.Lose(c)
			m.say("the pinset loses %s", c)
		}
	case 12:
		if m.held = !m.held; m.held {
			m.c.Hold()
		} else {
			m.c.Commit()
		}
		m.say("a batch is open: %v", m.held)
	case 13:
		if m.rng.IntN(3) == 0 {
			p.Node.Replace()
			m.say("node %d is replaced", i)
		}
	case 14:
		if m.rng.IntN(3) == 0 {
			m.stop()
			m.start()
			m.say("the front starts again")
		}
	case 15:
		ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
		defer cancel()
		_, err := m.engine.Check(ctx, true, func(d Difference) { m.say("%s %s %s mended %v", d.Kind, d.CID, d.Peer, d.Mended) })
		m.say("a check: %v", err)
	}
	m.work(50 * time.Millisecond)
}

func (m *model) toggle(set map[int]bool, i int) {
	if set[i] {
		delete(set, i)
	} else {
		set[i] = true
	}
}

// pin makes a request, for a new DAG or one that was asked for before.
func (m *model) pin() {
	n := m.n
	if m.n > 0 && m.rng.IntN(3) == 0 {
		n = m.rng.IntN(m.n)
	} else {
		m.n++
	}
	spec, _ := m.content(n, 10)
	switch m.rng.IntN(4) {
	case 0:
		spec.Meta = map[string]string{"replication": "3"}
	case 1:
		spec.Meta = map[string]string{"replication": "2-3"}
	}
	m.serve(n)
	r, err := m.store.Add(m.t.Context(), []string{alice, bob}[m.rng.IntN(2)], spec)
	if err != nil {
		m.t.Fatal(err)
	}
	m.live[r.ID], m.number[r.ID] = r, n
	m.fetching[r.DAG()] = "new"
	m.say("DAG %d, %s, is asked for as %v", n, spec.CID, spec.Meta)
}

func (m *model) unpin() {
	ids := slices.Sorted(maps.Keys(m.live))
	if len(ids) == 0 {
		return
	}
	r := m.live[ids[m.rng.IntN(len(ids))]]
	_, released, err := m.store.Remove(m.t.Context(), r.Account, r.ID)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, a := range released {
		m.drops = append(m.drops, drop{a, r.DAG()})
	}
	m.say("a request for DAG %d, %s, is removed", m.number[r.ID], r.CID)
	delete(m.live, r.ID)
}

// work does for some time what a manager of pins does: it fetches what is not complete, and drops what
// was released.
func (m *model) work(limit time.Duration) {
	m.t.Helper()
	for d := range m.fetching {
		ctx, cancel := context.WithTimeout(m.t.Context(), limit)
		if m.fetch(ctx, d) {
			delete(m.fetching, d)
		}
		cancel()
	}
	m.drops = slices.DeleteFunc(m.drops, func(one drop) bool {
		ctx, cancel := context.WithTimeout(m.t.Context(), limit)
		defer cancel()
		if m.engine.Drop(ctx, one.a, one.d) != nil {
			return false
		}
		if err := m.store.Dropped(m.t.Context(), one.a); err != nil {
			m.t.Fatal(err)
		}
		return true
	})
}

// fetch reports whether a DAG is complete, or nobody wants it any more.
func (m *model) fetch(ctx context.Context, d pin.DAG) bool {
	m.t.Helper()
	_, complete, held, err := m.store.Held(m.t.Context(), d)
	if err == nil && (!held || complete) {
		return true
	}
	a, _, err := m.store.Begin(m.t.Context(), d)
	if err != nil {
		m.t.Fatal(err)
	}
	j := pin.Job{DAG: d, Attempt: a, Progress: new(pin.Progress), Slot: noSlot{}, IdleTimeout: time.Second}
	totals, err := m.engine.Fetch(ctx, j)
	if err != nil {
		m.fetching[d] = fmt.Sprintf("%v: %s", err, j.Progress.Note())
		return false
	}
	_, released, err := m.store.Complete(m.t.Context(), d, a, totals)
	if err != nil && !errors.Is(err, pin.ErrSuperseded) {
		m.t.Fatal(err)
	}
	for _, a := range released {
		m.drops = append(m.drops, drop{a, d})
	}
	return err == nil
}

// end has all work, and compares.
func (m *model) end() {
	t := m.t
	var last []string
	defer func() {
		if t.Failed() {
			t.Logf("%s\nin the end a check finds %v, and %v are fetched and %v dropped", strings.Join(m.events, "\n"), last, m.fetching, m.drops)
		}
	}()
	for i := range 4 {
		p := m.c.Peer(i)
		if m.killed[i] {
			p.Start()
		}
		p.Continue()
		p.Fill(false)
		p.Node.SetDown(false)
	}
	m.c.Commit()
	for i := range 4 {
		eventually(t, "all peers answer", m.engine.peers[i].answers)
	}
	eventually(t, "nothing is left to do", func() bool {
		// Nothing that was posted is still to appear.
		m.engine.posts.mu.Lock()
		clear(m.engine.posts.all)
		m.engine.posts.mu.Unlock()
		m.work(2 * time.Second)
		last = nil
		report, err := m.engine.Check(t.Context(), true, func(d Difference) { last = append(last, d.Kind+" "+d.CID) })
		if err != nil || len(report.Unread) > 0 { // a busy machine may take longer to answer than peers have here
			last = append(last, fmt.Sprintf("%v, without %v", err, report.Unread))
		}
		return len(last) == 0 && len(m.fetching) == 0 && len(m.drops) == 0
	})
	want := make(map[string]pin.Replication)
	for _, r := range m.live {
		own := replicationOf(r.Meta)
		if own == (pin.Replication{}) {
			own = m.engine.cfg.Replication
		}
		want[r.DAG().CID().String()] = want[r.DAG().CID().String()].With(own)
	}
	if got := m.c.Pinset(); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("the pinset has %v, and the records have %v", got, slices.Sorted(maps.Keys(want)))
	}
	for n := range m.n {
		c := m.cid(n)
		is, copies := m.c.Get(c), m.c.Copies(c)
		if is == nil && copies > 0 {
			t.Errorf("DAG %d, %s, is unpinned, and %d nodes have it", n, c, copies)
		}
		if is == nil {
			continue
		}
		if r := want[c]; is.Min != r.Min || is.Max != r.Max || copies != len(is.Allocations) || copies < r.Min || copies > r.Max {
			t.Errorf("DAG %d, %s, is wanted in %v copies, and there are %d: %+v", n, c, r, copies, is)
		}
	}
}

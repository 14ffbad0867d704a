//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

var (
	monthPins = flag.Int("month-pins", 400, "how many pins TestMonth makes in all")
	monthSeed = flag.Uint64("month-seed", 0, "of what happens in TestMonth; 0 takes one from the clock")
	monthTime = flag.Duration("month-time", 15*time.Minute, "how long TestMonth may take")
)

// month is some time in the life of a cluster, and what should come of it.
type month struct {
	*world
	t     *testing.T
	ctx   context.Context
	rng   *rand.Rand
	front *front
	users []*rig.Client // whose tokens outlive the front

	mu    sync.Mutex
	all   []string            // CIDs in the order in which they are first pinned
	next  int                 // of all, the first that nobody has asked for
	live  map[string]rig.Pin  // acknowledged, by request
	owner map[string]int      // of these, by request
	maybe map[string]int      // by CID: requests that were made, or removed, and nobody acknowledged it
	over  map[string]struct{} // acknowledged removals, by request
	gone  map[string]struct{} // CIDs that were unpinned
	alone bool                // the source is gone: the nodes have what there is

	down   map[int]bool // nodes that are killed
	full   map[int]bool
	asleep map[int]bool // peers that do not run
}

// Everything that happens to a cluster in a month, at random, in a row and some of it at the same time:
// pins and unpins of two users, replication up and down, nodes that are killed, filled, and replaced by
// empty ones, peers that hang and die, a front that dies. At the end records, pinset, copies and disks
// agree, and every request that was acknowledged is there.
func TestMonth(t *testing.T) {
	seed := *monthSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-month-seed %d -month-pins %d", seed, *monthPins)
	ctx := within(t, *monthTime)
	m := &month{
		t: t, ctx: ctx, rng: rand.New(rand.NewPCG(seed, 0)), live: make(map[string]rig.Pin), owner: make(map[string]int),
		maybe: make(map[string]int), over: make(map[string]struct{}), gone: make(map[string]struct{}), down: make(map[int]bool), full: make(map[int]bool), asleep: make(map[int]bool),
	}
	m.world = newWorldOf(t, ctx, 4, 0, peers.Options{
		Concurrent: 64, BatchSize: 500, RecoverEvery: 10 * time.Second,
	}, "HOLDFAST_STORE_RECLAIM_INTERVAL=5s", "HOLDFAST_RPC_UNPIN_GRACE=30s")
	// What a peer of the cluster has forgotten for good is mended after that, and the test does not last longer.
	m.front = newFront(t, ctx, m.world, "HOLDFAST_CLUSTER_REPLICATION=2", "HOLDFAST_CLUSTER_LOST_AFTER=1m")
	m.addUsers()
	m.makeContent(seed)
	batch := max(*monthPins/20, 10)
	day := 1
	for ; m.next < len(m.all); day++ {
		m.day(day, batch)
	}
	// From now on what is lost is lost.
	m.mends()
	m.arePinned()
	m.source.Kill()
	m.alone = true
	for range 25 {
		m.day(day, batch)
		day++
	}
	m.end()
}

const bob = "bob@example.org"

func (m *month) addUsers() {
	check(m.t, m.front.data.AddUser(m.ctx, bob, "correct horse battery"))
	m.users = []*rig.Client{m.front.Client, rig.NewClient(m.front.server.HTTP, must(m.front.data.AddToken(m.ctx, bob, "test"))(m.t))}
}

// parallel calls fn for each of n, some at the same time.
func parallel(n int, fn func(i int) error) error {
	const workers = 16
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				if err := fn(i); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// makeContent puts what is pinned into the source: nearly all of it are single blocks.
func (m *month) makeContent(seed uint64) {
	m.all = make([]string, *monthPins)
	check(m.t, parallel(len(m.all), func(i int) (err error) {
		if i%50 == 49 {
			m.all[i], err = m.source.AddFile(m.ctx, rig.Random(seed+uint64(i), 40<<10), 1<<10)
			return err
		}
		m.all[i], err = m.source.PutBlock(m.ctx, "raw", fmt.Appendf(nil, "block %d of the month %d", i, seed))
		return err
	}))
}

// day is what happens in a day: something breaks or is mended while users pin and unpin.
func (m *month) day(number, batch int) {
	m.t.Helper()
	began := time.Now()
	used := make(chan error, 1)
	more, fewer := min(batch, len(m.all)-m.next), m.rng.IntN(batch/2+1)
	again := m.rng.IntN(batch/4 + 1)
	seed := m.rng.Uint64()
	go func() { used <- m.use(more, again, fewer, seed) }()
	what := m.happens()
	check(m.t, <-used)
	// So much of what began then is done before the next thing happens.
	time.Sleep(time.Duration(m.rng.IntN(3000)) * time.Millisecond)
	if m.rng.IntN(2) == 0 {
		// The front's own check comes every 10 minutes.
		out, err := m.front.cluster(m.ctx, "check", "--repair", "--json")
		var r struct{ Found, Mended map[string]int }
		if json.Unmarshal([]byte(out), &r) == nil {
			what += fmt.Sprintf("; a check finds %v and mends %v", r.Found, r.Mended)
		} else if err != nil {
			what += fmt.Sprintf("; a check ends with %.100v", err)
		}
	}
	m.t.Logf("day %d, %v: %s; %d pins, %d more, %d again, at most %d unpins", number, time.Since(began).Round(time.Millisecond), what, len(m.live), more, again, fewer)
	if m.ctx.Err() != nil {
		m.t.Fatal(context.Cause(m.ctx))
	}
}

// use is what users do: they pin what is new, and some of what was pinned before, and unpin.
func (m *month) use(more, again, fewer int, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	m.mu.Lock()
	asked := slices.Clone(m.all[m.next : m.next+more])
	m.next += more
	ids := slices.Sorted(maps.Keys(m.live))
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	ids, stay := ids[:min(fewer, len(ids))], ids[min(fewer, len(ids)):]
	leave := make(map[string]bool)
	for _, id := range ids {
		leave[m.live[id].CID] = true
	}
	for range again {
		// Without a source only what somebody has pinned can be pinned.
		if cid := m.all[rng.IntN(max(m.next, 1))]; !m.alone {
			asked = append(asked, cid)
		} else if cid := m.live[stay[rng.IntN(len(stay))]].CID; !leave[cid] {
			asked = append(asked, cid)
		}
	}
	users := slices.Clone(m.users)
	m.mu.Unlock()
	who, wants := make([]int, len(asked)), make([]string, len(asked))
	for i := range asked {
		who[i] = rng.IntN(len(users))
		wants[i] = []string{"", "", "", "3", "2-3"}[rng.IntN(5)]
	}
	return parallel(len(asked)+len(ids), func(i int) error {
		if i < len(asked) {
			return m.pin(users[who[i]], who[i], asked[i], wants[i])
		}
		return m.unpin(users, ids[i-len(asked)])
	})
}

// pin asks for a pin. Nobody knows what came of one that is not answered, as the front died. It may be
// refused if too few peers have room.
func (m *month) pin(user *rig.Client, who int, cid, replication string) error {
	p := rig.Pin{CID: cid, Name: cid}
	if replication != "" {
		p.Meta = map[string]string{"replication": replication}
	}
	m.mu.Lock()
	m.maybe[cid]++
	m.mu.Unlock()
	s, err := user.Add(m.ctx, p)
	is, answered := errors.AsType[*rig.StatusError](err)
	if err != nil && !answered {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.maybe[cid]--
	if err == nil {
		m.live[s.RequestID], m.owner[s.RequestID] = p, who
	} else if is.Code < 500 {
		return err
	}
	return nil
}

// unpin removes a request. One that is not answered may be there or not, and is tried again at the end.
func (m *month) unpin(users []*rig.Client, id string) error {
	m.mu.Lock()
	p, who := m.live[id], m.owner[id]
	m.mu.Unlock()
	err := users[who].Remove(m.ctx, id)
	if _, answered := errors.AsType[*rig.StatusError](err); answered {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone[p.CID] = struct{}{}
	delete(m.live, id)
	delete(m.owner, id)
	if err == nil {
		m.over[id] = struct{}{}
	} else {
		m.maybe[p.CID]++
	}
	return nil
}

// happens has something break, or mends it, and says what. At any time at most one node has lost what it
// had or is away, and at most one is full, so that each pin can be read somewhere and there are peers
// for two copies.
func (m *month) happens() string {
	m.t.Helper()
	i := m.rng.IntN(len(m.nodes))
	switch what := m.rng.IntN(12); what {
	case 0, 1:
		if len(m.down)+len(m.asleep) > 0 {
			return m.mends()
		}
		m.nodes[i].kill()
		m.down[i] = true
		return fmt.Sprintf("node %d is killed", i)
	case 2:
		if len(m.down)+len(m.asleep) > 0 {
			return m.mends()
		}
		m.Peers[i].Kill()
		m.asleep[i] = true
		return fmt.Sprintf("peer %d is killed", i)
	case 3:
		if len(m.down)+len(m.asleep) > 0 {
			return m.mends()
		}
		m.Peers[i].Kill()
		m.nodes[i].kill()
		m.down[i], m.asleep[i] = true, true
		return fmt.Sprintf("peer %d and its node are killed", i)
	case 4:
		if m.asleep[i] {
			return m.mends()
		}
		check(m.t, m.Peers[i].Signal(syscall.SIGSTOP))
		time.Sleep(time.Duration(m.rng.IntN(8)) * time.Second) // it hangs for so long
		check(m.t, m.Peers[i].Signal(syscall.SIGCONT))
		return fmt.Sprintf("peer %d hung", i)
	case 5:
		m.front.server.Kill()
		m.front.start(m.t)
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, u := range m.users {
			m.users[i] = rig.NewClient(m.front.server.HTTP, u.Token)
		}
		return "the front is killed"
	case 6, 7:
		if len(m.full) > 0 || m.down[i] {
			return m.mends()
		}
		m.nodes[i].fill(m.t, m.ctx, true)
		m.full[i] = true
		return fmt.Sprintf("node %d is full", i)
	case 8:
		n := 1 + m.rng.IntN(3)
		who := []string{alice, bob}[m.rng.IntN(2)]
		must(m.front.data.Run(m.ctx, nil, "user", "quota", who, "--replication", fmt.Sprint(max(n, 2))))(m.t)
		return fmt.Sprintf("%s has %d copies", who, max(n, 2))
	case 9:
		return m.replaces(i)
	default:
		return m.mends()
	}
}

// mends has all that was broken work again.
func (m *month) mends() string {
	m.t.Helper()
	what := fmt.Sprintf("mended: %d nodes, %d peers, %d full", len(m.down), len(m.asleep), len(m.full))
	for i := range m.down {
		m.nodes[i].start(m.t)
	}
	for i := range m.asleep {
		check(m.t, m.Peers[i].Launch())
		check(m.t, m.Peers[i].Ready(m.ctx))
	}
	for i := range m.full {
		m.nodes[i].fill(m.t, m.ctx, false)
	}
	clear(m.down)
	clear(m.asleep)
	clear(m.full)
	return what
}

// replaces puts an empty node in the place of one, once all pins have their copies: what is lost then
// are copies, and no pin.
func (m *month) replaces(i int) string {
	m.t.Helper()
	m.mends()
	check(m.t, m.AwaitPeers(m.ctx, len(m.Peers)))
	m.settles()
	m.nodes[i].kill()
	check(m.t, os.RemoveAll(m.nodes[i].data.Dir))
	var others []string
	for j, n := range m.nodes {
		if j != i {
			others = append(others, n.addr())
		}
	}
	m.nodes[i].set("HOLDFAST_NODE_PEERING=" + strings.Join(others, ","))
	m.nodes[i].start(m.t)
	if !m.alone {
		reach(m.t, m.ctx, m.source, m.nodes[i])
	}
	return fmt.Sprintf("node %d is replaced by an empty one", i)
}

// arePinned waits until all requests are pinned.
func (m *month) arePinned() {
	m.t.Helper()
	for i, u := range m.users {
		var waiting rig.PinResults
		err := rig.Poll(m.ctx, time.Second, func() (bool, error) {
			var err error
			waiting, err = u.List(m.ctx, url.Values{"status": {"queued,pinning,failed"}, "limit": {"3"}})
			return err == nil && waiting.Count == 0, nil
		})
		if err != nil {
			m.t.Fatalf("user %d: %v; %d wait, such as %+v", i, err, waiting.Count, waiting.Results)
		}
	}
}

// settles waits until no difference is found.
func (m *month) settles() {
	m.t.Helper()
	m.front.isRight(m.t, m.ctx)
}

// end mends all, and compares all with all.
func (m *month) end() {
	t, ctx := m.t, m.ctx
	m.mends()
	check(t, m.AwaitPeers(ctx, len(m.Peers)))
	began := time.Now()
	have := make(map[string]rig.PinStatus)
	for who, u := range m.users {
		for _, s := range must(u.All(ctx))(t) {
			if _, acknowledged := m.live[s.RequestID]; !acknowledged {
				if _, over := m.over[s.RequestID]; over || m.maybe[s.Pin.CID] <= 0 {
					t.Errorf("request %s for %s was not made, or removed", s.RequestID, s.Pin.CID)
				}
				m.maybe[s.Pin.CID]--
				m.live[s.RequestID], m.owner[s.RequestID] = s.Pin, who
			}
			have[s.RequestID] = s
		}
	}
	wanted := make(map[string]bool)
	for id, p := range m.live {
		if s, ok := have[id]; !ok || s.Pin.CID != p.CID || s.Pin.Name != p.Name || !maps.Equal(s.Pin.Meta, p.Meta) {
			t.Errorf("request %s was acknowledged as %+v, and is %+v", id, p, s)
		}
		wanted[p.CID] = true
	}
	m.arePinned()
	m.settles()
	t.Logf("all is pinned and right %v after the last fault", time.Since(began).Round(time.Millisecond))
	// A check reads the pinset of one peer, which chance chooses. What another one has forgotten, a later one mends.
	eventually(t, ctx, "all peers have the same pinset", func() bool {
		if m.samePinset(ctx) {
			return true
		}
		_, _ = m.front.cluster(ctx, "check", "--repair", "--json") // what it finds is looked at here
		return false
	})
	m.agrees(t, ctx)
	list := must(m.Peers[0].Allocations(ctx))(t)
	if len(list) != len(wanted) {
		t.Errorf("the pinset has %d pins, and %d are wanted", len(list), len(wanted))
	}
	for _, a := range list {
		if !wanted[a.CID] {
			t.Errorf("the pinset has %s, which nobody wants", a.CID)
		}
		if n := len(a.Allocations); n < 2 || n > 3 {
			t.Errorf("%s has %d copies", a.CID, n)
		}
	}
	// And nothing else is on the disks.
	for _, n := range m.nodes {
		check(t, n.Call(ctx, "repo/gc", url.Values{"stream-errors": {"true"}}, nil))
	}
	left := func() (all []string) {
		for c := range m.gone {
			if !wanted[c] && m.copies(ctx, c) > 0 {
				all = append(all, c)
			}
		}
		return all
	}
	var last []string
	eventually(t, ctx, "what was unpinned is gone from the disks", func() bool { last = left(); return len(last) == 0 })
	t.Logf("%d requests for %d CIDs are pinned, and %d CIDs are gone", len(m.live), len(wanted), len(m.gone))
}

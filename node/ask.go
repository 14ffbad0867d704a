package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap/client/traceability"
	"github.com/ipfs/boxo/exchange"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

const (
	// A want is lost when others that were asked for this much later have been
	// answered, or when nothing at all has come for so long: well past any
	// round trip. Bitswap itself waits 30 s and more.
	lostAfter = time.Second
	// On a slow path it is this many times the usual time to an answer.
	lostLatencies = 4
	// Each time a want is lost again, its patience doubles, up to this.
	lostAfterMax = 32 * time.Second

	// A root that nobody has is asked for anew this often, in case an answer
	// was lost; whoever connects meanwhile is asked by Bitswap.
	seekAgain = time.Minute

	// Wants that were cancelled are asked for again once Bitswap has taken
	// note, or after this long: another fetch may want them, too.
	cancelPatience = 300 * time.Millisecond

	// Lost wants are asked for in sessions of their own, of this size: a
	// session broadcasts no more than 64 wants to find its first peer.
	lostBatch = 32
	// So many lost wants leave the window to others, so that the rest of a DAG
	// comes from a peer that lacks some of it.
	lostAside = 256
)

// want is a block that the walk waits for.
type want struct {
	cid     cid.Cid
	key     string // its multihash
	codecs  codecs // to read it under when it comes
	depth   uint64 // links from the root
	counted bool   // it was here before and is gone
	lost    int    // how often

	request *request // nil while it is not asked for
}

// request is some wants that were asked for together.
type request struct {
	wants  []*want
	open   int // of those, not answered yet
	sent   time.Time
	lost   int  // how often the worst of them was
	main   bool // on the walk's own session
	cancel context.CancelFunc
}

// sessions is what the asker needs of Bitswap's client.
type sessions interface {
	NewSession(ctx context.Context) exchange.Fetcher
	GetWantlist() []cid.Cid
}

// asker keeps the wants of one walk open in Bitswap: as many as the window
// allows, and each until its block comes. Its methods belong to the goroutine
// of the walk.
type asker struct {
	client sessions
	shares *shares
	ctx    context.Context
	in     chan arrival // what came; never closed
	wg     sync.WaitGroup

	wants    map[string]*want // by multihash, until they come
	queue    []*want          // to be asked for
	limbo    []*want          // cancelled, to be asked for again
	limboAt  time.Time        // when the last of them was cancelled
	recalls  []*want          // out of limbo, to be looked for on disk first
	requests []*request
	open     int // wants in requests
	aside    int // wants that were lost

	session exchange.Fetcher
	end     context.CancelFunc // of the session
	window  window
	sharing bool

	last    time.Time     // when a block came
	newest  time.Time     // when the newest want that was answered was sent
	paused  time.Duration // not held against the network
	checked time.Time     // when it was looked for what is lost
	met     time.Time     // when an origin was last connected to
}

func newAsker(ctx context.Context, client sessions, s *shares) *asker {
	a := &asker{
		client: client,
		shares: s,
		ctx:    ctx,
		in:     make(chan arrival, 64), // to save switches between goroutines
		wants:  make(map[string]*want),
		window: newWindow(),
	}
	a.renewSession()
	return a
}

// stop ends every request and waits for what the asker started. ctx must have
// ended.
func (a *asker) stop() {
	a.end()
	a.share(false)
	a.wg.Wait()
}

// now is a clock that stood still while the walk could take nothing in.
func (a *asker) now(t time.Time) time.Time { return t.Add(-a.paused) }

// pause stops the clock for a time that the walk spent waiting.
func (a *asker) pause(d time.Duration) {
	if d > pauseFrom {
		a.paused += d
	}
}

// empty reports that nothing is wanted.
func (a *asker) empty() bool { return len(a.wants) == 0 }

// restless reports that there is something to look after soon.
func (a *asker) restless() bool {
	anxious := !a.last.IsZero() || len(a.requests) > 0 && a.requests[0].sent.Before(a.met)
	return len(a.limbo) > 0 || len(a.queue) > 0 || anxious && a.open > 0
}

// room is how many more wants the window takes.
func (a *asker) room() int {
	return a.window.size(a.shares) - a.counting()
}

// counting is how many wants count against the window.
func (a *asker) counting() int { return len(a.wants) - min(a.aside, lostAside) }

// wanting reports that it is worth while to look for more to ask for: not for
// every single block that came, since a request costs more than a want.
func (a *asker) wanting() bool {
	return a.counting() == 0 || a.room() >= a.window.size(a.shares)/8
}

// want asks for a block once send is called.
func (a *asker) want(w *want) {
	a.wants[w.key] = w
	a.queue = append(a.queue, w)
}

// also has a block that is wanted read under one more codec, and reports
// whether it is wanted.
func (a *asker) also(key string, c codecs) bool {
	w := a.wants[key]
	if w != nil {
		w.codecs |= c
	}
	return w != nil
}

// take gives the want that a block answers, or nil if it is not wanted any
// more.
func (a *asker) take(b blocks.Block, t time.Time) *want {
	w := a.wants[string(b.Cid().Hash())]
	if w == nil {
		return nil
	}
	delete(a.wants, w.key)
	if w.lost > 0 {
		a.aside--
	}
	now := a.now(t)
	a.last = now
	if r := w.request; r != nil {
		a.leave(w)
		if r.open == 0 {
			r.cancel()
			a.requests = slices.DeleteFunc(a.requests, func(o *request) bool { return o == r })
		}
		if r.sent.After(a.newest) {
			a.newest = r.sent
		}
		a.window.answered(now.Sub(r.sent), len(b.RawData()), a.open)
	}
	a.queue = slices.DeleteFunc(a.queue, func(o *want) bool { return o == w })
	a.limbo = slices.DeleteFunc(a.limbo, func(o *want) bool { return o == w })
	a.share(true)
	return w
}

// leave takes a want out of its request.
func (a *asker) leave(w *want) {
	w.request.open--
	w.request = nil
	a.open--
}

// send asks for what is queued.
func (a *asker) send() {
	if len(a.queue) == 0 {
		return
	}
	now := a.now(time.Now())
	var fresh, lost []*want
	for _, w := range a.queue {
		if w.lost == 0 {
			fresh = append(fresh, w)
		} else {
			lost = append(lost, w)
		}
	}
	a.queue = a.queue[:0]
	if len(fresh) > 0 {
		ctx, cancel := context.WithCancel(a.ctx)
		a.request(ctx, cancel, a.session, fresh, now).main = true
	}
	// On the session that lost them, the late cancel of the old request could
	// cancel the new one.
	for some := range slices.Chunk(lost, lostBatch) {
		ctx, cancel := context.WithCancel(a.ctx)
		a.request(ctx, cancel, a.client.NewSession(ctx), some, now)
	}
}

// request asks for blocks on a session until they have all come or ctx ends.
func (a *asker) request(ctx context.Context, cancel context.CancelFunc, s exchange.Fetcher, wants []*want, now time.Time) *request {
	r := &request{wants: wants, open: len(wants), sent: now, cancel: cancel}
	keys := make([]cid.Cid, len(wants))
	for i, w := range wants {
		w.request = r
		keys[i] = w.cid
		r.lost = max(r.lost, w.lost)
	}
	a.requests = append(a.requests, r)
	a.open += len(wants)
	a.wg.Go(func() {
		out, err := s.GetBlocks(ctx, keys)
		if err != nil {
			return // ctx has ended, or the client is closed: the wants are lost
		}
		for b := range out {
			got := arrival{block: b}
			if t, ok := b.(traceability.Block); ok {
				got = arrival{block: t.Block, from: t.From}
			}
			select {
			case a.in <- got:
			case <-ctx.Done():
				return
			}
		}
	})
	return r
}

// renew finds what was lost and recalls it. It may be
// called any number of times and looks once a tick.
func (a *asker) renew(t time.Time) {
	if t.Sub(a.checked) < tick {
		return
	}
	a.checked = t
	a.leaveLimbo(t)
	if a.open == 0 || len(a.in) > 0 {
		return
	}
	now := a.now(t)
	patience, never := max(lostAfter, lostLatencies*a.window.latency), a.last.IsZero()
	if never {
		patience = seekAgain
		if a.requests[0].sent.Before(a.met) && t.Sub(a.met) >= lostAfter {
			patience = 0 // who should have it was not asked, or did not hear
		}
	}
	silence := never || now.Sub(a.last) >= patience
	lost, silent := false, false
	for _, r := range slices.Clone(a.requests) {
		if now.Sub(r.sent) < longer(patience, r.lost) {
			continue
		}
		if a.newest.Sub(r.sent) >= patience || silence {
			a.lose(r, t)
			lost, silent = true, silent || silence
		}
	}
	switch {
	case silent:
		// The session has lost its peers, or the peers what they were asked.
		for _, r := range slices.Clone(a.requests) {
			if r.main {
				a.lose(r, t)
			}
		}
		a.renewSession()
		a.window.reset()
		a.share(false)
	case lost:
		a.window.lost()
	}
}

// longer doubles d n times, up to lostAfterMax unless d is more already.
func longer(d time.Duration, n int) time.Duration {
	for ; n > 0 && d < lostAfterMax; n-- {
		d *= 2
	}
	return d
}

// lose cancels a request and puts what it still wants in limbo.
func (a *asker) lose(r *request, t time.Time) {
	r.cancel()
	for _, w := range r.wants {
		if w.request == r {
			a.leave(w)
			if w.lost++; w.lost == 1 {
				a.aside++
			}
			a.limbo = append(a.limbo, w)
		}
	}
	a.limboAt = t
	a.requests = slices.DeleteFunc(a.requests, func(o *request) bool { return o == r })
}

// leaveLimbo recalls those of the cancelled wants that Bitswap no longer has.
func (a *asker) leaveLimbo(t time.Time) {
	if len(a.limbo) == 0 {
		return
	}
	var still map[cid.Cid]struct{}
	if t.Sub(a.limboAt) < cancelPatience {
		list := a.client.GetWantlist()
		still = make(map[cid.Cid]struct{}, len(list))
		for _, c := range list {
			still[c] = struct{}{}
		}
	}
	free := lostAside - a.open - len(a.queue)
	a.limbo = slices.DeleteFunc(a.limbo, func(w *want) bool {
		if _, ok := still[w.cid]; ok || free <= 0 {
			return false
		}
		free--
		a.recalls = append(a.recalls, w)
		return true
	})
}

// recalled gives the wants that were lost and may be asked for anew. The caller
// gives each to again or to forget.
func (a *asker) recalled() []*want {
	ws := a.recalls
	a.recalls = nil
	return ws
}

// again asks for a want anew once send is called.
func (a *asker) again(w *want) { a.queue = append(a.queue, w) }

// forget is for a want that was lost and turned out to be here.
func (a *asker) forget(w *want) {
	delete(a.wants, w.key)
	a.aside--
}

func (a *asker) renewSession() {
	if a.end != nil {
		a.end()
	}
	var ctx context.Context
	ctx, a.end = context.WithCancel(a.ctx)
	a.session = a.client.NewSession(ctx)
}

// share joins the walks that receive, among whom the wants are divided, or
// leaves them.
func (a *asker) share(in bool) {
	if in != a.sharing {
		a.sharing = in
		a.shares.add(in)
	}
}

package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/find"
)

// A node joins the DHT by its bootstrap peers and by peers that it saved in an earlier run. One
// that answers is enough. boxo's bootstrap would not do: it is content with any connections,
// and a pinning server has many of clients; it uses saved peers only if bootstrap peers are
// configured; and it does not save peers at the end.

const (
	// While a DHT has no peer, joining is tried again after this, and then after twice as
	// long each time.
	joinAgain    = 5 * time.Second
	joinAgainMax = 5 * time.Minute
	// While it has peers, it is checked this often that it still does.
	joinCheck = time.Minute
	// How long the DHT may take to check a connected peer and take it in.
	checkPeer = 5 * time.Second
	// A slow dial takes 15 s, so this is some of them.
	joinTime = time.Minute

	// How many peers are saved: enough that some are left after weeks, few enough to be read
	// and written at once. saveDials of them are dialled at a time, beside the bootstrap
	// peers.
	maxSaved  = 100
	saveDials = 20
	// Peers are saved first after saveFirst, and then every saveEvery.
	saveFirst = time.Minute
	saveEvery = 10 * time.Minute
	// How long saving may take, which is a single small write.
	saveTime = 5 * time.Second
)

// join keeps the DHTs connected, until ctx ends.
func (r *router) join(ctx context.Context) {
	wait, warned := joinAgain, false
	for {
		pause := joinCheck
		alone := r.dhts.peers() == 0
		if alone || r.dhts.wan.RoutingTable().Size() == 0 {
			// A node of a private network goes on trying to join the public DHT, but is not
			// alone without it.
			alone = !r.bootstrapFrom(ctx) && r.dhts.peers() == 0
			pause, wait = wait, min(2*wait, joinAgainMax)
		} else {
			wait = joinAgain
		}
		if !alone {
			warned = false
		} else if !warned && ctx.Err() == nil {
			r.log.Warn("cannot reach any peer to join the DHT by; trying on in the background",
				"bootstrap", len(r.bootstrap), "saved", len(r.savedPeers()), "setting", "node.bootstrap")
			warned = true
		}
		r.triedOnce.Do(func() { close(r.tried) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// bootstrapFrom dials bootstrap peers and saved ones, and reports whether the DHT
// has a peer after that.
func (r *router) bootstrapFrom(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	var (
		dials   sync.WaitGroup
		reached atomic.Bool
		joined  = make(chan struct{})
	)
	for _, p := range append(some(r.savedPeers(), saveDials), r.bootstrap...) {
		dials.Go(func() {
			if err := r.host.Connect(ctx, p); err != nil {
				r.log.Debug("cannot reach a peer to join the DHT by", "peer", p.ID, "error", err)
				return
			}
			reached.Store(true)
		})
	}
	go func() {
		dials.Wait()
		close(joined)
	}()
	// The DHT checks a new peer before it takes it in. The first one is enough to go on.
	tick := time.NewTicker(checkPeer / 100)
	defer tick.Stop()
	var deadline <-chan time.Time
	for r.dhts.peers() == 0 {
		select {
		case <-tick.C:
		case <-joined:
			if joined = nil; !reached.Load() {
				return false
			}
			deadline = time.After(checkPeer)
		case <-deadline:
			return false
		case <-ctx.Done():
			dials.Wait()
			return false
		}
	}
	r.triedOnce.Do(func() { close(r.tried) })
	r.dhts.refresh()
	dials.Wait()
	r.dhts.refresh() // with the peers that were slower
	return true
}

func (r *router) savedPeers() []peer.AddrInfo {
	r.savedMu.Lock()
	defer r.savedMu.Unlock()
	return r.saved
}

// load reads what the last run saved.
func (r *router) load(ctx context.Context) {
	if r.book == nil {
		return
	}
	p, err := r.book.Load(ctx)
	if err != nil {
		r.log.Warn("the peers of the last run are not known", "error", err)
	}
	r.saved = p.Routing
	for i := len(p.Recent) - 1; i >= 0; i-- {
		r.recents.Note(p.Recent[i])
	}
}

// keepSaving saves peers now and then, and when ctx ends.
func (r *router) keepSaving(ctx context.Context) {
	wait := saveFirst
	for {
		select {
		case <-ctx.Done():
			r.save(context.WithoutCancel(ctx))
			return
		case <-time.After(wait):
			r.save(ctx)
			wait = saveEvery
		}
	}
}

// save keeps peers for the next run: those of the routing tables, and those of earlier runs if
// there is room.
func (r *router) save(ctx context.Context) {
	var connected, rest []peer.AddrInfo
	known := make(map[peer.ID]bool)
	for _, d := range r.dhts.all() {
		for _, p := range d.RoutingTable().ListPeers() {
			addrs := r.addrs(p)
			if known[p] || len(addrs) == 0 {
				continue
			}
			known[p] = true
			ai := peer.AddrInfo{ID: p, Addrs: addrs[:min(len(addrs), savedAddrs)]}
			if r.host.Network().Connectedness(p) == network.Connected {
				connected = append(connected, ai)
			} else {
				rest = append(rest, ai)
			}
		}
	}
	all := append(some(connected, maxSaved), some(rest, maxSaved)...)
	for _, ai := range r.savedPeers() {
		if !known[ai.ID] {
			all = append(all, ai)
		}
	}
	all = all[:min(len(all), maxSaved)]
	r.savedMu.Lock()
	r.saved = all
	r.savedMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	if err := r.book.Save(ctx, find.Peers{Routing: all, Recent: r.recents.List()}); err != nil {
		r.log.Warn("the next run will not know the peers of this one", "error", err)
	}
}

// savedAddrs is how many addresses of one peer are kept.
const savedAddrs = 8

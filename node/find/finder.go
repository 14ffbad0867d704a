package find

import (
	"context"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// What one lookup gives at most, whatever the sources say: far more than
	// anybody connects to for one block.
	maxProviders = 256
	// Addresses of one peer beyond these are left out. Honest peers have about
	// ten, one for each transport and interface.
	maxAddrs = 32
	// Peers that may be named in one lookup, those without addresses included.
	maxNamed = 2 * maxProviders
	// Of those without addresses, how many are looked up, and how many at the
	// same time: each is a lookup in the DHT of its own.
	maxResolves    = 32
	resolvesAtOnce = 4
)

// Config is what a [Finder] works with.
type Config struct {
	// Sources are asked in parallel. Each has to give up by itself after a
	// while, and to end soon after its context does.
	Sources []routing.ContentDiscovery
	// First gives peers that are worth to be tried before anything is known
	// from a source: they are given first, and do not count. Nil is none.
	First func() []peer.AddrInfo
	// Resolve finds addresses of a peer that a source named without any; nil
	// leaves out such peers.
	Resolve func(context.Context, peer.ID) ([]ma.Multiaddr, error)
	// Self is never given.
	Self peer.ID
}

// Finder asks several sources who has a block.
type Finder struct {
	cfg Config

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed
	closed bool
	wg     sync.WaitGroup
}

var _ routing.ContentDiscovery = (*Finder)(nil)

// New makes a finder. The caller closes it, before its sources.
func New(cfg Config) *Finder {
	f := &Finder{cfg: cfg}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Close ends all lookups and waits for them. It may be called twice.
func (f *Finder) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.wg.Wait()
}

// FindProvidersAsync gives peers that are said to have a block, with addresses,
// the first that anybody names first. A peer comes again only with addresses
// that it did not have before. Addresses may be such as only HTTP is spoken at
// (/http, /https, /tls/http).
//
// count is after how many peers to stop; 0 is no such number, though there is
// one. The channel is closed when all sources have said what they know, and soon
// after ctx ends, which it must if the channel is not read to its end.
func (f *Finder) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(out)
		return out
	}
	ctx, cancel := context.WithCancel(ctx)
	if count <= 0 || count > maxProviders {
		count = maxProviders
	}
	l := &lookup{
		f: f, ctx: ctx, out: out,
		in:     make(chan said, 16), // to save switches between goroutines
		known:  make(map[peer.ID]map[string]struct{}),
		places: make(chan struct{}, resolvesAtOnce),
	}
	stop := context.AfterFunc(f.ctx, cancel)
	f.wg.Go(func() {
		l.run(c, count)
		close(out) // nobody waits for the sources to have ended
		cancel()
		stop()
		l.wg.Wait()
	})
	return out
}

// lookup is one call of FindProvidersAsync. One goroutine owns it, that of run.
type lookup struct {
	f   *Finder
	ctx context.Context
	out chan<- peer.AddrInfo
	in  chan said
	wg  sync.WaitGroup // what feeds in

	known    map[peer.ID]map[string]struct{} // peers that were named, and the addresses that were given
	pending  int                             // how many more will say that they are done
	resolves int                             // how many were begun
	places   chan struct{}                   // for those that go on
}

// said is what came from a source, or from resolving.
type said struct {
	peer.AddrInfo      // ID is "" if it is nobody
	done          bool // no more from there
}

// run gives up to count peers.
func (l *lookup) run(c cid.Cid, count int) {
	for _, s := range l.f.cfg.Sources {
		l.pending++
		l.wg.Go(func() { l.ask(s, c, count) })
	}
	if l.f.cfg.First != nil {
		for _, ai := range l.f.cfg.First() {
			if fresh, _ := l.fresh(ai); fresh.ID != "" && !l.give(fresh) {
				return
			}
		}
	}
	counted := make(map[peer.ID]struct{})
	for l.pending > 0 {
		var m said
		select {
		case m = <-l.in:
		case <-l.ctx.Done():
			return
		}
		if m.done {
			l.pending--
		}
		fresh, bare := l.fresh(m.AddrInfo)
		if bare {
			l.resolve(m.ID)
		}
		if fresh.ID == "" {
			continue
		}
		if !l.give(fresh) {
			return
		}
		counted[fresh.ID] = struct{}{}
		if len(counted) == count {
			return
		}
	}
}

// ask feeds what one source says.
func (l *lookup) ask(s routing.ContentDiscovery, c cid.Cid, count int) {
	from := s.FindProvidersAsync(l.ctx, c, count)
	for {
		select {
		case ai, ok := <-from:
			if !ok {
				l.feed(said{done: true})
				return
			}
			l.feed(said{AddrInfo: ai})
		case <-l.ctx.Done():
			return
		}
	}
}

// resolve feeds a peer once its addresses are found.
func (l *lookup) resolve(p peer.ID) {
	if l.f.cfg.Resolve == nil || l.resolves == maxResolves {
		return
	}
	l.resolves++
	l.pending++
	l.wg.Go(func() {
		m := said{done: true}
		select {
		case l.places <- struct{}{}:
			if addrs, err := l.f.cfg.Resolve(l.ctx, p); err == nil && len(addrs) > 0 {
				m.AddrInfo = peer.AddrInfo{ID: p, Addrs: addrs}
			}
			<-l.places
		case <-l.ctx.Done():
		}
		l.feed(m)
	})
}

func (l *lookup) feed(m said) {
	select {
	case l.in <- m:
	case <-l.ctx.Done():
	}
}

func (l *lookup) give(ai peer.AddrInfo) bool {
	select {
	case l.out <- ai:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// fresh leaves of what was said what is new. Its ID is "" if that is nothing;
// bare is true if the peer is new and came without an address.
func (l *lookup) fresh(ai peer.AddrInfo) (fresh peer.AddrInfo, bare bool) {
	if ai.ID == "" || ai.ID == l.f.cfg.Self {
		return peer.AddrInfo{}, false
	}
	given, known := l.known[ai.ID]
	if !known {
		if len(l.known) == maxNamed {
			return peer.AddrInfo{}, false
		}
		given = make(map[string]struct{})
		l.known[ai.ID] = given
	}
	for _, a := range ai.Addrs {
		if len(given) == maxAddrs {
			break
		}
		key := string(a.Bytes())
		if _, ok := given[key]; !ok && len(a) > 0 {
			given[key] = struct{}{}
			fresh.Addrs = append(fresh.Addrs, a)
		}
	}
	if len(fresh.Addrs) == 0 {
		return peer.AddrInfo{}, !known && len(ai.Addrs) == 0
	}
	fresh.ID = ai.ID
	return fresh, false
}

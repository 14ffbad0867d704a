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
	// How many peers one lookup gives at most, whatever the sources say. It is far more
	// than are connected to for one block.
	maxProviders = 256
	// How many addresses of one peer are taken. Honest peers have about ten, one for each
	// transport and interface.
	maxAddrs = 32
	// How many peers may be named in one lookup, those without addresses included.
	maxNamed = 2 * maxProviders
	// How many peers without addresses are looked up, and how many at the same time. Each
	// is a lookup in the DHT of its own.
	maxResolves    = 32
	resolvesAtOnce = 4
)

// Config is what a [Finder] works with.
type Config struct {
	// Sources are asked in parallel. Each has to give up by itself after a while, and has
	// to end soon after its context.
	Sources []routing.ContentDiscovery
	// First gives peers that are worth trying before a source has answered. They are given
	// first, and do not count. Nil is none.
	First func() []peer.AddrInfo
	// Resolve finds addresses of a peer that a source named without any. If it is nil,
	// such peers are left out.
	Resolve func(context.Context, peer.ID) ([]ma.Multiaddr, error)
	// Self is never given.
	Self peer.ID
}

// Finder asks several sources for peers that have a block.
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

// FindProvidersAsync gives peers that are said to have a block, with addresses, in the order
// in which sources name them. A peer comes again only with new addresses. At some addresses
// only HTTP is spoken (/http, /https, /tls/http).
//
// It stops after count peers; 0 is as many as one lookup may give. The channel is closed when
// all sources have answered, and soon after ctx ends. A caller that does not read the channel
// to its end must end ctx.
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
		close(out) // before the sources have ended
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
	wg  sync.WaitGroup // goroutines that feed in

	known    map[peer.ID]map[string]struct{} // peers that were named, and the addresses that were given
	pending  int                             // how many have not said yet that they are done
	resolves int                             // how many have begun
	places   chan struct{}                   // for those that run
}

// said is an answer of a source, or of Config.Resolve.
type said struct {
	peer.AddrInfo      // ID is "" if it names no peer
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

// ask feeds in what one source says.
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

// resolve feeds in a peer once its addresses are found.
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

// fresh gives the part of an answer that is new. Its ID is "" if nothing is. bare is true if
// the peer is new and has no address.
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

package find

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/types"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// What a router may take for one lookup, from the connection to the last
	// record. Kubo waits 15 s, and servers give up after 3 to 5.
	routerTimeout = 10 * time.Second
	// What a router may answer to one lookup: at 300 bytes a record, many times
	// what anybody uses.
	routerAnswer  = 1 << 20
	routerRecords = 256

	// A router that failed for so many different blocks in a row is left alone for a time,
	// which doubles with each further one: else every lookup would wait for it. A block
	// that it failed for is not looked up there for such a time either, and counts once:
	// it may be about that block alone.
	routerPatience = 3
	routerPause    = 30 * time.Second
	routerPauseMax = 10 * time.Minute
	// Meanwhile it is asked for others now and then, and ends to be left alone with the
	// first answer, so that who looks for what it does know hardly waits for those who
	// look for what it fails for.
	routerProbe  = time.Second
	routerProbes = 4 // at a time, of 16 lookups
	// So many blocks that it failed for are remembered.
	routerFailed = 256
	// A router that goes on failing is mentioned this often in the log.
	routerTellAgain = time.Hour
)

// errSlowRouter is why a lookup at a router was ended.
var errSlowRouter = fmt.Errorf("no answer, or not all of it, within %v", routerTimeout)

// Router is a delegated router, which answers who has a block over HTTP:
// https://specs.ipfs.tech/routing/http-routing-v1/. Its failures are its own: it
// then just knows nobody.
type Router struct {
	url    string // without a password, for the log
	client *client.Client
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	failed  int               // different blocks in a row
	blocks  map[string]failed // that it failed for, by multihash
	probes  int               // that are under way
	probed  time.Time         // when the last one was begun
	until   time.Time         // not asked before that
	told    time.Time         // when the log last had that it fails
	failing bool              // the log has that it fails
	odd     time.Time         // when the log last had that it gives records that cannot be read
}

var _ routing.ContentDiscovery = (*Router)(nil)

// failed is how a router has failed for a block.
type failed struct {
	times int
	until time.Time // it is not asked for it before
}

// RouterConfig is how a [Router] is reached.
type RouterConfig struct {
	// URL is the router's, with or without /routing/v1 at its end.
	URL string
	// Transport is what requests go by; nil is one of its own. The URL is the
	// operator's, but where a name leads and where an answer redirects to is not.
	Transport http.RoundTripper
	// UserAgent is what the router is told; "" is boxo's.
	UserAgent string
	// Logger is told when the router fails, and when it does no more.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// CheckRouterURL says what is wrong with the URL of a router.
func CheckRouterURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want a URL such as https://router.example.com, or with /routing/v1 at its end")
	}
	if _, err := client.New(s); err != nil {
		return fmt.Errorf("want a URL such as https://router.example.com: %w", err)
	}
	return nil
}

// NewRouter makes a router. It does not look whether there is one.
func NewRouter(cfg RouterConfig) (*Router, error) {
	if err := CheckRouterURL(cfg.URL); err != nil {
		return nil, err
	}
	if cfg.Transport == nil {
		cfg.Transport = defaultTransport()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("delegated router: %w", err)
	}
	r := &Router{url: u.Redacted(), log: cfg.Logger, now: cfg.Now, blocks: make(map[string]failed)}
	r.client, err = client.New(cfg.URL,
		client.WithHTTPClient(&http.Client{
			Transport: readable{&client.ResponseBodyLimitedTransport{
				RoundTripper: cfg.Transport, LimitBytes: routerAnswer, UserAgent: cfg.UserAgent,
			}, r.noteUnread},
			CheckRedirect: sameHost,
		}),
		// Records of all that this node may fetch by. Filtering here as well
		// would hide a router's errors.
		client.WithProtocolFilter([]string{"unknown", "transport-bitswap", "transport-ipfs-gateway-http"}),
		client.WithDisabledLocalFiltering(true),
	)
	if err != nil {
		return nil, fmt.Errorf("delegated router: %w", err)
	}
	return r, nil
}

// defaultTransport gives up on hosts that are not there well before a lookup
// does.
func defaultTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 5 * time.Second
	t.MaxIdleConnsPerHost = 16 // as many as there are lookups at the same time
	return t
}

// sameHost follows a redirect within the host that the operator named, and no
// other: what a router answers must not send requests elsewhere.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("too many redirects")
	}
	if first := via[0].URL; req.URL.Host != first.Host || first.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("a redirect to %s, away from the host that was named", req.URL.Host)
	}
	return nil
}

// FindProvidersAsync gives the peers that the router names, as they come. It
// gives nobody while the router is left alone after failures.
func (r *Router) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	ready, probe := r.ready(c)
	if !ready {
		close(out)
		return out
	}
	go func() { // ends with ctx, or routerTimeout
		defer close(out)
		if probe {
			defer r.probeEnded()
		}
		ctx, cancel := context.WithTimeoutCause(ctx, routerTimeout, errSlowRouter)
		defer cancel()
		err := r.find(ctx, c, count, out)
		if slow := context.Cause(ctx); errors.Is(slow, errSlowRouter) {
			err = slow
		} else if ctx.Err() != nil {
			return // the caller has enough, which says nothing of the router
		}
		r.note(c, err)
	}()
	return out
}

// FindPeer gives the addresses of a peer that the router knows. It gives none, and no
// error, while the router is left alone after failures, and if it knows no such peer.
func (r *Router) FindPeer(ctx context.Context, p peer.ID) (addrs []ma.Multiaddr, err error) {
	about := peer.ToCid(p)
	ready, probe := r.ready(about)
	if !ready {
		return nil, nil
	}
	if probe {
		defer r.probeEnded()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, routerTimeout, errSlowRouter)
	defer cancel()
	records, err := r.client.FindPeers(ctx, p)
	if err == nil {
		defer records.Close()
		for n := 0; n < routerRecords && records.Next(); n++ {
			v := records.Val()
			if v.Err != nil {
				err = v.Err
				break
			}
			if ai := addrInfo(v.Val); ai.ID == p {
				addrs = append(addrs, ai.Addrs...)
			}
		}
	}
	if slow := context.Cause(ctx); errors.Is(slow, errSlowRouter) {
		err = slow
	} else if ctx.Err() != nil {
		return addrs, ctx.Err() // which says nothing of the router
	}
	r.note(about, err)
	return addrs, err
}

func (r *Router) find(ctx context.Context, c cid.Cid, count int, out chan<- peer.AddrInfo) error {
	records, err := r.client.FindProviders(ctx, c)
	if err != nil {
		return err
	}
	defer records.Close()
	given := 0
	for n := 0; n < routerRecords && records.Next(); n++ {
		v := records.Val()
		if v.Err != nil {
			return v.Err
		}
		ai := addrInfo(v.Val)
		if ai.ID == "" {
			continue
		}
		select {
		case out <- ai:
		case <-ctx.Done():
			return ctx.Err()
		}
		if given++; given == count {
			break
		}
	}
	return nil
}

// addrInfo reads a record; the zero value is one that is none of a peer.
func addrInfo(r types.Record) (ai peer.AddrInfo) {
	var (
		id    *peer.ID
		addrs []types.Multiaddr
	)
	switch r := r.(type) {
	case *types.PeerRecord:
		id, addrs = r.ID, r.Addrs
	//lint:ignore SA1019 some routers still answer so
	case *types.BitswapRecord:
		id, addrs = r.ID, r.Addrs
	}
	if id == nil {
		return ai
	}
	ai.ID = *id
	for _, a := range addrs {
		if a.Multiaddr != nil {
			ai.Addrs = append(ai.Addrs, a.Multiaddr)
		}
	}
	return ai
}

// ready reports whether the router is worth asking for a block. The caller of a probe
// says when it has ended.
func (r *Router) ready(c cid.Cid) (ready, probe bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Before(r.blocks[string(c.Hash())].until) {
		return false, false
	}
	if !now.Before(r.until) {
		return true, false
	}
	if r.probes == routerProbes || now.Sub(r.probed) < routerProbe {
		return false, false
	}
	r.probes++
	r.probed = now
	return true, true
}

func (r *Router) probeEnded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probes--
}

// routerPauseAfter is how long what failed so often is left alone, from the first time
// on.
func routerPauseAfter(times int) time.Duration {
	return min(routerPause<<min(times, 8), routerPauseMax)
}

// noteUnread has it logged, now and then, that some records of an answer cannot be read.
func (r *Router) noteUnread(n int, first error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if !r.odd.IsZero() && now.Sub(r.odd) < routerTellAgain {
		return
	}
	r.odd = now
	r.log.Warn("a delegated router gives records that cannot be read; its others are used", "url", r.url, "records", n, "first", first)
}

// note counts a failure at a block, or that there was none.
func (r *Router) note(c cid.Cid, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, key := r.now(), string(c.Hash())
	if err == nil {
		if r.failing {
			r.log.Info("a delegated router answers again", "url", r.url)
		}
		delete(r.blocks, key)
		r.failed, r.until, r.failing = 0, time.Time{}, false
		return
	}
	was, known := r.blocks[key]
	for old := range r.blocks {
		if known || len(r.blocks) < routerFailed {
			break
		}
		delete(r.blocks, old)
	}
	r.blocks[key] = failed{was.times + 1, now.Add(routerPauseAfter(was.times))}
	if !known {
		r.failed++
	}
	if over := r.failed - routerPatience; over >= 0 && (!known || !now.Before(r.until)) {
		r.until = now.Add(routerPauseAfter(over))
	}
	if !r.failing || now.Sub(r.told) >= routerTellAgain {
		r.log.Warn("a delegated router fails; others are asked without it", "url", r.url, "failures", r.failed, "error", err)
		r.failing, r.told = true, now
	}
}

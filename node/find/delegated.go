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
	// How long a router may take for one lookup, from the connection to the last record.
	// Kubo waits 15 s, and servers give up after 3 to 5 s.
	routerTimeout = 10 * time.Second
	// How many bytes and records a router may answer to one lookup. At 300 bytes a record
	// that is many times what is used.
	routerAnswer  = 1 << 20
	routerRecords = 256

	// A router that failed for so many different blocks in a row is left alone for a time,
	// which doubles with each further block. Else every lookup would wait for it. A block
	// for which it failed is not looked up there for such a time either. It counts once,
	// since the failure may be about that block alone.
	routerPatience = 3
	routerPause    = 30 * time.Second
	routerPauseMax = 10 * time.Minute
	// Meanwhile it is asked for other blocks now and then, and is asked for all again after
	// the first answer. So lookups of what it knows hardly suffer from those for which it
	// fails.
	routerProbe  = time.Second
	routerProbes = 4 // at a time, of 16 lookups
	// So many blocks for which it failed are remembered.
	routerFailed = 256
	// How often a router that goes on failing is logged.
	routerTellAgain = time.Hour
)

// errSlowRouter: a lookup at a router took too long.
var errSlowRouter = fmt.Errorf("no answer, or not all of it, within %v", routerTimeout)

// Router is a delegated router, which answers over HTTP which peers have a block, and at which
// addresses a peer is: https://specs.ipfs.tech/routing/http-routing-v1/. If it fails, it just
// knows nobody.
type Router struct {
	url    string // without a password, for the log
	client *client.Client
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	failed  int               // different blocks in a row
	blocks  map[string]failed // for which it failed, by multihash
	probes  int               // that run
	probed  time.Time         // when the last one was begun
	until   time.Time         // it is left alone until then
	told    time.Time         // when it was last logged that it fails
	failing bool              // it was logged that it fails
	odd     time.Time         // when it was last logged that it gives records that cannot be read
}

var _ routing.ContentDiscovery = (*Router)(nil)

// failed says how often a router has failed for a block.
type failed struct {
	times int
	until time.Time // it is not asked for the block before
}

// RouterConfig is how a [Router] is reached.
type RouterConfig struct {
	// URL is the router's, with or without /routing/v1 at its end.
	URL string
	// Transport sends the requests; nil is one of its own. The operator chose the URL, but
	// not where its name leads, nor where an answer redirects to.
	Transport http.RoundTripper
	// UserAgent is sent to the router; "" is boxo's.
	UserAgent string
	// Logger gets a line when the router fails, and when it answers again.
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

// NewRouter makes a router. It does not connect to it.
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
		// Records of all ways in which this node can fetch. Filtering the answers here
		// as well would hide a router's errors.
		client.WithProtocolFilter([]string{"unknown", "transport-bitswap", "transport-ipfs-gateway-http"}),
		client.WithDisabledLocalFiltering(true),
	)
	if err != nil {
		return nil, fmt.Errorf("delegated router: %w", err)
	}
	return r, nil
}

// defaultTransport gives up on a host that does not answer, well before a lookup ends.
func defaultTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 5 * time.Second
	t.MaxIdleConnsPerHost = 16 // as many as there are lookups at the same time
	return t
}

// sameHost follows redirects within the host that the operator named, and no others: a
// router's answer must not send requests elsewhere.
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
			return // the caller has enough: the router did not fail
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
		return addrs, ctx.Err() // the router did not fail
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

// addrInfo reads a record. It gives the zero value if the record is not about a peer.
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

// ready reports whether the router is to be asked for a block. If that is a probe, the caller
// calls probeEnded at its end.
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

// routerPauseAfter is the pause after so many failures; 0 is the first one.
func routerPauseAfter(times int) time.Duration {
	return min(routerPause<<min(times, 8), routerPauseMax)
}

// noteUnread logs, now and then, that some records of an answer cannot be read.
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

// note counts a failure for a block, or a success if err is nil.
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

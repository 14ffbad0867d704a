package rpc

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"golang.org/x/time/rate"
)

const (
	// Each search sends some dozens of messages to others. So an account that is no admin
	// may begin searchBurst at once, and from then on one in searchEvery.
	searchBurst = 10
	searchEvery = 10 * time.Second
	// searchers is how many accounts' searches are remembered.
	searchers = 4096

	// defaultProviders is Kubo's, and maxProviders more than a search gives.
	defaultProviders = 20
	maxProviders     = 1000
)

// searches counts the searches of accounts.
type searches struct {
	mu  sync.Mutex
	all *simplelru.LRU[string, *rate.Limiter]
}

func newSearches() *searches {
	all, _ := simplelru.NewLRU[string, *rate.Limiter](searchers, nil) // fails for a size below 1 alone
	return &searches{all: all}
}

// take counts a search. Its error says when the next may begin.
func (s *searches) take(account string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.all.Get(account)
	if !ok {
		l = rate.NewLimiter(rate.Every(searchEvery), searchBurst)
		s.all.Add(account, l)
	}
	if l.Allow() {
		return nil
	}
	f := fail(http.StatusTooManyRequests, codeRate, "the account may search %d times at once, and then once in %v", searchBurst, searchEvery)
	f.retryAfter = searchEvery
	return f
}

// findProviders streams who is said to have a block, as Kubo's notifications of type
// [routing.Provider].
func findProviders(q *call) error {
	count := q.values.number("num-providers", defaultProviders)
	if count < 1 {
		return refuse("number of providers must be greater than 0")
	}
	p, err := parsePath(q.args[0])
	if err != nil {
		return err
	}
	if len(p.Segments()) > 2 {
		return refuse("%q is a path: providers are found for a CID", shorten(q.args[0]))
	}
	if q.who.RequireAdmin() != nil {
		if err := q.searches.take(q.account); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(q.ctx)
	defer cancel()
	count = min(count, maxProviders)
	given := map[peer.ID]bool{} // a search gives a peer again that has new addresses
	for found := range q.Providers(ctx, p.RootCid()) {
		if given[found.ID] {
			continue
		}
		if err := q.out.emit(&routing.QueryEvent{Type: routing.Provider, Responses: []*peer.AddrInfo{&found}}); err != nil {
			return err
		}
		q.out.flush() // who asks wants the first as soon as it is known
		if given[found.ID] = true; int64(len(given)) == count {
			break
		}
	}
	if err := q.ctx.Err(); err != nil {
		return err
	}
	q.out.end()
	return nil
}

// Connection is one to a peer, and what that peer says of itself.
type Connection struct {
	Peer, Addr string
	Direction  network.Direction
	Latency    time.Duration // 0 is not known
	Streams    []string      // the protocol of each
	PublicKey  string        // as protobuf, in base64; "" if it is not known
	Addresses  []string      // of the peer; each ends in /p2p/ID
	Agent      string
	Protocols  []string
}

type (
	swarmStream   struct{ Protocol string }
	swarmIdentify struct {
		ID, PublicKey string
		Addresses     []string
		AgentVersion  string
		Protocols     []string
	}
	swarmPeer struct {
		Addr      string            `json:",omitempty"`
		Peer      string            `json:",omitempty"`
		Latency   string            `json:",omitempty"`
		Muxer     string            `json:",omitempty"` // which Kubo leaves empty too
		Direction network.Direction `json:",omitempty"`
		Streams   []swarmStream     `json:",omitempty"`
		Identify  swarmIdentify
	}
)

// swarmPeers lists the connections to peers.
func swarmPeers(q *call) error {
	wants := func(what string) bool { return q.values.is("verbose", false) || q.values.is(what, false) }
	var out struct{ Peers []swarmPeer }
	for _, c := range q.Connections() {
		p := swarmPeer{Addr: c.Addr, Peer: c.Peer}
		if wants("direction") {
			p.Direction = c.Direction
		}
		if wants("latency") {
			p.Latency = "n/a"
			if c.Latency > 0 {
				p.Latency = c.Latency.String()
			}
		}
		if wants("streams") {
			for _, name := range clean(c.Streams) {
				p.Streams = append(p.Streams, swarmStream{name})
			}
		}
		if wants("identify") {
			slices.Sort(c.Addresses)
			p.Identify = swarmIdentify{c.Peer, c.PublicKey, c.Addresses, cleanOne(c.Agent), clean(c.Protocols)}
		}
		out.Peers = append(out.Peers, p)
	}
	slices.SortFunc(out.Peers, func(a, b swarmPeer) int {
		return cmp.Or(strings.Compare(a.Addr, b.Addr), strings.Compare(a.Peer, b.Peer))
	})
	return q.out.one(out)
}

// clean gives texts that peers chose, sorted. Nil stays nil.
func clean(texts []string) (out []string) {
	for _, s := range texts {
		out = append(out, cleanOne(s))
	}
	slices.Sort(out)
	return out
}

// cleanOne makes a text that a peer chose fit for a terminal: 128 characters, as Kubo has it,
// and none that controls how others are shown.
func cleanOne(s string) string {
	const enough = 128
	out := []rune(strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))))
	return string(out[:min(len(out), enough)])
}

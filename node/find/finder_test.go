package find

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

func finder(t *testing.T, cfg Config, sources ...routing.ContentDiscovery) *Finder {
	cfg.Sources = sources
	f := New(cfg)
	t.Cleanup(f.Close)
	return f
}

const (
	addrA = "/ip4/192.0.2.1/tcp/4001"
	addrB = "/ip4/192.0.2.2/udp/4001/quic-v1"
	addrH = "/dns4/gateway.example.com/tcp/443/tls/http"
)

// What comes first is given first, whoever it comes from, and once.
func TestFinderMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := finder(t, Config{Self: who(9).ID},
			source{steps: []step{{3 * time.Second, who(1, addrA)}, {time.Second, who(2, addrB)}}},
			source{steps: []step{{time.Second, who(2, addrB)}, {time.Second, who(9, addrA)}, {3 * time.Second, who(3, addrH)}}},
		)
		same(t, collect(f.FindProvidersAsync(t.Context(), key(0), 0)), who(2, addrB), who(1, addrA), who(3, addrH))
	})
}

// A peer comes again with what is new of it, and with nothing else.
func TestFinderGivesNewAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := finder(t, Config{}, source{steps: []step{
			{time.Second, who(1, addrA)}, {time.Second, who(1, addrA, addrB)}, {time.Second, who(1, addrB, addrA)}, {time.Second, who(1)},
		}})
		same(t, collect(f.FindProvidersAsync(t.Context(), key(0), 0)), who(1, addrA), who(1, addrB))
	})
}

// A source that hangs keeps neither answers nor the end from coming.
func TestFinderIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := finder(t, Config{},
			source{hangs: true},
			source{steps: []step{{time.Second, who(1, addrA)}}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		ch := f.FindProvidersAsync(ctx, key(0), 0)
		same(t, []peer.AddrInfo{<-ch}, who(1, addrA))
		if took := time.Since(began); took != time.Second {
			t.Errorf("the answer took %v", took)
		}
		same(t, collect(ch))
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

func TestFinderStopsAtCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		for i := range 2 * maxProviders {
			steps = append(steps, step{0, who(i, addrA)})
		}
		f := finder(t, Config{}, source{steps: steps, hangs: true})
		for count, want := range map[int]int{1: 1, 7: 7, 0: maxProviders, maxProviders + 1: maxProviders} {
			if got := len(collect(f.FindProvidersAsync(t.Context(), key(0), count))); got != want {
				t.Errorf("with count %d came %d", count, got)
			}
		}
	})
}

// Peers that were of use are given before any source has answered, and do not
// count.
func TestFinderGivesRecentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{First: func() []peer.AddrInfo { return []peer.AddrInfo{who(7, addrA), who(8, addrB)} }}
		f := finder(t, cfg, source{steps: []step{{0, who(1, addrA)}, {0, who(7, addrA)}, {0, who(2, addrA)}}})
		same(t, collect(f.FindProvidersAsync(t.Context(), key(0), 2)), who(7, addrA), who(8, addrB), who(1, addrA), who(2, addrA))
	})
}

// A peer without an address is given once there is one.
func TestFinderResolves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Resolve: func(ctx context.Context, p peer.ID) ([]ma.Multiaddr, error) {
			time.Sleep(2 * time.Second)
			if p == who(1).ID {
				return who(1, addrB).Addrs, nil
			}
			return nil, errors.New("unknown")
		}}
		f := finder(t, cfg, source{steps: []step{{0, who(1)}, {0, who(3)}, {0, who(1)}, {time.Second, who(2, addrA)}}})
		same(t, collect(f.FindProvidersAsync(t.Context(), key(0), 0)), who(2, addrA), who(1, addrB))
	})
}

// A source that names peers without addresses for ever has few looked up.
func TestFinderResolvesFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, now, most := 0, 0, 0
		mu := make(chan struct{}, 1)
		cfg := Config{Resolve: func(ctx context.Context, _ peer.ID) ([]ma.Multiaddr, error) {
			mu <- struct{}{}
			tries++
			now++
			most = max(most, now)
			<-mu
			time.Sleep(time.Second)
			mu <- struct{}{}
			now--
			<-mu
			return nil, errors.New("unknown")
		}}
		var steps []step
		for i := range 2000 {
			steps = append(steps, step{0, who(i)})
		}
		f := finder(t, cfg, source{steps: steps})
		same(t, collect(f.FindProvidersAsync(t.Context(), key(0), 0)))
		if tries != maxResolves || most != resolvesAtOnce {
			t.Errorf("%d were looked up, %d at the same time", tries, most)
		}
	})
}

// Addresses of one peer are given up to a number.
func TestFinderBoundsAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var many []string
		for i := range 3 * maxAddrs {
			many = append(many, fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+1))
		}
		f := finder(t, Config{}, source{steps: []step{{0, who(1, many...)}, {0, who(1, addrB)}}})
		same(t, collect(f.FindProvidersAsync(t.Context(), key(0), 0)), who(1, many[:maxAddrs]...))
	})
}

// Close ends what goes on, and what comes after finds nobody.
func TestFinderCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{Sources: []routing.ContentDiscovery{source{hangs: true}}})
		ch := f.FindProvidersAsync(context.Background(), key(0), 0)
		f.Close()
		f.Close()
		same(t, collect(ch))
		same(t, collect(f.FindProvidersAsync(context.Background(), key(0), 0)))
	})
}

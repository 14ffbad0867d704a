package find_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/find"
)

func at(port int) ma.Multiaddr { return ma.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", port)) }

// What a slow source knows comes later, and nobody waits for it who has something to try.
func TestPeerLookupsGiveWhatIsKnownSoFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := func(context.Context, peer.ID) ([]ma.Multiaddr, error) { return nil, errors.New("broken") }
		slow := func(context.Context, peer.ID) ([]ma.Multiaddr, error) {
			time.Sleep(5 * time.Second)
			return []ma.Multiaddr{at(1), at(2)}, nil
		}
		quick := func(context.Context, peer.ID) ([]ma.Multiaddr, error) { return []ma.Multiaddr{at(1)}, nil }
		ps := find.NewPeerLookups(nil, fails, slow, quick)
		defer ps.Close()
		began := time.Now()
		addrs, err := ps.Find(t.Context(), "p")
		if err != nil || len(addrs) != 1 || time.Since(began) != 0 {
			t.Fatalf("at first: %v, %v, after %v", addrs, err, time.Since(began))
		}
		time.Sleep(6 * time.Second)
		if addrs, err := ps.Find(t.Context(), "p"); err != nil || len(addrs) != 2 {
			t.Errorf("later: %v, %v", addrs, err)
		}
	})
}

// However many want a peer it is looked up once at a time, and not again too soon.
func TestPeersAreLookedUpNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lookups atomic.Int64
		var known atomic.Bool
		ps := find.NewPeerLookups(nil, func(context.Context, peer.ID) ([]ma.Multiaddr, error) {
			lookups.Add(1)
			time.Sleep(time.Second)
			if known.Load() {
				return []ma.Multiaddr{at(1)}, nil
			}
			return nil, nil
		})
		defer ps.Close()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := ps.Find(t.Context(), "p"); !errors.Is(err, find.ErrUnknownPeer) {
					t.Errorf("the error is %v", err)
				}
			})
		}
		all.Wait()
		if n := lookups.Load(); n != 1 {
			t.Errorf("%d lookups at the same time", n)
		}
		for range 3600 {
			time.Sleep(time.Second)
			ps.Find(t.Context(), "p")
		}
		if n := lookups.Load(); n < 5 || n > 15 {
			t.Errorf("%d lookups of a peer that nobody knows, in an hour", n)
		}
		known.Store(true)
		time.Sleep(10 * time.Minute)
		if addrs, err := ps.Find(t.Context(), "p"); err != nil || len(addrs) != 1 {
			t.Errorf("once it is known: %v, %v", addrs, err)
		}
		before := lookups.Load()
		for range 60 {
			time.Sleep(10 * time.Second)
			ps.Find(t.Context(), "p")
		}
		if n := lookups.Load() - before; n < 5 || n > 10 {
			t.Errorf("%d lookups of a peer that is known, in ten minutes", n)
		}
	})
}

// A lookup that is never answered ends, and who does not wait for it need not.
func TestPeerLookupsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := find.NewPeerLookups(nil, func(ctx context.Context, _ peer.ID) ([]ma.Multiaddr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ps.Find(ctx, "p"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not wait: %v", err)
		}
		if _, err := ps.Find(t.Context(), "p"); !errors.Is(err, find.ErrUnknownPeer) {
			t.Errorf("who waits: %v", err)
		}
		go ps.Find(t.Context(), "q")
		synctest.Wait()
		ps.Close()
		ps.Close()
		if _, err := ps.Find(t.Context(), "after"); !errors.Is(err, find.ErrUnknownPeer) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Lookups of peers can be shared out as those of blocks are.
func TestPeerLookupsAsASource(t *testing.T) {
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	ps := find.NewPeerLookups(nil, func(_ context.Context, p peer.ID) ([]ma.Multiaddr, error) {
		if p != id {
			return nil, fmt.Errorf("asked for %s", p)
		}
		return []ma.Multiaddr{at(1)}, nil
	})
	defer ps.Close()
	var got []peer.AddrInfo
	for _, c := range []cid.Cid{peer.ToCid(id), dagtest.Raw("no peer").Cid()} {
		for ai := range ps.FindProvidersAsync(t.Context(), c, 0) {
			got = append(got, ai)
		}
	}
	if len(got) != 1 || got[0].ID != id || len(got[0].Addrs) != 1 {
		t.Errorf("got %v", got)
	}
}

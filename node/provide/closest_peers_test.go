package provide

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

// post is a sender that remembers who got what, and some of whose peers fail.
type post struct {
	*network
	dead map[peer.ID]bool
	got  map[peer.ID]int
	sent int
}

func (s *post) SendMessage(_ context.Context, p peer.ID, _ *pb.Message) error {
	s.sent++
	if s.dead[p] {
		return errors.New("it is dead")
	}
	s.got[p]++
	return nil
}

func newPost(n int) *post {
	return &post{network: newNetwork(n), dead: make(map[peer.ID]bool), got: make(map[peer.ID]int)}
}

// aimAt makes an aim that knows everybody.
func aimAt(s *post, told func(multihash.Multihash)) *aim {
	n := s.network.network("wan")
	n.Sender = s
	a := newAim(n, told)
	for _, p := range s.peers {
		a.see([]peer.ID{p.id}, time.Now())
	}
	return a
}

// tell sends a key to any peers, as the provider does.
func tell(a *aim, key multihash.Multihash, to []peer.ID) (failed int) {
	m := pb.NewMessage(pb.Message_ADD_PROVIDER, key, 0)
	for _, p := range to {
		if a.SendMessage(context.Background(), p, m) != nil {
			failed++
		}
	}
	return failed
}

// some gives n peers that have nothing to do with anything.
func (w *network) some(n int) (ids []peer.ID) {
	for i := range n {
		ids = append(ids, w.peers[(i*37+11)%len(w.peers)].id)
	}
	return ids
}

func (w *network) responsible(key multihash.Multihash, n int) (ids []peer.ID) {
	at := sha256.Sum256(key)
	all := make([]simPeer, len(w.peers))
	copy(all, w.peers)
	slices.SortFunc(all, func(a, b simPeer) int { return compareDistance(at, a.key, b.key) })
	for _, p := range all[:n] {
		ids = append(ids, p.id)
	}
	return ids
}

// Whoever the provider means, those who are closest get it, each once.
func TestAim(t *testing.T) {
	s := newPost(1000)
	told := 0
	a := aimAt(s, func(multihash.Multihash) { told++ })
	for i := range 50 {
		key := hashOf(rootOf(i))
		want := s.responsible(key, replicas)
		for what, to := range map[string][]peer.ID{
			"strangers": s.some(replicas), "the right ones": want, "some of both": append(s.some(replicas/2), want[5:5+replicas/2]...),
		} {
			clear(s.got)
			told = 0
			if failed := tell(a, key, to); failed > 0 || told != replicas {
				t.Fatalf("%s: %d failed, told %d times", what, failed, told)
			}
			for _, p := range want {
				if s.got[p] != 1 {
					t.Fatalf("%s: one of the closest got it %d times", what, s.got[p])
				}
			}
		}
	}
	if len(a.rounds.Keys()) != 0 {
		t.Errorf("%d tellings are remembered", len(a.rounds.Keys()))
	}
}

// What some cannot take, the next do; and they are not tried for ever.
func TestAimWithDeadPeers(t *testing.T) {
	s := newPost(1000)
	a := aimAt(s, func(multihash.Multihash) {})
	key := hashOf(rootOf(0))
	want := s.responsible(key, replicas+4)
	for _, p := range want[3:7] {
		s.dead[p] = true
	}
	for range 3 {
		clear(s.got)
		if failed := tell(a, key, s.some(replicas)); failed > 0 {
			t.Errorf("%d failed", failed)
		}
		for i, p := range want {
			if live := i < 3 || i >= 7; (s.got[p] == 1) != live {
				t.Errorf("number %d got it %d times", i, s.got[p])
			}
		}
	}
	if want := 3*replicas + 4*targetFails; s.sent != want {
		t.Errorf("%d messages, want %d", s.sent, want)
	}
	// One that a lookup comes upon is tried again.
	delete(s.dead, want[3])
	a.see(want[3:4], time.Now())
	clear(s.got)
	tell(a, key, s.some(replicas))
	if s.got[want[3]] != 1 {
		t.Error("a peer that is back is left out")
	}
}

// A telling that was cut short leaves nothing to the next.
func TestAimBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPost(1000)
		a := aimAt(s, func(multihash.Multihash) {})
		key := hashOf(rootOf(0))
		tell(a, key, s.some(replicas/2))
		time.Sleep(roundLife + time.Second)
		clear(s.got)
		tell(a, key, s.some(replicas))
		for i, p := range s.responsible(key, replicas) {
			if s.got[p] != 1 {
				t.Errorf("number %d got it %d times", i, s.got[p])
			}
		}
	})
}

// When nobody can be reached the provider is told.
func TestAimWhenAllIsDown(t *testing.T) {
	s := newPost(100)
	a := aimAt(s, func(multihash.Multihash) { t.Error("told") })
	for _, p := range s.peers {
		s.dead[p.id] = true
	}
	if failed := tell(a, hashOf(rootOf(0)), s.some(replicas)); failed != replicas {
		t.Errorf("%d failed", failed)
	}
}

// Without knowing anybody it sends to whom the provider means.
func TestAimWithoutTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPost(100)
		told := 0
		a := aimAt(s, func(multihash.Multihash) { told++ })
		time.Sleep(targetLife + time.Second) // what it knew is too old
		a.sorted = nil
		to := s.some(replicas)
		if failed := tell(a, hashOf(rootOf(0)), to); failed > 0 || told != replicas {
			t.Errorf("%d failed, told %d times", failed, told)
		}
		for _, p := range to {
			if s.got[p] != 1 {
				t.Errorf("one got it %d times", s.got[p])
			}
		}
	})
}

// Other messages go where they are sent.
func TestAimLeavesOthersAlone(t *testing.T) {
	s := newPost(100)
	a := aimAt(s, func(multihash.Multihash) { t.Error("told") })
	p := s.peers[99].id
	if err := a.SendMessage(t.Context(), p, pb.NewMessage(pb.Message_PING, nil, 0)); err != nil || s.got[p] != 1 {
		t.Errorf("%v, got it %d times", err, s.got[p])
	}
	if _, err := a.SendRequest(t.Context(), p, pb.NewMessage(pb.Message_FIND_NODE, []byte("key"), 0)); err != nil {
		t.Error(err)
	}
}

// The peers nearest to a key are those that a look at all of them gives.
func TestAimNearest(t *testing.T) {
	for _, n := range []int{1, 5, 30, 700} {
		s := newPost(n)
		a := aimAt(s, nil)
		for i := range 200 {
			key := hashOf(rootOf(i))
			want := s.responsible(key, min(n, 25))
			for j, got := range a.nearest(sha256.Sum256(key), 25, time.Now()) {
				if got.id != want[j] {
					t.Fatalf("of %d peers, number %d of those nearest to %s is another", n, j, key)
				}
			}
		}
	}
}

// Without the aim, kad-dht tells peers that are not the closest, if there are enough
// to make regions of. Once this fails, closest_peers.go has had its time.
func TestLibraryMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(1000)
		n := w.network("wan")
		p, err := provider.New(provider.WithPeerID(n.Self), provider.WithSelfAddrs(n.Addrs), provider.WithMessageSender(w),
			provider.WithRouter(lookup(w.lookup)), provider.WithReplicationFactor(replicas))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		time.Sleep(soon)
		keys := hashes(rootsOf(2000))
		if err := p.StartProviding(true, keys...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		missed := 0
		for _, k := range keys {
			if least, sum := w.times(k); sum == 0 {
				t.Fatal("nobody was told of a key")
			} else if least == 0 {
				missed++
			}
		}
		if missed < len(keys)/2 {
			t.Errorf("of %d keys %d were not told to all of the closest", len(keys), missed)
		}
	})
}

// lookup is a function as kad-dht wants it.
type lookup func(context.Context, string) ([]peer.ID, error)

func (f lookup) GetClosestPeers(ctx context.Context, key string) ([]peer.ID, error) {
	return f(ctx, key)
}

package provide

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

const (
	// A peer that no lookup has met for this long is no target any more.
	targetLife = 3 * time.Hour
	// Nor is one that failed this often in a row, until a lookup meets it again.
	targetFails = 2
	// Spare targets beside those that should have a key, in place of those that fail. As
	// many are tried for one message, as far as its time allows.
	spareTargets = 5
	// How many keys are announced at the same time at most: those of some regions.
	aimRounds = 1 << 16
	// An announcement that lasts longer than this was cut short: the network stopped, or
	// there were fewer messages than replicas. The next message begins a new one. It is far
	// more than a region takes, and far less than the time between two announcements.
	roundLife = time.Hour
)

// aim sends each key to the peers that are closest to it.
//
// The sweeping provider of kad-dht v0.42.2 finds all peers of a region, but then assigns the
// region's keys by the wrong bits: the trie of the peers begins below the region's prefix,
// that of the keys at the root (AllocateToKClosest of RegionsFromPeers and
// AssignKeysToRegions). Each key goes to twenty peers of its region, which often are not the
// closest ones. In a network of 10,000 peers, 13 of the 20 closest get it on average. In two
// of a hundred cases none of them does, and then nobody finds it. So aim sends the message
// that was meant for the n-th peer to one of the twenty that are closest, among all peers
// that lookups have met of late. Where the provider chose well it changes nothing.
//
// If a peer does not take a key, the next one gets it. A peer that failed twice is left out
// until a lookup meets it again.
type aim struct {
	replicas int
	closest  func(context.Context, string) ([]peer.ID, error)
	sender   pb.MessageSender
	told     func(multihash.Multihash)

	mu      sync.Mutex
	targets map[peer.ID]*target
	sorted  []*target // by key; nil if it has to be made anew
	rounds  *lru.Cache[string, *round]
}

// target is a peer of the network that may get keys.
type target struct {
	id    peer.ID
	key   [32]byte
	seen  time.Time // when a lookup last met it
	fails int       // in a row
}

// round is one announcement of a key.
type round struct {
	at    time.Time // of its first message
	next  []*target // those not chosen yet, the closest first
	due   int       // how many of these should get the key
	begun int       // messages that were begun
}

func newAim(n Network, told func(multihash.Multihash)) *aim {
	a := &aim{replicas: n.Replicas, closest: n.Closest, sender: n.Sender, told: told, targets: make(map[peer.ID]*target)}
	a.rounds, _ = lru.New[string, *round](aimRounds) // fails for a size below 1 alone
	return a
}

// GetClosestPeers implements the provider's router.
func (a *aim) GetClosestPeers(ctx context.Context, key string) ([]peer.ID, error) {
	ids, err := a.closest(ctx, key)
	a.see(ids, time.Now())
	return ids, err
}

// see notes the peers that a lookup met.
func (a *aim) see(ids []peer.ID, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		t := a.targets[id]
		if t == nil {
			t = &target{id: id, key: sha256.Sum256([]byte(id))}
			a.targets[id] = t
			a.sorted = nil
		}
		t.seen, t.fails = now, 0
	}
}

// SendRequest implements [pb.MessageSender].
func (a *aim) SendRequest(ctx context.Context, p peer.ID, m *pb.Message) (*pb.Message, error) {
	return a.sender.SendRequest(ctx, p, m)
}

// SendMessage implements [pb.MessageSender].
func (a *aim) SendMessage(ctx context.Context, p peer.ID, m *pb.Message) error {
	if m.GetType() != pb.Message_ADD_PROVIDER {
		return a.sender.SendMessage(ctx, p, m)
	}
	r := a.begin(m.GetKey())
	var err error
	for try := 0; try <= spareTargets; try++ {
		t := a.choose(r, p)
		if t == nil {
			break
		}
		err = a.sender.SendMessage(ctx, t.id, m)
		a.note(t, err)
		if err == nil {
			a.told(m.GetKey())
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
	if err == nil { // no closer peer is known
		if err = a.sender.SendMessage(ctx, p, m); err == nil {
			a.told(m.GetKey())
		}
	}
	return err
}

// begin counts one more message with a key.
func (a *aim) begin(key []byte) *round {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	r, ok := a.rounds.Get(string(key))
	if !ok || now.Sub(r.at) > roundLife {
		r = &round{at: now, next: a.nearest(sha256.Sum256(key), a.replicas+spareTargets, now), due: a.replicas}
		a.rounds.Add(string(key), r)
	}
	if r.begun++; r.begun == a.replicas {
		a.rounds.Remove(string(key)) // the last message of this announcement
	}
	return r
}

// choose gives the peer that gets a key which the provider meant for p; nil if none is left.
func (a *aim) choose(r *round, p peer.ID) *target {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.next = slices.DeleteFunc(r.next, func(t *target) bool { return t.fails >= targetFails })
	if len(r.next) == 0 {
		return nil
	}
	// One for each message that is left; those behind them are spare.
	due := r.next[:min(len(r.next), max(r.due, 1))]
	i := max(0, slices.IndexFunc(due, func(t *target) bool { return t.id == p }))
	t := r.next[i]
	r.next = slices.Delete(r.next, i, i+1)
	r.due--
	return t
}

// note records whether a peer took a key.
func (a *aim) note(t *target, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		t.fails = 0
		return
	}
	if t.fails++; t.fails >= targetFails && a.targets[t.id] == t {
		delete(a.targets, t.id)
		a.sorted = nil
	}
}

// nearest gives the n targets that are closest to a key, in that order. The lock is held.
func (a *aim) nearest(key [32]byte, n int, now time.Time) []*target {
	if a.sorted == nil {
		for id, t := range a.targets {
			if now.Sub(t.seen) > targetLife {
				delete(a.targets, id)
				continue
			}
			a.sorted = append(a.sorted, t)
		}
		slices.SortFunc(a.sorted, func(x, y *target) int { return bytes.Compare(x.key[:], y.key[:]) })
	}
	// The targets with the most leading bits in common are neighbours in the order of
	// keys.
	from, to := 0, len(a.sorted)
	for bit := 0; bit < 256; bit++ {
		mid := from + partition(a.sorted[from:to], bit)
		f, t := from, mid
		if key[bit/8]&(0x80>>(bit%8)) != 0 {
			f, t = mid, to
		}
		if t-f < n {
			break
		}
		from, to = f, t
	}
	near := slices.Clone(a.sorted[from:to])
	slices.SortFunc(near, func(x, y *target) int { return compareDistance(key, x.key, y.key) })
	return near[:min(len(near), n)]
}

// partition gives how many of the sorted targets do not have a bit set. All bits before that
// one are the same in all of them.
func partition(ts []*target, bit int) int {
	i, _ := slices.BinarySearchFunc(ts, struct{}{}, func(t *target, _ struct{}) int {
		if t.key[bit/8]&(0x80>>(bit%8)) != 0 {
			return 0
		}
		return -1
	})
	return i
}

// compareDistance compares how far x and y are from a key, by XOR.
func compareDistance(key, x, y [32]byte) int {
	for i := range key {
		if x[i] != y[i] {
			return cmp.Compare(x[i]^key[i], y[i]^key[i])
		}
	}
	return 0
}

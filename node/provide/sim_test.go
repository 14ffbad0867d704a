package provide

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

// replicas is how many peers keep a record, as in the public DHT.
const replicas = 20

// network is a simulated DHT: peers with an ID each, of which every one knows
// some others as Kademlia has it, and that count what they are sent.
type network struct {
	peers []simPeer // in the order of their keys
	byID  map[peer.ID]int
	seed  uint64

	provider peer.ID // who provides all that is provided

	up        atomic.Bool
	addresses atomic.Bool
	requests  atomic.Int64 // FIND_NODE
	records   atomic.Int64 // ADD_PROVIDER
	lookups   atomic.Int64 // for the peers closest to a key

	mu    sync.Mutex
	keeps map[string]map[int]int // by key, by peer: how often it was told
	each  func(key multihash.Multihash)
}

type simPeer struct {
	id  peer.ID
	key [32]byte
}

// newNetwork makes a DHT of n peers, the same for the same n.
func newNetwork(n int) *network {
	w := &network{byID: make(map[peer.ID]int, n), seed: uint64(n), keeps: make(map[string]map[int]int)}
	for i := range n {
		id := simID(uint64(i))
		w.peers = append(w.peers, simPeer{id, sha256.Sum256([]byte(id))})
	}
	slices.SortFunc(w.peers, func(a, b simPeer) int { return bytes.Compare(a.key[:], b.key[:]) })
	for i, p := range w.peers {
		w.byID[p.id] = i
	}
	w.up.Store(true)
	w.addresses.Store(true)
	return w
}

func simID(n uint64) peer.ID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("peer"), n))
	h, err := multihash.Encode(sum[:], multihash.SHA2_256)
	if err != nil {
		panic(err)
	}
	return peer.ID(h)
}

// within gives the range of peers whose keys have the first n bits of a key.
func (w *network) within(key [32]byte, n int) (from, to int) {
	low, high := key, key
	for i := n; i < 256; i++ {
		low[i/8] &^= 0x80 >> (i % 8)
		high[i/8] |= 0x80 >> (i % 8)
	}
	from, _ = slices.BinarySearchFunc(w.peers, low, func(p simPeer, k [32]byte) int { return bytes.Compare(p.key[:], k[:]) })
	to, _ = slices.BinarySearchFunc(w.peers, high, func(p simPeer, k [32]byte) int {
		if c := bytes.Compare(p.key[:], k[:]); c != 0 {
			return c
		}
		return -1
	})
	return from, to
}

// closestTo gives the peers responsible for a key, the closest first.
func (w *network) closestTo(key [32]byte) []int {
	from, to := 0, len(w.peers)
	for n := 1; n < 256; n++ {
		f, t := w.within(key, n)
		if t-f < replicas {
			break
		}
		from, to = f, t
	}
	all := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return w.nearest(key, all)
}

// nearest gives those of some peers that are closest to a key.
func (w *network) nearest(key [32]byte, of []int) []int {
	slices.SortFunc(of, func(a, b int) int {
		for i := range key {
			if c := int(w.peers[a].key[i]^key[i]) - int(w.peers[b].key[i]^key[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	return of[:min(len(of), replicas)]
}

// knows gives the peers that one has in its routing table: up to 20 of those
// that have as many bits in common with it, for each number of bits.
func (w *network) knows(i int) []int {
	random := rand.New(rand.NewPCG(w.seed, uint64(i)))
	var all []int
	for n := range 256 {
		far := w.peers[i].key
		far[n/8] ^= 0x80 >> (n % 8)
		from, to := w.within(far, n+1)
		if to-from <= replicas {
			for j := from; j < to; j++ {
				all = append(all, j)
			}
		} else {
			for _, j := range random.Perm(to - from)[:replicas] {
				all = append(all, from+j)
			}
		}
		if a, b := w.within(w.peers[i].key, n+1); b-a <= 1 {
			break // it is alone with these bits
		}
	}
	return all
}

var errDown = errors.New("the network is down")

// lookup is [Network].Closest by one who knows everybody.
func (w *network) lookup(_ context.Context, key string) ([]peer.ID, error) {
	if !w.up.Load() {
		return nil, errDown
	}
	w.lookups.Add(1)
	var ids []peer.ID
	for _, i := range w.closestTo(sha256.Sum256([]byte(key))) {
		ids = append(ids, w.peers[i].id)
	}
	return ids, nil
}

// SendMessage implements [pb.MessageSender].
func (w *network) SendMessage(_ context.Context, p peer.ID, m *pb.Message) error {
	if !w.up.Load() {
		return errDown
	}
	i, ok := w.byID[p]
	if !ok {
		return errors.New("no such peer")
	}
	if m.GetType() != pb.Message_ADD_PROVIDER {
		return nil
	}
	w.records.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	key := string(m.GetKey())
	if w.keeps[key] == nil {
		w.keeps[key] = make(map[int]int, replicas)
	}
	w.keeps[key][i]++
	if w.each != nil {
		w.each(multihash.Multihash(m.GetKey()))
	}
	return nil
}

// SendRequest implements [pb.MessageSender].
func (w *network) SendRequest(_ context.Context, p peer.ID, m *pb.Message) (*pb.Message, error) {
	if !w.up.Load() {
		return nil, errDown
	}
	i, ok := w.byID[p]
	if !ok || m.GetType() != pb.Message_FIND_NODE && m.GetType() != pb.Message_GET_PROVIDERS {
		return nil, errors.New("no answer")
	}
	w.requests.Add(1)
	answer := pb.NewMessage(m.GetType(), m.GetKey(), 0)
	if m.GetType() == pb.Message_GET_PROVIDERS && w.has(i, m.GetKey()) {
		answer.ProviderPeers = pb.RawPeerInfosToPBPeers([]peer.AddrInfo{{ID: w.provider, Addrs: []ma.Multiaddr{simAddr}}})
	}
	var infos []peer.AddrInfo
	for _, j := range w.nearest(sha256.Sum256(m.GetKey()), w.knows(i)) {
		infos = append(infos, peer.AddrInfo{ID: w.peers[j].id, Addrs: []ma.Multiaddr{simAddr}})
	}
	answer.CloserPeers = pb.RawPeerInfosToPBPeers(infos)
	return answer, nil
}

// OnDisconnect implements [pb.MessageSenderWithDisconnect].
func (*network) OnDisconnect(context.Context, peer.ID) {}

var simAddr = ma.StringCast("/ip4/192.0.2.1/tcp/4001")

// network gives the DHT to a provider.
func (w *network) network(name string) Network {
	return Network{
		Name: name, Self: simID(1 << 40), Replicas: replicas, Closest: w.lookup, Sender: w,
		Addrs: func() []ma.Multiaddr {
			if !w.addresses.Load() {
				return nil
			}
			return []ma.Multiaddr{simAddr}
		},
	}
}

// times is how often those who should have a key were told of it: at least, and
// by all together.
func (w *network) times(key multihash.Multihash) (least, sum int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	least = -1
	for _, i := range w.closestTo(sha256.Sum256(key)) {
		if n := w.keeps[string(key)][i]; least < 0 || n < least {
			least = n
		}
	}
	for _, n := range w.keeps[string(key)] {
		sum += n
	}
	return max(least, 0), sum
}

// forget makes everybody forget what they were told.
func (w *network) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.keeps)
}

func (w *network) watch(each func(multihash.Multihash)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.each = each
}

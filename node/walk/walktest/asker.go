package walktest

import (
	"math/rand/v2"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
)

// Network has blocks, and sends them to the askers that it gives out.
type Network struct {
	mu     sync.Mutex
	blocks map[string]blocks.Block // by multihash
	askers map[*Asker]struct{}
	asked  map[string]int // by multihash
}

// NewNetwork makes a network that has some blocks.
func NewNetwork(have ...blocks.Block) *Network {
	n := &Network{blocks: make(map[string]blocks.Block), askers: make(map[*Asker]struct{}), asked: make(map[string]int)}
	n.Add(have...)
	return n
}

// Add gives the network more blocks, and sends those that are waited for.
func (n *Network) Add(have ...blocks.Block) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range have {
		n.blocks[string(b.Cid().Hash())] = b
	}
	for a := range n.askers {
		a.deliver()
	}
}

// Asked is how often blocks were asked for in all.
func (n *Network) Asked() (times int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range n.asked {
		times += k
	}
	return times
}

// Asker is a walk.Asker. It answers at once, in an order that follows from its seed.
type Asker struct {
	n     *Network
	room  int
	rng   *rand.Rand
	ready chan struct{}

	open  map[string]cid.Cid // by multihash
	inbox []exchange.Arrival
}

// Asker gives an asker of which so many blocks may be asked for at a time. Close
// ends it.
func (n *Network) Asker(room int, seed uint64) *Asker {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := &Asker{
		n: n, room: room, rng: rand.New(rand.NewPCG(seed, 1)),
		ready: make(chan struct{}, 1), open: make(map[string]cid.Cid),
	}
	n.askers[a] = struct{}{}
	return a
}

// Close ends all that the asker asks for.
func (a *Asker) Close() {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	delete(a.n.askers, a)
}

// deliver puts what is there of what is open into the inbox.
func (a *Asker) deliver() {
	var come []exchange.Arrival
	for key, c := range a.open {
		b, ok := a.n.blocks[key]
		if !ok {
			continue
		}
		delete(a.open, key)
		// As the network says it, whatever was asked for.
		b, err := blocks.NewBlockWithCid(b.RawData(), cid.NewCidV1(c.Type(), c.Hash()))
		if err != nil {
			panic(err)
		}
		come = append(come, exchange.Arrival{Block: b, From: peer.ID("source")})
	}
	a.rng.Shuffle(len(come), func(i, j int) { come[i], come[j] = come[j], come[i] })
	a.inbox = append(a.inbox, come...)
	if len(come) > 0 {
		select {
		case a.ready <- struct{}{}:
		default:
		}
	}
}

// Ask implements walk.Asker.
func (a *Asker) Ask(cs ...cid.Cid) {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	for _, c := range cs {
		a.open[string(c.Hash())] = c
		a.n.asked[string(c.Hash())]++
	}
	a.deliver()
}

// Forget implements walk.Asker.
func (a *Asker) Forget(cs ...cid.Cid) {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	for _, c := range cs {
		delete(a.open, string(c.Hash()))
	}
}

// Room implements walk.Asker.
func (a *Asker) Room() int {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	return a.room - len(a.open)
}

// Ready implements walk.Asker.
func (a *Asker) Ready() <-chan struct{} { return a.ready }

// Has implements walk.Asker.
func (a *Asker) Has() bool {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	return len(a.inbox) > 0
}

// Take implements walk.Asker.
func (a *Asker) Take() []exchange.Arrival {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	as := a.inbox
	a.inbox = nil
	return as
}

// Stats implements walk.Asker.
func (a *Asker) Stats() exchange.SessionStats { return exchange.SessionStats{Sources: 1} }

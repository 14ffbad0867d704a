package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// roomModel does to a room what the engine and its peers may do, in any order.
type roomModel struct {
	*testing.T
	r      *room
	random *rand.Rand
	serial uint64
	zeros  []byte
	asked  map[cid.Cid]peer.ID // blocks that are to be sent, or are under way

	mu    sync.Mutex // guards what follows, which calls of enter change
	calls []*roomCall
}

// roomCall is a call of enter.
type roomCall struct {
	p      peer.ID
	m      message.BitSwapMessage
	cancel context.CancelFunc
	over   bool
	turn   *turn
	err    error
}

// enter has a message wait for its turn.
func (m *roomModel) enter() {
	ctx, cancel := context.WithCancel(context.Background())
	c := &roomCall{p: m.peer(), m: message.New(false), cancel: cancel}
	sizes := []int{1, 100, messageLeast, messageSize / 5, messageSize/4 + 1, messageSize / 2, messageSize, 2 * messageSize}
	size := sizes[m.random.IntN(len(sizes))]
	if m.random.IntN(100) == 0 {
		size = m.r.memory // twice as much as there is
	}
	for range 1 + m.random.IntN(2) {
		m.serial++
		id := dagtest.Block(cid.Raw, binary.BigEndian.AppendUint64(nil, m.serial)).Cid()
		b, err := blocks.NewBlockWithCid(m.zeros[:size], id)
		if err != nil {
			m.Fatal(err)
		}
		c.m.AddBlock(b)
		m.asked[id] = c.p
	}
	m.calls = append(m.calls, c)
	go func() {
		t, err := m.r.enter(ctx, c.p, c.m)
		m.mu.Lock()
		defer m.mu.Unlock()
		c.over, c.turn, c.err = true, t, err
	}()
}

func (m *roomModel) peer() peer.ID { return peer.ID(fmt.Sprint(m.random.IntN(12))) }

// blocksOf gives the blocks that are sent in a turn.
func blocksOf(m message.BitSwapMessage, gone []cid.Cid) []cid.Cid {
	all := slices.Clone(gone)
	for _, b := range m.Blocks() {
		all = append(all, b.Cid())
	}
	return all
}

// any gives a call that is under way, or one that waits.
func (m *roomModel) any(going bool) *roomCall {
	var those []*roomCall
	for _, c := range m.calls {
		if c.over == going {
			those = append(those, c)
		}
	}
	if len(those) == 0 {
		return nil
	}
	return those[m.random.IntN(len(those))]
}

// leave ends a turn that is under way.
func (m *roomModel) leave() {
	if c := m.any(true); c != nil {
		m.ends(c.p, blocksOf(c.turn.m, c.turn.gone))
		m.calls = slices.DeleteFunc(m.calls, func(o *roomCall) bool { return o == c })
		m.r.leave(c.turn)
	}
}

// withdraw cancels a call that waits.
func (m *roomModel) withdraw() {
	if c := m.any(false); c != nil {
		for _, t := range m.r.paths[c.p].waiting {
			if t.m == c.m { // with all that went into it
				m.ends(c.p, blocksOf(t.m, t.gone))
			}
		}
		c.cancel()
	}
}

// ends notes that blocks are not to be sent any more.
func (m *roomModel) ends(p peer.ID, bs []cid.Cid) {
	for _, b := range bs {
		if m.asked[b] != p {
			m.Fatalf("a block for %q is sent to %q, or twice", m.asked[b], p)
		}
		delete(m.asked, b)
	}
}

func (m *roomModel) step() {
	switch n := m.random.IntN(100); {
	case n < 50:
		m.enter()
	case n < 75:
		m.leave()
	case n < 80:
		m.withdraw()
	case n < 90:
		if c := m.any(true); c != nil {
			m.r.moved(c.turn, 1+m.random.IntN(c.turn.size))
		}
	case n < 92:
		m.r.answered(m.peer(), time.Duration(m.random.IntN(int(time.Second))))
	case n < 94:
		m.r.sweep(time.Now())
	case n < 99:
		time.Sleep(time.Duration(m.random.IntN(int(windowTime))))
	default: // the peers are slow
		time.Sleep(2 * pathKept)
	}
}

// check looks at what is left after a step.
func (m *roomModel) check() {
	m.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = slices.DeleteFunc(m.calls, func(c *roomCall) bool {
		if errors.Is(c.err, errTakesNothing) {
			m.ends(c.p, blocksOf(c.m, nil))
		}
		return c.over && c.turn == nil
	})
	r := m.r
	r.mu.Lock()
	defer r.mu.Unlock()

	going, waiting, held, largest := 0, 0, 0, 0
	sizes := make(map[*path]int)
	for _, c := range m.calls {
		if c.turn != nil {
			going += c.turn.cost()
			sizes[c.turn.path] += c.turn.size
			largest = max(largest, c.turn.cost())
		} else {
			waiting++
		}
	}
	lines := slices.Concat(r.lines[:]...)
	for p, pa := range r.paths {
		for _, t := range pa.waiting {
			waiting--
			if t.held {
				held += t.cost()
			} else if len(t.m.Blocks()) > 0 {
				m.Errorf("a message to %q has blocks that count for nothing", p)
			}
		}
		if pa.used != sizes[pa] {
			m.Errorf("%d bytes are under way to %q, want %d", pa.used, p, sizes[pa])
		}
		delete(sizes, pa)
		first := len(pa.waiting) > 0 && pa.used == 0
		if first != (len(pa.waiting) > 0 && slices.Contains(lines, pa.waiting[0])) {
			m.Errorf("the first message to %q, with %d bytes under way, is at the wrong place", p, pa.used)
		}
		if first {
			lines = slices.DeleteFunc(lines, func(t *turn) bool { return t == pa.waiting[0] })
		}
	}
	switch {
	case waiting != 0 || len(sizes) > 0 || len(lines) > 0:
		m.Errorf("%d more calls than turns wait; %d paths and %d places are left over", waiting, len(sizes), len(lines))
	case r.waits > 0 && going == 0:
		m.Errorf("%d wait, and nothing is under way", r.waits)
	case r.going != going || r.used != going+held:
		m.Errorf("%d bytes of %d are said to be under way, %d of %d are", r.going, r.used, going, going+held)
	case r.used > r.memory+largest:
		m.Errorf("%d bytes of %d are used", r.used, r.memory)
	}
	n := 0
	for _, pa := range r.paths {
		n += len(pa.waiting)
	}
	if n != r.waits {
		m.Errorf("%d turns wait, want %d", r.waits, n)
	}
}

// Whatever comes, with too little memory: as long as a message waits, another one is under way;
// what is counted is what there is; and each block is sent once, to the peer that asked for it.
func TestRoomModel(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				r := newRoom(Limits{Memory: 1, OutstandingBytes: 1 << (10 + random.IntN(10))}.withDefaults())
				r.memory = 1 << (18 + random.IntN(3))
				m := &roomModel{T: t, r: r, random: random, zeros: make([]byte, max(r.memory, 2*messageSize)), asked: make(map[cid.Cid]peer.ID)}
				defer func() {
					for _, c := range m.calls {
						c.cancel()
					}
				}()
				for i := 0; i < 1000 && !t.Failed(); i++ {
					m.step()
					m.check()
				}
				for len(m.calls) > 0 && !t.Failed() {
					m.leave()
					m.check()
				}
				if len(m.asked) > 0 && !t.Failed() {
					t.Errorf("%d blocks are not sent: %v", len(m.asked), slices.Collect(maps.Keys(m.asked)))
				}
			})
		})
	}
}

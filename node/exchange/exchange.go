package exchange

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/internal/awake"
)

// Network is what the exchange needs of Bitswap's network layer. Boxo's bsnet is one.
type Network interface {
	NewMessageSender(context.Context, peer.ID, *network.MessageSenderOpts) (network.MessageSender, error)
	Connect(context.Context, peer.AddrInfo) error
	// Protect keeps a connection from being closed to make room for others.
	Protect(p peer.ID, tag string)
	Unprotect(p peer.ID, tag string) bool
}

// Finder finds providers.
type Finder interface {
	// Find gives peers that are said to have a block, as it finds them. Then it closes the
	// channel, at the latest soon after ctx ends. about is that of the session that
	// looks for the block. The finder bounds how many searches run at the same time and
	// what each takes, and is fair to all.
	Find(ctx context.Context, about string, c cid.Cid) <-chan peer.AddrInfo
}

// Config is what an exchange works with.
type Config struct {
	Network Network
	// Finder is asked when no connected peer has what is wanted. Nil: nothing is searched.
	Finder Finder
	// Gateways gives the gateways of a provider that are asked over HTTP. Nil: none.
	Gateways func(peer.AddrInfo) []Gateway
	// Received is called with the blocks that a peer sent and that were wanted. Bitswap's
	// server serves peers first that have sent some. Nil is nothing.
	Received func(from peer.ID, bs []blocks.Block)
	// Logger is where it logs; nil discards.
	Logger *slog.Logger

	now func() time.Time // for tests of a process that was stopped; nil is time.Now
}

// Exchange keeps the wants of all sessions. It is a receiver of the network, and the caller
// starts the network with it. Its methods may be called concurrently.
type Exchange struct {
	cfg  Config
	log  *slog.Logger
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	awake *awake.Clock // knows when the process did not run

	mu       sync.Mutex
	closed   bool
	lines    map[peer.ID]*line
	wants    map[string]*want // by multihash
	sessions map[*Session]struct{}
	seeking  map[*want]struct{}  // wants that are broadcast
	busy     int                 // lines that are asked for blocks, and send some
	waiting  int                 // sessions with blocks in their inboxes
	first    int                 // bytes in the inboxes of sessions that have taken nothing yet
	requests int                 // requests under way to gateways
	idle     int                 // those of them to gateways that give nothing
	health   map[peer.ID]*health // of gateways
	ended    ended
	stalls   uint64
	gaps     recentMax

	blocks, bytes, twice, again atomic.Uint64
}

var _ network.Receiver = (*Exchange)(nil)

// want is a block that sessions wait for.
type want struct {
	cid      cid.Cid
	key      string // its multihash
	sessions []*Session
	asks     []*ask
	since    time.Time
	searched time.Time       // when providers were last looked for
	ctx      context.Context // while it is sought, ends with that
	unsought context.CancelFunc
	overdue  bool                 // a line that was asked for it has not answered for long
	told     time.Time            // while it is sought, when lines were last asked whether they have it
	retried  time.Time            // while it is sought, when it was last broadcast anew, or first
	missed   bool                 // some lines could not be asked, since they had other questions
	named    map[peer.ID]struct{} // the providers that the last search for it named

	narrow     time.Time     // while it is sought of one line alone, since when; else zero
	retryAfter time.Duration // while it is sought, the time from retried to the next broadcast
}

// askState is what is known of an ask.
type askState uint8

const (
	askBlock askState = iota // the block was asked for
	askHave                  // it was asked whether it is there
	askLacks                 // the peer lacks it, and will send it if it gets it
)

// ask is a want that was sent down a line.
type ask struct {
	want  *want
	line  *line
	by    *Session // the session for which it counts
	state askState
	first time.Time // when it was sent
	sent  time.Time // when it was sent last
	again int       // how often it was sent again
}

// New starts an exchange. The caller starts the network with it, and closes it after the
// network has stopped and all sessions are closed.
func New(cfg Config) *Exchange {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	x := &Exchange{
		cfg:      cfg,
		awake:    awake.New(cfg.now),
		log:      cfg.Logger,
		lines:    make(map[peer.ID]*line),
		wants:    make(map[string]*want),
		sessions: make(map[*Session]struct{}),
		seeking:  make(map[*want]struct{}),
		health:   make(map[peer.ID]*health),
	}
	x.ctx, x.stop = context.WithCancel(context.Background())
	x.wg.Go(x.watch)
	return x
}

// Close ends everything that the exchange does, and waits for that. It may be called twice.
func (x *Exchange) Close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.stop()
	x.wg.Wait()
}

// PeerConnected implements [network.Receiver].
func (x *Exchange) PeerConnected(p peer.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || x.lines[p] != nil {
		return
	}
	l := newLine(x, p)
	x.lines[p] = l
	for s := range x.sessions {
		if s.isOrigin(p) {
			s.addSource(l, isNamed)
		}
	}
	for s := range x.sessions {
		s.assign()
	}
	for w := range x.seeking {
		x.seekAt(w, l)
	}
}

// PeerDisconnected implements [network.Receiver].
func (x *Exchange) PeerDisconnected(p peer.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lines[p]
	if l == nil {
		return
	}
	delete(x.lines, p)
	l.gone = true
	if !l.sending {
		l.hangUp()
	}
	for s := range l.sources {
		s.removeSource(l)
	}
	x.takeBack(l)
}

// takeBack asks other lines for what a line was asked.
func (x *Exchange) takeBack(l *line) {
	for w, a := range l.asks {
		blocks := a.state == askBlock
		x.drop(a)
		if l.gateway != nil {
			l.request(entry{cid: w.cid, cancel: true})
		}
		if blocks && !w.isAsked() {
			w.requeue()
		}
	}
	for s := range x.sessions {
		s.assign()
	}
}

// ReceiveError implements [network.Receiver]. Nothing has to be done: findLost notices what
// a broken stream has lost.
func (x *Exchange) ReceiveError(err error) { x.log.Debug("a Bitswap message is broken", "err", err) }

// ReceiveMessage implements [network.Receiver].
func (x *Exchange) ReceiveMessage(_ context.Context, p peer.ID, m message.BitSwapMessage) {
	bs, haves, lacks := m.Blocks(), m.Haves(), m.DontHaves()
	if len(bs)+len(haves)+len(lacks) == 0 {
		return
	}
	if wanted := x.receive(p, false, bs, haves, lacks); len(wanted) > 0 && x.cfg.Received != nil {
		x.cfg.Received(p, wanted)
	}
}

// receive takes in the answers of a line, which is a peer's or a gateway's, and gives the blocks
// that were wanted.
func (x *Exchange) receive(p peer.ID, gateway bool, bs []blocks.Block, haves, lacks []cid.Cid) (wanted []blocks.Block) {
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lines[p] // nil if it has just gone: its blocks are good all the same
	touched := map[*Session]struct{}{}
	full, odd := l != nil && l.full(), false
	for _, b := range bs {
		w := x.wants[string(b.Cid().Hash())]
		if w == nil {
			x.twice.Add(1)
			if l != nil && l.open > 0 && !x.ended.has(b.Cid()) {
				l.strange++
				odd = true
			}
			continue
		}
		if l != nil {
			if a := l.asks[w]; a != nil {
				l.answered(a, len(b.RawData()), now)
			}
		}
		for _, s := range w.sessions {
			touched[s] = struct{}{}
			if l != nil {
				s.addSource(l, sentBlock)
			}
		}
		if !w.fits(len(b.RawData())) {
			x.putOff(w, l)
			continue
		}
		if b.Cid() != w.cid { // the sender may give it another codec
			b, _ = blocks.NewBlockWithCid(b.RawData(), w.cid) // which checks nothing
		}
		wanted = append(wanted, b)
		if l != nil {
			l.sent = now
		}
		x.blocks.Add(1)
		x.bytes.Add(uint64(len(b.RawData())))
		for _, s := range w.sessions {
			s.arrived(Arrival{Block: b, From: p, Gateway: gateway}, now)
		}
		x.forget(w, l)
	}
	if l != nil {
		for _, c := range haves {
			if w := x.wants[string(c.Hash())]; w != nil {
				l.last = now
				for _, s := range w.sessions {
					touched[s] = struct{}{}
				}
				x.has(w, l)
			}
		}
		for _, c := range lacks {
			if a := l.asks[x.wants[string(c.Hash())]]; a != nil {
				l.last = now
				for _, s := range a.want.sessions {
					touched[s] = struct{}{}
				}
				x.lacks(a)
			}
		}
	}
	if odd {
		l.blame(now)
	}
	if full && !l.full() { // there is room for all
		for s := range l.sources {
			touched[s] = struct{}{}
		}
	}
	for s := range touched {
		s.assign()
		s.tell()
	}
	return wanted
}

// has notes that a line has a block: the line becomes a source, and is asked for it.
func (x *Exchange) has(w *want, l *line) {
	a := l.asks[w]
	if a != nil && a.state == askBlock {
		return // it was asked for the block already
	}
	for _, s := range w.sessions {
		s.addSource(l, saidHave)
	}
	if a != nil {
		x.drop(a) // the old question has nothing to do with the ask that follows
	}
	if !w.isAsked() {
		w.requeue()
	}
}

// lacks notes that a line does not have a block.
func (x *Exchange) lacks(a *ask) {
	w, l := a.want, a.line
	if a.state == askLacks {
		return
	}
	l.count(a, -1)
	a.state = askLacks
	l.question(w, true)
	if !w.isAsked() {
		w.requeue()
	}
	x.widen(w)
}

// putOff drops a block for which there is no room. It is asked for again when there is.
func (x *Exchange) putOff(w *want, l *line) {
	if l != nil {
		if a := l.asks[w]; a != nil {
			x.drop(a) // the peer takes it for answered
		}
	}
	x.again.Add(1)
	for _, s := range w.sessions {
		s.again++
	}
	if !w.isAsked() {
		w.requeue()
	}
}

// isAsked reports whether the block is asked for anywhere.
func (w *want) isAsked() bool {
	for _, a := range w.asks {
		if a.state == askBlock {
			return true
		}
	}
	return false
}

// requeue puts a want first in the queues of its sessions.
func (w *want) requeue() {
	for _, s := range w.sessions {
		s.parked.remove(w)
		s.queue.putFirst(w)
	}
}

// drop forgets an ask on this side. The peer is not told.
func (x *Exchange) drop(a *ask) {
	a.line.count(a, -1)
	delete(a.line.asks, a.want)
	a.line.questions.remove(a.want)
	for i, o := range a.want.asks {
		if o == a {
			a.want.asks = append(a.want.asks[:i], a.want.asks[i+1:]...)
			break
		}
	}
}

// forget ends a want, and cancels its asks. The line by which the block came needs no
// cancel.
func (x *Exchange) forget(w *want, by *line) {
	for len(w.asks) > 0 {
		a := w.asks[len(w.asks)-1]
		x.drop(a)
		if a.line != by {
			a.line.cancel(w.cid)
		}
		if a.line.gateway == nil { // if it is wanted anew, the peer is tried again
			delete(a.line.health.odd, w.key)
		}
	}
	x.unseek(w)
	for _, s := range w.sessions {
		s.part(w)
	}
	w.sessions = nil
	delete(x.wants, w.key)
	x.ended.add(w.key)
}

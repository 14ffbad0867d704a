package exchange

import (
	"math"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// line is a peer that is connected, or a gateway that is in use. The exchange's lock
// guards it.
type line struct {
	x      *Exchange
	id     peer.ID
	gone   bool
	window window
	health *health

	gateway Gateway            // nil for a peer
	fetches map[string]*fetch  // by multihash, under way to the gateway
	rest    map[*Session]*rest // of a gateway that ails
	stuck   map[*Session]int   // requests to a gateway that take much longer than others

	toldOdd    bool      // it was logged that it answers oddly
	strange    int       // blocks that it sent and nobody asked for
	silences   int       // how often in a row it has lost all that was asked
	wide       int       // the window before a message was too large; 0 if none was
	held       time.Time // after such a message, until when it is asked nothing; zero if it is asked
	lossyUntil time.Time // when the window may be as wide again

	asks      map[*want]*ask
	open      int                // how many of the asks are for blocks
	counts    map[*Session]int   // the same for each session
	questions queue              // wants of the other asks, the oldest first
	sources   map[*Session]proof // the sessions that it is a source of, and by what
	last      time.Time          // when it last answered anything
	lastBlock time.Time          // when it last sent a block that it was asked for
	sent      time.Time          // when it last sent a block that was wanted
	newest    time.Time          // when the newest ask was sent that it has answered

	out      []entry // to be sent
	priority int32   // of the last want that was sent; priorities go down, so that answers come in order
	sending  bool    // a goroutine sends, and owns sender
	sender   network.MessageSender
}

// entry is a line of a message.
type entry struct {
	cid    cid.Cid
	have   bool // asks whether the block is there
	lacks  bool // and asks to be told if it is not
	cancel bool
}

func newLine(x *Exchange, id peer.ID) *line {
	return &line{
		x: x, id: id, window: newWindow(),
		health: newHealth(), asks: make(map[*want]*ask), counts: make(map[*Session]int), sources: make(map[*Session]proof),
	}
}

// count adds an ask to those that are open, or takes it away.
func (l *line) count(a *ask, n int) {
	if a.state != askBlock {
		return
	}
	l.open += n
	if l.counts[a.by] += n; l.counts[a.by] == 0 {
		delete(l.counts, a.by)
	}
}

// delivers reports whether the line is asked for blocks and sends some. A line that only
// promises blocks takes no room from others.
func (l *line) delivers(now time.Time) bool {
	return l.open > 0 && now.Sub(l.lastBlock) < deliversFor
}

// question gives a want a place among the questions of the line. If all places are taken, it
// takes a question back: with force the oldest; else the oldest if that had time to be
// answered; else, if the line is named as having this want, the oldest for which it is not
// named. It reports false if there is no place.
func (l *line) question(w *want, force bool) bool {
	for l.questions.len() >= questionsMost && !l.questions.has(w) {
		out := l.questions.front()
		if !force && time.Since(l.asks[out].first) < questionAge {
			if !w.isNamed(l) {
				return false
			}
			if out = l.questions.first(func(o *want) bool { return !o.isNamed(l) }); out == nil {
				return false
			}
		}
		if time.Since(l.asks[out].first) < questionAge {
			out.missed = true // it may not have been answered
		}
		l.x.drop(l.asks[out])
		l.cancel(out.cid)
	}
	l.questions.put(w)
	return true
}

// ask sends a want down the line for a session, or sends it again. If it is not for a block,
// the caller has got it a place by question.
func (l *line) ask(w *want, by *Session, state askState, now time.Time) {
	a := l.asks[w]
	if a == nil {
		a = &ask{want: w, line: l, by: by, state: state, first: now}
		l.asks[w] = a
		w.asks = append(w.asks, a)
		l.count(a, 1)
	} else if a.state != state {
		l.count(a, -1)
		a.by, a.state, a.again, a.first = by, state, 0, now
		l.count(a, 1)
	}
	if state == askBlock {
		l.questions.remove(w)
	}
	if l.open == 1 && state == askBlock {
		l.last = now // its silence begins here
	}
	a.sent = now
	l.send(entry{cid: w.cid, have: state == askHave, lacks: !w.narrow.IsZero()})
}

// answered notes that an ask was answered.
func (l *line) answered(a *ask, bytes int, now time.Time) {
	l.last, l.silences = now, 0
	if a.sent.After(l.newest) {
		l.newest = a.sent
	}
	if a.state == askBlock {
		l.lastBlock = now
		// An ask that was sent again may be answered for the first time. It counts from then,
		// or a slow peer would seem to be a quick one.
		l.window.answered(now.Sub(a.first), bytes, l.open)
	}
}

// cancel tells the peer that a block is not wanted any more.
func (l *line) cancel(c cid.Cid) { l.send(entry{cid: c, cancel: true}) }

// room is how many more asks for blocks the line takes from a session. The sessions that use
// the line divide its window among them.
func (l *line) room(s *Session) int {
	if l.gone || !l.held.IsZero() || s.crowded() {
		return 0
	}
	most := l.window.room(l.x.busy)
	if l.gateway != nil {
		most = min(most, l.open+l.slots(time.Now()))
		if l.isHeldBack(s) {
			return min(1-l.counts[s], most-l.open)
		}
	}
	users := len(l.counts)
	if l.stuck[s] == 0 {
		for o, n := range l.stuck {
			if at := l.counts[o]; at > 0 && at <= n {
				users-- // all of its requests are stuck
			}
		}
	}
	if l.counts[s] == 0 {
		users++
	}
	return min(most-l.open, max(1, most/users)-l.counts[s])
}

// full reports that no session has room.
func (l *line) full() bool { return l.open >= l.window.room(l.x.busy) }

// send puts an entry into the next message.
func (l *line) send(e entry) {
	if l.gone || l.x.closed {
		return
	}
	if l.gateway != nil {
		l.request(e)
		return
	}
	l.out = append(l.out, e)
	if !l.sending {
		l.sending = true
		l.x.wg.Go(l.run)
	}
}

// run sends messages until there is nothing to send. While one is sent, the next is gathered.
func (l *line) run() {
	for {
		l.x.mu.Lock()
		out := l.out
		l.out = nil
		if len(out) == 0 || l.gone || l.x.ctx.Err() != nil {
			l.sending = false
			l.hangUp()
			l.x.mu.Unlock()
			return
		}
		l.x.mu.Unlock()
		// What cannot be sent is lost. Either the network says that the peer is gone, or
		// findLost misses the answer.
		if err := l.deliver(out); err != nil {
			l.x.log.Debug("cannot send to a peer", "peer", l.id, "err", err)
		}
	}
}

// deliver sends entries in one message, on a stream that stays open.
func (l *line) deliver(out []entry) (err error) {
	if l.sender == nil {
		l.sender, err = l.x.cfg.Network.NewMessageSender(l.x.ctx, l.id, &network.MessageSenderOpts{
			MaxRetries: sendTries, SendTimeout: sendTimeout, SendErrorBackoff: sendBackoff,
		})
		if err != nil {
			l.sender = nil
			return err
		}
	}
	return l.sender.SendMsg(l.x.ctx, l.message(out, l.sender.SupportsHave()))
}

// hangUp closes the stream of a peer that is gone. No goroutine may be sending.
func (l *line) hangUp() {
	if l.gone && l.sender != nil {
		_ = l.sender.Reset() // nothing follows from an error
		l.sender = nil
	}
}

const (
	sendTries   = 3
	sendTimeout = 30 * time.Second
	sendBackoff = 100 * time.Millisecond
)

// message makes a message of entries. Of several entries for one block the last counts.
func (l *line) message(out []entry, haves bool) message.BitSwapMessage {
	m := message.New(false)
	for _, e := range out {
		m.Remove(e.cid) // else the message would keep a cancel that was taken back
		switch {
		case e.cancel:
			m.Cancel(e.cid)
		case e.have && haves:
			m.AddEntry(e.cid, l.nextPriority(), pb.Message_Wantlist_Have, e.lacks)
		default:
			// A peer that does not know questions is asked for the block.
			m.AddEntry(e.cid, l.nextPriority(), pb.Message_Wantlist_Block, haves)
		}
	}
	return m
}

func (l *line) nextPriority() int32 {
	if l.priority <= 0 {
		l.priority = math.MaxInt32
	}
	l.priority--
	return l.priority
}

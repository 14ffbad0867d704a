package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// An origin that does not answer is tried again after this, and then after
	// twice as long each time.
	dialAgain    = 2 * time.Second
	dialAgainMax = time.Minute
	dialTimeout  = 20 * time.Second
	// A connection to an origin is looked at this often, though its end is told.
	originCheck = 30 * time.Second
	// One that ends after this long is made again at once; one that ends sooner, and
	// most likely was refused, like one that could not be made.
	lastingConn = 500 * time.Millisecond
)

// origins keeps a fetch connected to where its DAG is said to be.
type origins struct {
	n      *Node
	job    pin.Job
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	notes []string // by origin, why it is not dialled; "" if it is
}

// startOrigins dials the origins of a job in the background until stop.
func (n *Node) startOrigins(ctx context.Context, job pin.Job) *origins {
	o := &origins{n: n, job: job}
	ctx, o.cancel = context.WithCancel(ctx)
	infos := make(map[peer.ID]*peer.AddrInfo)
	var order []peer.ID
	for _, origin := range job.Origins {
		ai, err := peer.AddrInfoFromString(origin.Addr)
		if err != nil {
			continue // the pin's info says so; a hint is never an error
		}
		if have := infos[ai.ID]; have != nil {
			have.Addrs = append(have.Addrs, ai.Addrs...)
			continue
		}
		infos[ai.ID] = ai
		order = append(order, ai.ID)
	}
	o.notes = make([]string, len(order))
	for i, id := range order {
		if id == n.host.ID() {
			continue
		}
		o.wg.Go(func() { o.keep(ctx, i, *infos[id]) })
	}
	return o
}

// stop ends the dialling and waits for it.
func (o *origins) stop() {
	o.cancel()
	o.wg.Wait()
}

// keep connects to one origin, again and again, until ctx ends.
func (o *origins) keep(ctx context.Context, i int, ai peer.AddrInfo) {
	o.n.gater.name(ai.ID)
	defer o.n.gater.forget(ai.ID)
	tag := fmt.Sprintf("origin-%d", o.job.Attempt)
	o.n.host.ConnManager().Protect(ai.ID, tag)
	defer o.n.host.ConnManager().Unprotect(ai.ID, tag)

	hungUp, done := o.n.hangups.of(ai.ID)
	defer done()
	wait := dialAgain
	for {
		pause := originCheck
		dialled := time.Now()
		if err := o.dial(ctx, ai); err != nil {
			refused := refusal(err, ai)
			o.note(i, refused)
			if refused == "" { // else it costs nothing, and may connect to us
				pause, wait = wait, min(2*wait, dialAgainMax)
			}
			if ctx.Err() == nil {
				o.n.log.Debug("cannot reach an origin", "cid", o.job.DAG, "peer", ai.ID, "error", err, "retry_in", pause)
			}
		} else {
			wait = dialAgain
			o.note(i, "")
		}
		select {
		case <-ctx.Done():
			return
		case <-hungUp:
			if time.Since(dialled) >= lastingConn {
				continue
			}
			pause = dialAgain
		case <-time.After(pause):
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (o *origins) dial(ctx context.Context, ai peer.AddrInfo) error {
	switch o.n.host.Network().Connectedness(ai.ID) {
	case network.Connected, network.Limited: // by a relay: the origin makes it a direct one, if that can be
		return nil
	}
	// The host would keep what it is given, and try it again for others.
	good := o.n.gater.guard.Filter(ai.Addrs)
	if len(good) == 0 && len(ai.Addrs) > 0 {
		return o.n.gater.guard.Hint(ai.Addrs[0])
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return o.n.host.Connect(ctx, peer.AddrInfo{ID: ai.ID, Addrs: good})
}

// refusal names an address that was not dialled because it is private, if all
// that the dial failed by are such; "" if not.
func refusal(err error, ai peer.AddrInfo) string {
	if _, ok := errors.AsType[*guard.RefusedError](err); ok {
		return withPeer(ai.Addrs[0], ai.ID) // none of them is dialled
	}
	var de *swarm.DialError
	if !errors.As(err, &de) || len(de.DialErrors) == 0 {
		return ""
	}
	for _, te := range de.DialErrors {
		if !errors.Is(te.Cause, swarm.ErrGaterDisallowedConnection) {
			return ""
		}
	}
	return withPeer(de.DialErrors[0].Address, de.Peer)
}

// note says to the user which origins are not dialled, and what would help.
func (o *origins) note(i int, address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.notes[i] == address {
		return
	}
	o.notes[i] = address
	var refused []string
	for _, a := range o.notes {
		if a != "" {
			refused = append(refused, a)
		}
	}
	switch len(refused) {
	case 0:
		o.job.Progress.SetNote("")
	case 1:
		o.job.Progress.SetNote("origin " + refused[0] + " is at a private address or one of this server's own, and is not dialled while node.allow_private_addresses is off; waiting for a peer that connects to us")
	default:
		o.job.Progress.SetNote("origins " + strings.Join(refused, ", ") + " are at private addresses or this server's own, and are not dialled while node.allow_private_addresses is off; waiting for a peer that connects to us")
	}
}

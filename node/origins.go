package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// An origin that does not answer is tried again after this, and then after
	// twice as long each time.
	dialAgain    = 2 * time.Second
	dialAgainMax = time.Minute
	// How long a dial may take in all.
	dialTimeout = 20 * time.Second
	// If the addresses that a request named do not answer within this, the peer is looked
	// up meanwhile: most peers that can be reached answer within two seconds.
	firstDial = 5 * time.Second
	// Connections to origins are checked this often, though their end is reported.
	originCheck = 30 * time.Second
	// One that ends after this long is made again at once. One that ends sooner was most
	// likely refused, and is treated like one that could not be made.
	lastingConn = 500 * time.Millisecond

	// So many addresses, and so many peers, are taken from a /dnsaddr name.
	maxNameAddrs = 32
	maxNamePeers = 8
)

// origins keeps a fetch connected to the places where its DAG is said to be.
type origins struct {
	n      *Node
	job    pin.Job
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	notes  originNotes

	gateways []exchange.Gateway // of the origins that are asked by HTTP
}

// originPeer is a peer that requests name, by its ID, with the addresses that they give.
type originPeer struct {
	peer.AddrInfo
	from []pin.Origin // for each address, the origin that has it
}

// startOrigins dials the origins of a job in the background until stop.
func (n *Node) startOrigins(ctx context.Context, job pin.Job) *origins {
	o := &origins{n: n, job: job, notes: originNotes{set: job.Progress.SetNote}}
	o.ctx, o.cancel = context.WithCancel(ctx)
	peers := make(map[peer.ID]*originPeer)
	var order []*originPeer
	for _, origin := range job.Origins {
		a, err := ma.NewMultiaddr(origin.Addr)
		if err != nil {
			continue // the pin's info says so; a hint is never an error
		}
		if isHTTP(a) {
			o.addGateway(a)
			continue
		}
		if isDNSAddr(a) {
			o.wg.Go(func() { o.resolve(a) })
			continue
		}
		addr, id := peer.SplitAddr(a)
		if id == "" || id == n.host.ID() {
			continue
		}
		p := peers[id]
		if p == nil {
			p = &originPeer{AddrInfo: peer.AddrInfo{ID: id}}
			peers[id] = p
			order = append(order, p)
		}
		if len(addr) > 0 {
			p.Addrs, p.from = append(p.Addrs, addr), append(p.from, origin)
		}
	}
	for _, p := range order {
		o.wg.Go(func() { o.keep(*p) })
	}
	return o
}

// stop ends the dialling and waits for it.
func (o *origins) stop() {
	o.cancel()
	o.wg.Wait()
}

// addGateway takes up an origin that is asked by HTTP.
func (o *origins) addGateway(a ma.Multiaddr) {
	if o.n.gateways == nil {
		o.notes.put(a.String(), noteNoHTTP)
		return
	}
	gs := o.n.gateways.of(peer.AddrInfo{Addrs: []ma.Multiaddr{a}})
	if len(gs) == 0 {
		o.notes.put(a.String(), noteNoTransport)
	}
	o.gateways = append(o.gateways, gs...)
}

// isDNSAddr reports whether an address is a name alone, at which there is a list of
// addresses.
func isDNSAddr(a ma.Multiaddr) bool { return len(a) == 1 && a[0].Protocol().Code == ma.P_DNSADDR }

// resolve looks a /dnsaddr name up until it leads to somebody, and keeps connected to the
// peers that it names.
func (o *origins) resolve(name ma.Multiaddr) {
	for wait := dialAgain; ; wait = min(2*wait, dialAgainMax) {
		addrs, err := o.n.cfg.resolver.ResolveDNSAddr(o.ctx, "", name, maxNameAddrs, maxNameAddrs)
		var peers []peer.AddrInfo
		for _, a := range addrs {
			if addr, id := peer.SplitAddr(a); id != "" && id != o.n.host.ID() {
				peers = append(peers, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{addr}})
			}
		}
		if peers = merged(peers); len(peers) > 0 {
			o.notes.put(name.String(), "")
			for _, p := range peers[:min(len(peers), maxNamePeers)] {
				from := make([]pin.Origin, len(p.Addrs)) // a name gives no right to anything
				o.wg.Go(func() { o.keep(originPeer{p, from}) })
			}
			return
		}
		o.notes.put(name.String(), noteEmptyName)
		o.n.log.Debug("a name leads to no origin", "cid", o.job.DAG, "name", name, "error", err, "retry_in", wait)
		select {
		case <-o.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// merged puts the addresses of each peer together, and keeps the order of the peers.
func merged(all []peer.AddrInfo) (out []peer.AddrInfo) {
	place := make(map[peer.ID]int)
	for _, ai := range all {
		i, known := place[ai.ID]
		if !known {
			i = len(out)
			place[ai.ID] = i
			out = append(out, peer.AddrInfo{ID: ai.ID})
		}
		for _, a := range ai.Addrs {
			if len(a) > 0 {
				out[i].Addrs = append(out[i].Addrs, a)
			}
		}
	}
	return out
}

// keep connects to one origin, again and again, until the fetch ends.
func (o *origins) keep(p originPeer) {
	o.n.gater.name(p.ID)
	defer o.n.gater.forget(p.ID)
	tag := fmt.Sprintf("origin-%d", o.job.Attempt)
	o.n.host.ConnManager().Protect(p.ID, tag)
	defer o.n.host.ConnManager().Unprotect(p.ID, tag)
	for i, a := range p.Addrs {
		if o.n.gater.guard.Hint(a) != nil && o.n.gater.guard.Requester(p.from[i].From, a) == nil {
			defer o.n.gater.grants.Grant(p.ID, a)()
		}
	}

	hungUp, done := o.n.hangups.of(p.ID)
	defer done()
	wait := dialAgain
	for {
		pause := originCheck
		dialled := time.Now()
		if err := o.reach(p.AddrInfo); err != nil {
			note, at := o.why(err, p.AddrInfo)
			o.notes.put(at, note)
			if note == noteOther || o.n.router != nil { // else trying again is of no use: it may connect to us
				pause, wait = wait, min(2*wait, dialAgainMax)
			}
			if o.ctx.Err() == nil {
				o.n.log.Debug("cannot reach an origin", "cid", o.job.DAG, "peer", p.ID, "error", err, "retry_in", pause)
			}
		} else {
			wait = dialAgain
			note := noteOther
			if o.n.host.Network().Connectedness(p.ID) == network.Limited {
				note = noteRelayed
			}
			o.notes.put(nameOf(p.AddrInfo), note)
		}
		select {
		case <-o.ctx.Done():
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
		case <-o.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// errNoTransport is why a peer is not dialled at an address.
var errNoTransport = errors.New("there is no transport for the address")

// reach connects to a peer: at the addresses that it is given with, or at those that are
// found for it.
func (o *origins) reach(p peer.AddrInfo) error {
	switch o.n.host.Network().Connectedness(p.ID) {
	case network.Connected, network.Limited: // by a relay: the origin makes it a direct one, if that can be
		return nil
	}
	good, refused := o.dialable(p.ID, p.Addrs)
	timeout := dialTimeout
	if o.n.router != nil {
		timeout = firstDial
	}
	err := refused
	if refused == nil { // also without any address: the host may know some
		if err = o.dial(p.ID, good, timeout); err == nil {
			return nil
		}
	}
	if o.n.router == nil || o.ctx.Err() != nil {
		return err
	}
	// It may have moved, or be known by its ID alone.
	found, _ := o.dialable(p.ID, o.n.router.originAddrs(o.ctx, o.job.DAG, p.ID))
	found = ma.FilterAddrs(found, func(a ma.Multiaddr) bool { return !ma.Contains(good, a) })
	if len(found) == 0 && (len(good) == 0 || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	return o.dial(p.ID, append(found, good...), dialTimeout)
}

// dialable gives the addresses that may be dialled, and can be. If there is none, but some
// were given, err is why the first of them is not.
func (o *origins) dialable(id peer.ID, addrs []ma.Multiaddr) (good []ma.Multiaddr, err error) {
	for _, a := range addrs {
		why := o.n.gater.judge(id, a)
		if why == nil && !speaks(o.n.host.Network(), a) {
			why = errNoTransport
		}
		if why == nil {
			good = append(good, a)
		} else if err == nil {
			err = why
		}
	}
	if len(good) > 0 {
		return good, nil
	}
	return nil, err
}

// speaks reports whether a network has a transport for an address. A name that stands for
// whole addresses may lead to one.
func speaks(n network.Network, a ma.Multiaddr) bool {
	if len(a) > 0 && a[0].Protocol().Code == ma.P_DNSADDR {
		return true
	}
	s, ok := n.(interface {
		TransportForDialing(ma.Multiaddr) transport.Transport
	})
	return !ok || s.TransportForDialing(a) != nil
}

func (o *origins) dial(id peer.ID, addrs []ma.Multiaddr, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(o.ctx, timeout)
	defer cancel()
	return o.n.host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: addrs})
}

// why gives the note on an origin that was not reached, and the address that it is about.
func (o *origins) why(err error, p peer.AddrInfo) (note originNote, at string) {
	if _, ok := errors.AsType[*guard.RefusedError](err); ok {
		return notePrivate, nameOf(p) // none of them is dialled
	}
	if errors.Is(err, errNoTransport) {
		return noteNoTransport, nameOf(p)
	}
	var de *swarm.DialError
	if !errors.As(err, &de) {
		return noteOther, nameOf(p)
	}
	if errors.Is(de.Cause, swarm.ErrNoAddresses) {
		return noteNoAddress, nameOf(p)
	}
	// What names led to is known now.
	for _, one := range []struct {
		cause error
		note  originNote
	}{{swarm.ErrGaterDisallowedConnection, notePrivate}, {swarm.ErrNoTransport, noteNoTransport}} {
		if len(de.DialErrors) > 0 && allAre(de.DialErrors, one.cause) {
			return one.note, nameOf(p)
		}
	}
	return noteOther, nameOf(p)
}

// allAre reports whether all dials failed by the same cause.
func allAre(errs []swarm.TransportError, cause error) bool {
	for _, e := range errs {
		if !errors.Is(e.Cause, cause) {
			return false
		}
	}
	return true
}

// nameOf is what an origin is called in a note: its first address, with its ID.
func nameOf(p peer.AddrInfo) string {
	if len(p.Addrs) == 0 {
		return "/p2p/" + p.ID.String()
	}
	return withPeer(p.Addrs[0], p.ID)
}

// originAddrs gives addresses of a peer that a DAG's requests name, once it is the DAG's
// turn.
func (r *router) originAddrs(ctx context.Context, d pin.DAG, p peer.ID) []ma.Multiaddr {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for ai := range r.originLookups.Find(ctx, d, peer.ToCid(p)) {
		return ai.Addrs
	}
	return nil
}

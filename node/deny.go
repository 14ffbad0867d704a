package node

import (
	"context"
	"iter"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Denylist says which content the operator does not want here. Methods may be
// called concurrently, and are quick.
type Denylist interface {
	// Denied gives the reason why a block may not be fetched, announced or served, an
	// error that is a [pin.ErrDenied]; nil if it may. It is about the block's bytes,
	// whatever the codec and version of the CID.
	Denied(c cid.Cid) error
	// DeniedBelow gives a block that is here, is denied, and is below a node, if one is
	// known. Walks need it because they do not look below what is whole. After a change
	// it may take a while until such a block is known.
	DeniedBelow(d pin.DAG) (block cid.Cid, denied bool)
	// Changes gives how often answers may have changed since the start, and a channel
	// that is closed at the next change.
	Changes() (n uint64, next <-chan struct{})
}

// denied asks a denylist that may be nil.
func denied(d Denylist, c cid.Cid) error {
	if d == nil {
		return nil
	}
	return d.Denied(c)
}

// refuse is for [walk.Config]: it refuses a block that is denied, or that has a denied
// block below it. The log has the rule. The user learns only that there is one.
func (n *Node) refuse() func(cid.Cid) error {
	list := n.cfg.Denylist
	if list == nil {
		return nil
	}
	return func(c cid.Cid) error {
		if err := list.Denied(c); err != nil {
			n.log.Warn("a pin needs a block that is denied", "block", c, "err", err)
			return pin.Refused("block %s is on a denylist of this server", c)
		}
		if block, ok := list.DeniedBelow(pin.DAGOf(c)); ok {
			n.log.Warn("a pin needs a block that is denied", "block", block, "below", c, "err", list.Denied(block))
			return pin.Refused("block %s is on a denylist of this server", block)
		}
		return nil
	}
}

// announced leaves out DAGs that are denied: they are not served, so nobody should come
// here for them.
func announced(d Denylist, roots func(context.Context) iter.Seq2[pin.DAG, error]) func(context.Context) iter.Seq2[pin.DAG, error] {
	if d == nil || roots == nil {
		return roots
	}
	return func(ctx context.Context) iter.Seq2[pin.DAG, error] {
		return func(yield func(pin.DAG, error) bool) {
			for dag, err := range roots(ctx) {
				if err == nil && d.Denied(dag.CID()) != nil {
					continue
				}
				if !yield(dag, err) {
					return
				}
			}
		}
	}
}

// announceable reports whether a DAG may be announced: it is complete and not denied.
// complete may be nil.
func announceable(d Denylist, complete func(context.Context, pin.DAG) (bool, error)) func(context.Context, pin.DAG) (bool, error) {
	if d == nil {
		return complete
	}
	return func(ctx context.Context, dag pin.DAG) (bool, error) {
		switch {
		case d.Denied(dag.CID()) != nil:
			return false, nil
		case complete == nil:
			return true, nil
		}
		return complete(ctx, dag)
	}
}

// watchDenials withdraws what is newly denied from the network, and announces again what is
// no longer denied.
func (n *Node) watchDenials() {
	p := n.provider()
	if n.cfg.Denylist == nil || p == nil {
		return
	}
	n.wg.Go(func() {
		for {
			_, changed := n.cfg.Denylist.Changes()
			select {
			case <-changed:
				p.Compare()
			case <-n.ctx.Done():
				return
			}
		}
	})
}

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// What is pinned is kept by a node with the store, on this machine, or by a cluster. With a cluster
// there is no node, and what is asked of one has an empty answer.

// How a front takes turns. The peers do the work: a DAG that waits takes some 10 KiB here, and a look at its
// copies now and then.
const (
	// clusterSeekers is how many DAGs a front waits for at the same time. One that has no place is pinned by
	// the cluster all the same, but that is noticed only with its next turn.
	clusterSeekers = 4096
	// clusterSlice is two looks at one of so many: they are 8 s apart then. A cluster that has much to do comes
	// to a pin only after that, and one that is turned away too soon costs another turn.
	clusterSlice = 20 * time.Second
	// clusterPause: by then it may be pinned, and nobody would know.
	clusterPause = 10 * time.Second
	// clusterYield has 200 pins a second begin while clients wait, which is about what a cluster brings to its
	// nodes. With each a front makes calls, for which it takes longer than for the request.
	clusterYield = 5 * time.Millisecond
)

// startPins starts what keeps what is pinned, and then the manager of pins. A node calls the
// manager, too.
func (p *Program) startPins(ctx context.Context) error {
	place, err := p.startPlace(ctx)
	if err != nil {
		return err
	}
	cfg := pin.Config{
		Workers:      p.Config.Pin.Workers,
		StallTimeout: time.Duration(p.Config.Pin.StallTimeout),
		KeepPartial:  cmp.Or(time.Duration(p.Config.Pin.KeepPartial), -1), // 0 is the default of package pin
		Limits: pin.Limits{
			Bytes:  uint64(p.Config.Pin.MaxDAGBytes),
			Blocks: uint64(p.Config.Pin.MaxDAGBlocks),

			BlockBytes: uint64(p.Config.Pin.MaxBlockSize),
			Links:      uint64(p.Config.Pin.MaxLinks),
			Depth:      uint64(p.Config.Pin.MaxDepth),
		},
		TotalTimeout: time.Duration(p.Config.Pin.TotalTimeout),
		Quotas:       quotas{p.core.auth},
		Denied:       p.denials.DeniedDAG,
		UnpinGrace:   time.Duration(p.Config.RPC.UnpinGrace),
		Reclaim: func(ctx context.Context) error {
			_, err := p.core.store.Reclaim(ctx, nil)
			return err
		},
		Logger: p.Log,
	}
	if p.cluster != nil {
		cfg.Admit = p.cluster.Admit
		cfg.Seekers, cfg.Slice, cfg.EvictedPause, cfg.Yield = clusterSeekers, clusterSlice, clusterPause, clusterYield
	}
	p.logPlace(p.Log)
	p.pins, err = pin.New(ctx, cfg, p.core.store, place)
	if err != nil {
		return fmt.Errorf("start the pin manager: %w", err)
	}
	p.managed.Store(p.pins)
	p.core.pins = p.pins
	return nil
}

// checkPlace fails if the directory is that of a server with a cluster, and the configuration has
// none, or the other way round: then what counts as pinned is not there.
func (p *Program) checkPlace(ctx context.Context) error {
	switch {
	case p.core.front != "" && !p.Config.Cluster.On():
		return hint.Add(errors.New("a cluster keeps what is pinned in this directory, and cluster.peers is empty"),
			"set cluster.peers again; to keep pins on this machine, begin with another directory and import them")
	case p.core.front == "" && p.Config.Cluster.On():
		for _, err := range p.core.store.Roots(ctx) {
			if err != nil {
				return err
			}
			return hint.Add(errors.New("what is pinned in this directory is kept on this machine, and cluster.peers names a cluster"),
				"name a new directory with --data, and import the pins there: docs/cluster.md says how, while they are served")
		}
		p.core.front = p.core.instance
		ds := p.core.store.Datastore()
		if err := errors.Join(ds.Put(ctx, frontKey, []byte(p.core.front)), ds.Sync(ctx, frontKey)); err != nil {
			return fmt.Errorf("note that a cluster keeps what is pinned: %w", err)
		}
	}
	return nil
}

// delegates are addresses that clients may connect to.
func (p *Program) delegates() []string {
	if p.cluster != nil {
		return p.cluster.Delegates()
	}
	return p.node.Delegates()
}

func (p *Program) nodeStats() node.Stats {
	if p.node == nil {
		return node.Stats{}
	}
	return p.node.Stats()
}

func (p *Program) nodeID() string {
	if p.node == nil {
		return ""
	}
	return p.node.PeerID()
}

func (p *Program) nodeAddrs() []string {
	if p.node == nil {
		return nil
	}
	return p.node.Addrs()
}

// listening reports whether others can give what is pinned: by the node, or by the cluster.
func (p *Program) listening() error {
	switch {
	case p.cluster != nil:
		return p.cluster.Reachable()
	case !p.node.Listening():
		return errNotListening
	}
	return nil
}

// startPlace starts what keeps what is pinned.
func (p *Program) startPlace(ctx context.Context) (pin.Engine, error) {
	if err := p.Data.ClearTemp(); err != nil {
		return nil, err
	}
	if err := p.checkPlace(ctx); err != nil {
		return nil, err
	}
	if p.Config.Cluster.On() {
		e, err := p.startCluster(ctx)
		if err == nil {
			p.cluster = e
		}
		return e, err
	}
	if err := p.startNode(ctx); err != nil {
		return nil, err
	}
	return p.node, nil
}

// logPlace logs how the cluster is, at a start.
func (p *Program) logPlace(log *slog.Logger) {
	if p.cluster == nil {
		return
	}
	if err := p.cluster.Reachable(); err != nil {
		log.Warn("no peer of the cluster answers yet: pins are taken and wait", "err", err)
	}
}

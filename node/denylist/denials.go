package denylist

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// maxDeniedTold is how many pins are named in the log after all of them were checked.
const maxDeniedTold = 100

// Denials is what the denylists mean for the pins of this server. The node asks it. A nil
// *Denials denies nothing.
type Denials struct {
	List  ruleSet
	store Held
	log   *slog.Logger

	// below has one denied block for each node and each pin that has some below it, as it
	// was when that was last looked for. The map never changes.
	below atomic.Pointer[map[pin.DAG]cid.Cid]

	// known has the pins that were logged. Only look uses it.
	known map[pin.DAG]cid.Cid

	mu      sync.Mutex // guards what follows
	changes uint64
	next    chan struct{} // closed at the next change
}

// ruleSet is the part of a [List] that is used here.
type ruleSet interface {
	Denied(cid.Cid) error
	DeniedPath(path string) error
	Empty() bool
	Changes() (n uint64, next <-chan struct{})
	Run(context.Context)
}

// Held is the part of a store that is used here.
type Held interface {
	BlocksHeld(context.Context) iter.Seq2[multihash.Multihash, error]
	AboveBlock(context.Context, multihash.Multihash) (graph.Above, error)
}

// OpenDenials reads the lists. It gives nil if there are to be none.
func OpenDenials(dirs []Dir, held Held, log *slog.Logger) (*Denials, error) {
	if len(dirs) == 0 {
		return nil, nil
	}
	list, err := Open(dirs, log)
	if err != nil {
		return nil, err
	}
	return &Denials{List: list, store: held, log: log, next: make(chan struct{})}, nil
}

// Denied is for the node: it gives the reason why a block must not be served.
func (d *Denials) Denied(c cid.Cid) error { return d.List.Denied(c) }

// DeniedBelow is for the node: it gives a denied block below a DAG.
func (d *Denials) DeniedBelow(dag pin.DAG) (block cid.Cid, denied bool) {
	if below := d.below.Load(); below != nil {
		block, denied = (*below)[dag]
	}
	return block, denied
}

// Changes gives how often answers may have changed, and a channel that is closed at the next
// change.
func (d *Denials) Changes() (n uint64, next <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes, d.next
}

func (d *Denials) change() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	close(d.next)
	d.next = make(chan struct{})
}

// DeniedDAG is for pin.Config.Denied.
func (d *Denials) DeniedDAG(dag pin.DAG) error {
	if d == nil {
		return nil
	}
	if err := d.List.Denied(dag.CID()); err != nil {
		return err
	}
	if block, ok := d.DeniedBelow(dag); ok {
		return fmt.Errorf("block %s of %s: %w", block, dag, pin.ErrDenied)
	}
	return nil
}

// DeniedPath is for the gateway.
func (d *Denials) DeniedPath(p string) error {
	if d == nil {
		return nil
	}
	return d.List.DeniedPath(p)
}

// Watch reads changes of the lists until ctx ends. At the start and after each change it looks
// for what is here and denied. changed is called whenever answers may have changed.
func (d *Denials) Watch(ctx context.Context, changed func()) {
	if d == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.List.Run(ctx)
	}()
	defer func() { <-done }()
	for ctx.Err() == nil {
		d.watchOnce(ctx, changed)
	}
}

// watchOnce looks for what is denied, and reads the next change of the lists meanwhile. In a
// large store looking takes long, and until a walk learns of the change it lets pass what is
// denied now. When a change comes the looking is given up, since it goes by old rules.
func (d *Denials) watchOnce(ctx context.Context, changed func()) {
	_, next := d.List.Changes()
	ctx, cancel := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		err := d.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.log.Error("look for pins that are denied", "err", err)
		}
		changed()
	}()
	defer func() {
		cancel()
		<-looked
	}()
	select {
	case <-ctx.Done():
	case <-next:
		d.change()
		changed()
	}
}

// look goes through all blocks that pins need, and finds what has a denied one below it. It need
// not be fast, since denied blocks are not served in any case.
func (d *Denials) look(ctx context.Context) error {
	var denied []multihash.Multihash
	if !d.List.Empty() {
		for h, err := range d.store.BlocksHeld(ctx) {
			if err != nil {
				return err
			}
			if d.List.Denied(cid.NewCidV1(cid.Raw, h)) != nil {
				denied = append(denied, h)
			}
		}
	}
	var before map[pin.DAG]cid.Cid
	if p := d.below.Load(); p != nil {
		before = *p
	}
	below, _, err := d.above(ctx, denied)
	if err != nil {
		return err
	}
	d.below.Store(&below)
	if !maps.Equal(before, below) {
		d.change()
	}
	// A walk that passed over something before this was known has linked to it by now, or
	// learns of the change.
	below, dags, err := d.above(ctx, denied)
	if err != nil {
		return err
	}
	d.below.Store(&below)
	d.tell(dags, len(denied))
	return nil
}

// above finds the nodes and the pins that have one of the blocks below them.
func (d *Denials) above(ctx context.Context, blocks []multihash.Multihash) (below map[pin.DAG]cid.Cid, dags map[pin.DAG]cid.Cid, err error) {
	below, dags = make(map[pin.DAG]cid.Cid), make(map[pin.DAG]cid.Cid)
	for _, h := range blocks {
		c := cid.NewCidV1(cid.Raw, h)
		a, err := d.store.AboveBlock(ctx, h)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range a.Nodes {
			below[n] = c
		}
		for _, dag := range a.DAGs {
			below[dag], dags[dag] = c, c
		}
	}
	return below, dags, nil
}

// tell logs the pins that have something denied and were not logged before.
func (d *Denials) tell(dags map[pin.DAG]cid.Cid, blocks int) {
	told, before := 0, d.known
	d.known = dags
	for dag, block := range dags {
		if _, known := before[dag]; known {
			continue
		}
		if told == maxDeniedTold {
			break
		}
		told++
		d.log.Warn("a pin has a block that is denied, and that nobody is given", "cid", dag, "block", block, "err", d.List.Denied(block))
	}
	if told > 0 {
		d.log.Warn("pins have blocks that are denied; `holdfast pin ls` shows which", "pins", len(dags), "blocks", blocks)
	}
}

package graph

import (
	"context"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// What the tests of this room see of its inside. They stand outside, as the rooms that they
// open stand on this one.

const (
	DropsPerBatch  = dropsPerBatch
	LevelsPerBatch = levelsPerBatch
	QueryPage      = queryPage
)

var ErrCut = errCut

// Places where a test steps in; nil is nowhere.

func (g *Store) BeforeDelete() *func([]graph.Ref)   { return &g.beforeDelete }
func (g *Store) BeforeRelease() *func([]graph.Node) { return &g.beforeRelease }
func (g *Store) DuringWrite() *func()               { return &g.duringWrite }
func (g *Store) AfterLinks() *func(n int)           { return &g.drops.afterLinks }
func (g *Store) AfterMarks() *func(n int)           { return &g.drops.afterMarks }
func (g *Store) BeforeStripes() *func()             { return &g.drops.beforeStripes }
func (g *Store) Cut() *func(changes int) int        { return &g.drops.cut }
func (g *Store) Levels() *int                       { return &g.drops.levels }

// Stripe gives the number of a block's stripe.
func (g *Store) Stripe(h multihash.Multihash) uint8 { return g.claims.index(h) }

// TryStripe reports whether a stripe can be had: with others, or alone.
func (g *Store) TryStripe(i uint8, alone bool) bool {
	stripe := &g.claims.stripes[i]
	if alone {
		if stripe.TryLock() {
			stripe.Unlock()
			return true
		}
		return false
	}
	if stripe.TryRLock() {
		stripe.RUnlock()
		return true
	}
	return false
}

// ForgetDrops forgets what is remembered from one Drop to the next, and the places in it.
func (g *Store) ForgetDrops() { g.drops = drops{} }

// IsHeld reports whether a link begins so and is not going.
func (g *Store) IsHeld(r *kv.Reader, to []byte, going map[string]struct{}) (bool, error) {
	return g.drops.held(r, to, going)
}

// DropStep does one batch of a Drop, and gives the holders that are left.
func (g *Store) DropStep(ctx context.Context, h graph.Holder) ([]graph.Holder, error) {
	d := &dropper{s: g, attempt: h, next: []graph.Holder{h}}
	err := d.step(ctx)
	return d.next, err
}

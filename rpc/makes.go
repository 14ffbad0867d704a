package rpc

import (
	"context"
	"hash/maphash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// makes has the calls that may make a request for one DAG of an account take turns.
type makes struct {
	seed  maphash.Seed
	turns [256]chan struct{} // chance has some share one
}

func newMakes() *makes {
	m := &makes{seed: maphash.MakeSeed()}
	for i := range m.turns {
		m.turns[i] = make(chan struct{}, 1)
	}
	return m
}

// hold waits for its turn. The caller calls done afterwards. Errors: ctx's.
func (m *makes) hold(ctx context.Context, account string, d pin.DAG) (done func(), err error) {
	turn := m.turns[maphash.String(m.seed, account+string(d))%uint64(len(m.turns))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

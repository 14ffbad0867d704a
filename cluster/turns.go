package cluster

import "context"

// turns lets so many calls to one peer or node be under way as it takes connections for them. Others wait
// before their time runs: that many calls were made at once does not say that it does not answer. Nil
// lets all pass.
type turns chan struct{}

const (
	// maxCalls is how many short calls there may be to one peer at the same time: enough for 1,000 a
	// second, and few files.
	maxCalls = 64
	// spareConns are connections beside those of calls that wait for their turn: for lists, and for the
	// look whether a peer answers.
	spareConns = 16
)

func newTurns() turns { return make(turns, maxCalls) }

// take waits for a turn. waited says that there was none at once. Errors: ctx's.
func (t turns) take(ctx context.Context) (end func(), waited bool, err error) {
	if t == nil {
		return func() {}, false, nil
	}
	end = func() { <-t }
	select {
	case t <- struct{}{}:
		return end, false, nil
	default:
	}
	select {
	case t <- struct{}{}:
		return end, true, nil
	case <-ctx.Done():
		return nil, true, context.Cause(ctx)
	}
}

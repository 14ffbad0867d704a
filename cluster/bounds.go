package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"golang.org/x/sync/semaphore"
)

// turns lets so many calls to one peer or node be under way as it takes connections for them. Others wait
// before their time runs: that many calls were made at once does not say that it does not answer. The zero
// value lets all pass.
type turns struct{ places *semaphore.Weighted }

const (
	// maxCalls is how many short calls there may be to one peer at the same time: enough for 1,000 a
	// second, and few files.
	maxCalls = 64
	// spareConns are connections beside those of calls that wait for their turn: for lists, and for the
	// look whether a peer answers.
	spareConns = 16
)

func newTurns() turns { return turns{semaphore.NewWeighted(maxCalls)} }

// take waits for a turn. waited says that there was none at once. Errors: the cause of ctx's end.
func (t turns) take(ctx context.Context) (end func(), waited bool, err error) {
	if t.places == nil {
		return func() {}, false, nil
	}
	if waited = !t.places.TryAcquire(1); waited {
		if t.places.Acquire(ctx, 1) != nil {
			return nil, true, context.Cause(ctx)
		}
	}
	return func() { t.places.Release(1) }, waited, nil
}

// objects reads a list of objects, one after the other. It takes no more memory than one of them
// may have: maxAnswer.
type objects struct {
	dec *json.Decoder
	in  boundedReader
}

func newObjects(r io.Reader) *objects {
	o := &objects{in: boundedReader{r: r}}
	o.dec = json.NewDecoder(&o.in)
	return o
}

// next reads the next object. Errors: io.EOF at the end of the list; errLong.
func (o *objects) next(out any) error {
	o.in.left = maxAnswer
	return o.dec.Decode(out)
}

// errLong: an object of a list is longer than it may be.
var errLong = errors.New("what is in the list is too long")

// boundedReader reads so many bytes, and fails then.
type boundedReader struct {
	r    io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

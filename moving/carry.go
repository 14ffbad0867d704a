package moving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/holdfast-ipfs/holdfast/internal/keyed"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Exporter is a source that gives the blocks of a pin.
type Exporter interface {
	// CAR gives the DAG under a CID as a CAR. It reads to io.EOF only if it is whole. The
	// caller closes it.
	CAR(ctx context.Context, cid string) (io.ReadCloser, error)
}

// Uploader is a target that takes the blocks of a pin.
type Uploader interface {
	// Upload takes a CAR and returns once its root is pinned, which is the CID of p. With
	// named there is a new request for it, with the name of p. Without, it is for the
	// request that the target has. If the target refuses it, the error is an
	// [*AnswerError].
	Upload(ctx context.Context, p Pin, named bool, car io.Reader) error
}

const (
	carryTries = 3
	// carryFails is after how many pins in a row that did not come the run ends: then it is not
	// about the pins.
	carryFails = 20
)

// carrier moves blocks through this process, for a source that the target's node cannot
// connect to.
type carrier struct {
	from Exporter
	to   Uploader

	mu    sync.Mutex
	dags  map[pin.DAG]pin.Status // what the target has; of several requests, what is furthest
	fails int                    // in a row

	turns *keyed.Locks // by DAG: an upload is for the only request of a DAG
}

func newCarrier(from Exporter, to Uploader) *carrier {
	return &carrier{from: from, to: to, dags: map[pin.DAG]pin.Status{}, turns: keyed.New(64)}
}

// furthest orders statuses by how much is done.
var furthest = map[pin.Status]int{pin.Pinned: 3, pin.Pinning: 2, pin.Queued: 1}

// has notes what the target has of a DAG.
func (c *carrier) has(cid string, s pin.Status) {
	root, err := pin.ParseCID(cid)
	if err != nil {
		return // a damaged record
	}
	d := pin.DAGOf(root)
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.dags[d]; !ok || furthest[s] > furthest[old] {
		c.dags[d] = s
	}
}

// carry brings a pin with its blocks. An error says that no others need be tried.
func (r *run) carry(ctx context.Context, p Pin) error {
	root, err := pin.ParseCID(p.CID)
	if err != nil {
		return err // it was parsed before
	}
	c, d := r.carrier, pin.DAGOf(root)
	unlock, err := c.turns.Lock(ctx, string(d))
	if err != nil {
		return err
	}
	defer unlock()
	c.mu.Lock()
	status, known := c.dags[d]
	c.mu.Unlock()
	old, same := r.there[r.dst.Same(p)]
	counted := known && !same // the target has the DAG under another name
	if counted {
		if asked, err := r.request(ctx, p); !asked || err != nil || status == pin.Pinned {
			return err
		}
	}
	err = r.send(ctx, p, !known)
	fails := c.came(p.CID, err)
	if err != nil && same { // its request says what comes of it
		counted = true
		r.mu.Lock()
		r.asked[old.id] = r.dst.Same(p)
		r.mu.Unlock()
	}
	outcome, why := Pinned, ""
	end := err != nil && (ctx.Err() != nil || fails >= carryFails)
	if err != nil {
		outcome, why = Failed, err.Error()
		if _, refused := refusal(err); !refused && !passing(err) {
			end = true
		}
		if end && fails < carryFails {
			outcome, why = NotAsked, ""
		}
	}
	if !counted {
		r.count(p, outcome, why)
	}
	if end {
		return fmt.Errorf("bring %s: %w", p.CID, err)
	}
	return nil
}

// came notes whether a pin came, and returns how many before it in a row did not.
func (c *carrier) came(cid string, err error) (fails int) {
	if err == nil {
		c.has(cid, pin.Pinned)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails++; err == nil {
		c.fails = 0
	}
	return c.fails
}

// send uploads the blocks of a pin, again if the connection breaks.
func (r *run) send(ctx context.Context, p Pin, named bool) (err error) {
	for try := range carryTries {
		if try > 0 {
			if err := sleep(ctx, firstPause<<(try-1)); err != nil {
				return err
			}
		}
		err = r.carrier.once(ctx, p, named)
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
	}
	return err
}

func (c *carrier) once(ctx context.Context, p Pin, named bool) error {
	car, err := c.from.CAR(ctx, p.CID)
	if err != nil {
		return &sourceError{err}
	}
	defer car.Close()
	return c.to.Upload(ctx, p, named, car)
}

// sourceError is an error of the source while it is carried from.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "the source does not give all of it: " + e.err.Error() }

func (e *sourceError) Unwrap() error { return e.err }

// CAR gives the DAG under a CID, from what the node has itself.
func (k *Kubo) CAR(ctx context.Context, cid string) (io.ReadCloser, error) {
	answer, err := k.api.send(ctx, http.MethodPost, "/dag/export", map[string][]string{"arg": {cid}, "progress": {"false"}, "offline": {"true"}}, nil, nil)
	if err != nil {
		return nil, err
	}
	return &carBody{answer}, nil
}

// carBody is a CAR whose end is told in a trailer.
type carBody struct{ answer *http.Response }

func (b *carBody) Read(p []byte) (int, error) {
	n, err := b.answer.Body.Read(p)
	if said := b.answer.Trailer.Get("X-Stream-Error"); errors.Is(err, io.EOF) && said != "" {
		err = errors.New(text.Printable(said))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &sourceError{err}
	}
	return n, err
}

func (b *carBody) Close() error { return b.answer.Body.Close() }

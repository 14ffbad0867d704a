package find

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Limits bound the lookups that run. The zero value of a field is its default.
type Limits struct {
	// Running is how many lookups run at the same time. One in the DHT has
	// about ten requests under way, each of which may be a new connection.
	Running int // default 16
	// PerDAG is how many of the running lookups may be for one DAG.
	PerDAG int // default 4
	// Waiting is how many more of one DAG may wait. Beyond that a lookup ends at once, with
	// nobody.
	Waiting int // default 16
	// Time is how long one lookup may run. In the public DHT nine of ten have ended after
	// 10 s, and find what they find early.
	Time time.Duration // default 15s
}

func (l Limits) withDefaults() Limits {
	l.Running = cmp.Or(l.Running, 16)
	l.PerDAG = cmp.Or(l.PerDAG, 4)
	l.Waiting = cmp.Or(l.Waiting, 16)
	l.Time = cmp.Or(l.Time, 15*time.Second)
	return l
}

// remembered is how many DAGs are remembered that had a lookup.
const remembered = 4096

// Lookups shares a finder among the DAGs that are looked for. DAGs that wait take turns, one
// lookup each, however many lookups each of them has. Every second turn is for the newest DAG
// that had none yet. So a thousand pins that nobody has do not hold up one that somebody has,
// and new pins do not hold up old ones. Its methods may be called concurrently.
type Lookups struct {
	finder routing.ContentDiscovery
	limits Limits

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running int
	waiting int
	lines   map[pin.DAG]*line             // of DAGs with a lookup that waits or runs
	ring    []*line                       // lines that may have the next turn; the one that waits longest is first
	had     *lru.Cache[pin.DAG, struct{}] // DAGs that had a turn
	newest  bool                          // the next turn is for a DAG that had none yet
}

// line is the lookups of one DAG. The lock of Lookups guards it.
type line struct {
	dag     pin.DAG
	waiting []chan struct{} // each is closed when its turn has come
	running int
}

// NewLookups shares out a finder. The caller closes it, before the finder.
func NewLookups(finder routing.ContentDiscovery, limits Limits) *Lookups {
	l := &Lookups{finder: finder, limits: limits.withDefaults(), lines: make(map[pin.DAG]*line)}
	l.had, _ = lru.New[pin.DAG, struct{}](remembered) // fails for a size below 1 alone
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Close ends all lookups and waits for them. It may be called twice.
func (l *Lookups) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
}

// Find gives peers that are said to have a block of a DAG, as the finder does, once it is the
// DAG's turn. The channel is closed when the finder knows no more, when the lookup took too
// long, and soon after ctx ends. A caller that does not read the channel to its end must end
// ctx. The lookup holds its place until the channel is closed, so read it without waiting for
// what is done with each peer.
func (l *Lookups) Find(ctx context.Context, dag pin.DAG, c cid.Cid) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	l.mu.Lock()
	defer l.mu.Unlock()
	turn, of := l.join(dag)
	if turn == nil {
		close(out)
		return out
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	l.wg.Go(func() {
		defer stop()
		defer cancel()
		defer close(out)
		select {
		case <-turn:
		case <-ctx.Done():
			l.leave(of, turn)
			return
		}
		defer l.end(of)
		ctx, cancel := context.WithTimeout(ctx, l.limits.Time)
		defer cancel()
		for ai := range l.finder.FindProvidersAsync(ctx, c, 0) {
			select {
			case out <- ai:
			case <-ctx.Done():
				return
			}
		}
	})
	return out
}

// Count gives how many lookups run and how many wait.
func (l *Lookups) Count() (running, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, l.waiting
}

// join puts a lookup into its DAG's line. turn is nil if the line is full. The lock is held.
func (l *Lookups) join(dag pin.DAG) (turn chan struct{}, of *line) {
	if l.closed {
		return nil, nil
	}
	of = l.lines[dag]
	if of == nil {
		of = &line{dag: dag}
		l.lines[dag] = of
	}
	if len(of.waiting) == l.limits.Waiting {
		return nil, nil
	}
	turn = make(chan struct{})
	of.waiting = append(of.waiting, turn)
	l.waiting++
	l.line(of)
	l.grant()
	return turn, of
}

// line puts a line that may have a turn into the ring, if it is not there.
func (l *Lookups) line(of *line) {
	if len(of.waiting) > 0 && of.running < l.limits.PerDAG && !slices.Contains(l.ring, of) {
		l.ring = append(l.ring, of)
	}
}

// grant gives turns while there are places.
func (l *Lookups) grant() {
	for l.running < l.limits.Running && len(l.ring) > 0 {
		i := 0
		if l.newest {
			i = max(0, l.newcomer())
		}
		l.newest = !l.newest
		of := l.ring[i]
		l.ring = slices.Delete(l.ring, i, i+1)
		close(of.waiting[0])
		of.waiting = of.waiting[1:]
		l.waiting--
		of.running++
		l.running++
		l.had.Add(of.dag, struct{}{})
		l.line(of) // behind the others
	}
}

// newcomer gives the index in the ring of the newest DAG that had no turn yet; -1 if there is
// none.
func (l *Lookups) newcomer() int {
	for i := len(l.ring) - 1; i >= 0; i-- {
		if !l.had.Contains(l.ring[i].dag) {
			return i
		}
	}
	return -1
}

// leave removes a lookup that waits for its turn. If the turn has just come, it ends that.
func (l *Lookups) leave(of *line, turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(of.waiting, turn)
	if i < 0 {
		l.ended(of)
		return
	}
	of.waiting = slices.Delete(of.waiting, i, i+1)
	l.waiting--
	l.forget(of)
}

func (l *Lookups) end(of *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended(of)
}

func (l *Lookups) ended(of *line) {
	of.running--
	l.running--
	l.line(of)
	l.forget(of)
	l.grant()
}

// forget drops a line without lookups. It takes a line out of the ring in which none waits.
func (l *Lookups) forget(of *line) {
	if len(of.waiting) > 0 {
		return
	}
	if i := slices.Index(l.ring, of); i >= 0 {
		l.ring = slices.Delete(l.ring, i, i+1)
	}
	if of.running == 0 {
		delete(l.lines, of.dag)
	}
}

package find

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// slow is a finder whose lookups take a time, and that remembers which began.
type slow struct {
	takes time.Duration

	mu    sync.Mutex
	began []cid.Cid
	now   int
	most  int
}

func (s *slow) FindProvidersAsync(ctx context.Context, c cid.Cid, _ int) <-chan peer.AddrInfo {
	s.mu.Lock()
	s.began = append(s.began, c)
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			s.now--
			s.mu.Unlock()
		}()
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return
		}
		select {
		case out <- who(1, addrA):
		case <-ctx.Done():
		}
	}()
	return out
}

func (s *slow) order() []cid.Cid {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.began)
}

func lookups(t *testing.T, f *slow, limits Limits) *Lookups {
	l := NewLookups(f, limits)
	t.Cleanup(l.Close)
	return l
}

// drain reads a lookup in the background.
func drain(ch <-chan peer.AddrInfo) {
	go collect(ch)
}

func TestLookupsGiveWhatTheFinderDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lookups(t, &slow{takes: time.Second}, Limits{})
		same(t, collect(l.Find(t.Context(), dag(1), key(1))), who(1, addrA))
		synctest.Wait()
		if running, waiting := l.Count(); running != 0 || waiting != 0 || len(l.lines) != 0 || len(l.ring) != 0 {
			t.Errorf("%d run and %d wait after the end; %d lines, %d in the ring", running, waiting, len(l.lines), len(l.ring))
		}
	})
}

func TestLookupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: time.Second}
		l := lookups(t, f, Limits{Running: 5, PerDAG: 2, Waiting: 100})
		for i := range 100 {
			drain(l.Find(t.Context(), dag(i%10), key(i)))
		}
		time.Sleep(20*time.Second + time.Millisecond)
		if len(f.order()) != 100 || f.most != 5 {
			t.Errorf("%d lookups in 20 s, %d at the same time", len(f.order()), f.most)
		}
	})
}

// One DAG has its share, whether others want something or not.
func TestLookupsOfOneDAGAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: time.Second}
		l := lookups(t, f, Limits{Running: 8, PerDAG: 2, Waiting: 10})
		var refused int
		for i := range 20 {
			ch := l.Find(t.Context(), dag(1), key(i))
			select {
			case _, ok := <-ch:
				if !ok {
					refused++
				}
			default:
				drain(ch)
			}
		}
		synctest.Wait()
		if running, waiting := l.Count(); running != 2 || waiting != 10 || refused != 8 {
			t.Errorf("%d run, %d wait, %d are refused", running, waiting, refused)
		}
	})
}

// A DAG with many lookups does not keep one with few from its turn.
func TestLookupsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: time.Second}
		l := lookups(t, f, Limits{Running: 2, PerDAG: 2, Waiting: 100})
		for i := range 100 {
			drain(l.Find(t.Context(), dag(1), key(i)))
		}
		began := time.Now()
		for i := range 3 {
			same(t, collect(l.Find(t.Context(), dag(2), key(200+i))), who(1, addrA))
		}
		if took := time.Since(began); took > 9*time.Second { // its turn comes after one of the other's at most
			t.Errorf("three lookups beside a hundred took %v", took)
		}
	})
}

// A DAG that is new is looked for soon, however many wait that nobody has; and
// they wait no longer for it than one turn each.
func TestLookupsOfTheNewestAreSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: 10 * time.Second}
		l := lookups(t, f, Limits{Running: 4})
		for i := range 1000 {
			drain(l.Find(t.Context(), dag(i), key(i)))
		}
		time.Sleep(time.Second)
		began := time.Now()
		same(t, collect(l.Find(t.Context(), dag(5000), key(5000))), who(1, addrA))
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the newest took %v", took)
		}
		// A stream of new ones: the old go on.
		var stream []cid.Cid
		for i := range 100 {
			stream = append(stream, key(6000+i))
			drain(l.Find(t.Context(), dag(6000+i), key(6000+i)))
		}
		before := len(f.order())
		time.Sleep(100 * time.Second)
		old := 0
		for _, c := range f.order()[before:] {
			if !slices.ContainsFunc(stream, c.Equals) {
				old++
			}
		}
		if n := len(f.order()) - before; old < n/2-1 {
			t.Errorf("of %d turns, %d were for those that waited longest", n, old)
		}
	})
}

// A DAG that comes back is not new again.
func TestLookupsKnowWhoHadATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: time.Second}
		l := lookups(t, f, Limits{Running: 1})
		collect(l.Find(t.Context(), dag(1), key(1)))
		drain(l.Find(t.Context(), dag(9), key(9))) // takes the place
		drain(l.Find(t.Context(), dag(2), key(2)))
		drain(l.Find(t.Context(), dag(1), key(1)))
		time.Sleep(time.Minute)
		want := []cid.Cid{key(1), key(9), key(2), key(1)}
		if !slices.Equal(f.order(), want) {
			t.Errorf("the order was %v, want %v", f.order(), want)
		}
	})
}

// A lookup that takes too long loses its place.
func TestLookupsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lookups(t, &slow{takes: time.Hour}, Limits{Running: 1, Time: 15 * time.Second})
		began := time.Now()
		same(t, collect(l.Find(t.Context(), dag(1), key(1))))
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("it took %v", took)
		}
		// One whose peers nobody reads, too.
		l.Find(t.Context(), dag(2), key(2))
		same(t, collect(l.Find(t.Context(), dag(3), key(3))))
		if took := time.Since(began); took != 45*time.Second {
			t.Errorf("the others took %v", took)
		}
	})
}

// Whoever gives up leaves the line, and one that has just got its turn gives it
// on.
func TestLookupsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: time.Second}
		l := lookups(t, f, Limits{Running: 1})
		ctx, cancel := context.WithCancel(t.Context())
		drain(l.Find(ctx, dag(1), key(1)))
		for i := range 10 {
			drain(l.Find(ctx, dag(2+i), key(2+i)))
		}
		last := l.Find(t.Context(), dag(50), key(50))
		cancel()
		same(t, collect(last), who(1, addrA))
		synctest.Wait()
		if running, waiting := l.Count(); running != 0 || waiting != 0 || len(l.lines) != 0 || len(l.ring) != 0 {
			t.Errorf("%d run and %d wait after the end; %d lines, %d in the ring", running, waiting, len(l.lines), len(l.ring))
		}
	})
}

func TestLookupsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLookups(&slow{takes: time.Hour}, Limits{Running: 1})
		one, two := l.Find(context.Background(), dag(1), key(1)), l.Find(context.Background(), dag(2), key(2))
		l.Close()
		l.Close()
		same(t, collect(one))
		same(t, collect(two))
		same(t, collect(l.Find(context.Background(), dag(3), key(3))))
	})
}

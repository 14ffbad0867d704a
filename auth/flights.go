package auth

import (
	"context"
	"math"
	"sync"
	"time"
)

// flights are the requests that are being served. What ends a token also ends the
// requests that came with it.
type flights struct {
	mu  sync.Mutex
	all map[*flight]struct{}
}

type flight struct {
	principal Principal
	cancel    context.CancelCauseFunc
}

func newFlights() *flights { return &flights{all: map[*flight]struct{}{}} }

// forever is how long tokens last that do not expire.
const forever = time.Duration(math.MaxInt64)

// begin returns a context for a request of p, whose token expires after left. The context ends
// when the token ends, with the cause ErrRevoked or errExpired. The caller calls done after it has
// served the request.
func (f *flights) begin(ctx context.Context, p Principal, left time.Duration) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	one := &flight{principal: p, cancel: cancel}
	f.mu.Lock()
	f.all[one] = struct{}{}
	f.mu.Unlock()
	expires := func() bool { return false }
	if left != forever {
		expires = time.AfterFunc(left, func() { cancel(errExpired) }).Stop
	}
	return ctx, func() {
		expires()
		f.mu.Lock()
		delete(f.all, one)
		f.mu.Unlock()
		cancel(nil)
	}
}

// end ends the requests of the principals that match.
func (f *flights) end(match func(Principal) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one := range f.all {
		if match(one.principal) {
			one.cancel(ErrRevoked)
		}
	}
}

// Which tokens a change ends: all, those of an account, those of one kind of an account,
// one token, or none.

func ofEverybody(Principal) bool { return true }

func ofAccount(account string) func(Principal) bool {
	return func(p Principal) bool { return p.Account == account }
}

func ofKind(account string, k Kind) func(Principal) bool {
	return func(p Principal) bool { return p.Account == account && p.Kind == k }
}

func ofToken(id string) func(Principal) bool {
	return func(p Principal) bool { return p.TokenID == id }
}

func ofNobody(Principal) bool { return false }

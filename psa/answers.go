package psa

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// shortList is the length up to which a list is answered like everything else. 50
	// pins with all the metadata that they may have take about 1 MiB, which is also the
	// limit of a request. Kubo asks for 10.
	shortList = 50
	// longLists limits how many longer lists are built at the same time. Building one
	// takes milliseconds and at most 50 MiB.
	longLists = 4
	// largeAnswer is the size above which an answer counts as large. A thousand pins
	// without metadata take less.
	largeAnswer = 1 << 20
	// maxLarge limits the bytes of large answers that wait for their clients to read
	// them. Clients may be slow.
	maxLarge = 64 << 20
)

// answers limits the memory that long lists take, because a client may ask for them faster
// than it reads them. A list that has to wait takes no memory meanwhile.
type answers struct {
	making *semaphore.Weighted
	large  *semaphore.Weighted
	mu     sync.Mutex
	busy   map[string]*turn // accounts with a large answer
}

// turn lets an account have one large answer at a time.
type turn struct {
	free  *semaphore.Weighted
	users int
}

func newAnswers() *answers {
	return &answers{
		making: semaphore.NewWeighted(longLists),
		large:  semaphore.NewWeighted(maxLarge),
		busy:   make(map[string]*turn),
	}
}

// send builds an answer and sends it. An answer that turns out to be large is dropped, and
// built again when there is room. Errors: those of build and send, and the context's.
func (a *answers) send(ctx context.Context, account string, build func() ([]byte, error), send func([]byte) error) error {
	for room := int64(0); ; {
		again, err := a.try(ctx, account, room, build, send)
		if err != nil || again == 0 {
			return err
		}
		room = again
	}
}

// try is send with the given room for a large answer. If that is too little it sends
// nothing, and returns the room to try with next.
func (a *answers) try(ctx context.Context, account string, room int64, build func() ([]byte, error), send func([]byte) error) (again int64, err error) {
	if room > 0 {
		free, err := a.reserve(ctx, account, room)
		if err != nil {
			return 0, err
		}
		defer free()
	}
	if err := a.making.Acquire(ctx, 1); err != nil {
		return 0, fmt.Errorf("wait to answer: %w", err)
	}
	body, err := build()
	a.making.Release(1)
	if err != nil {
		return 0, err
	}
	if size := int64(len(body)); size > largeAnswer && min(size, maxLarge) > room {
		return min(size+size/8, maxLarge), nil // the list may grow until then
	}
	return 0, send(body)
}

// reserve waits until the account has no other large answer, and there is room for this
// one.
func (a *answers) reserve(ctx context.Context, account string, size int64) (free func(), err error) {
	a.mu.Lock()
	t := a.busy[account]
	if t == nil {
		t = &turn{free: semaphore.NewWeighted(1)}
		a.busy[account] = t
	}
	t.users++
	a.mu.Unlock()
	leave := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(a.busy, account)
		}
	}
	if err := t.free.Acquire(ctx, 1); err != nil {
		leave()
		return nil, fmt.Errorf("wait for another answer of the account: %w", err)
	}
	if err := a.large.Acquire(ctx, size); err != nil {
		t.free.Release(1)
		leave()
		return nil, fmt.Errorf("wait for large answers to be read: %w", err)
	}
	return func() {
		a.large.Release(size)
		t.free.Release(1)
		leave()
	}, nil
}

package psa

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// shortList is how long a list may be that is answered like all else: with all
	// the metadata that a pin may have 50 are about 1 MiB, as a request may be. Kubo
	// asks for 10.
	shortList = 50
	// longLists is how many longer ones are put together at the same time, which
	// takes milliseconds and, at worst, 50 MiB each.
	longLists = 4
	// largeAnswer is the size from which on an answer counts as large: a thousand
	// pins without metadata are smaller.
	largeAnswer = 1 << 20
	// largeMost is how many bytes of large answers may wait to be read by their
	// clients, who may be slow.
	largeMost = 64 << 20
)

// answers bounds the memory of long lists, which a client may ask for faster than it
// reads them. Those that have to wait do so before they take any.
type answers struct {
	making *semaphore.Weighted
	large  *semaphore.Weighted
	mu     sync.Mutex
	busy   map[string]*turn // accounts with a large answer
}

// turn is for the large answers of an account, of which there is one at a time.
type turn struct {
	free  *semaphore.Weighted
	users int
}

func newAnswers() *answers {
	return &answers{
		making: semaphore.NewWeighted(longLists),
		large:  semaphore.NewWeighted(largeMost),
		busy:   make(map[string]*turn),
	}
}

// send makes an answer and sends it. One that turns out to be large is let go of, and
// made again when there is room. The errors are those of build and send, and the
// context's.
func (a *answers) send(ctx context.Context, account string, build func() ([]byte, error), send func([]byte) error) error {
	for room := int64(0); ; {
		again, err := a.try(ctx, account, room, build, send)
		if err != nil || again == 0 {
			return err
		}
		room = again
	}
}

// try is send with so much room for an answer that is large. If that is too little it
// sends nothing, and says how much to try with again.
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
	if size := int64(len(body)); size > largeAnswer && min(size, largeMost) > room {
		return min(size+size/8, largeMost), nil // it may have grown by then
	}
	return 0, send(body)
}

// reserve waits until the account has no other large answer, and until there is room
// for this one.
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

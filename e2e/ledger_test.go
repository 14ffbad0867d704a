package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// mostAlive is the maximum of requests that a ledger keeps at a time, because all of them are read
// back after each crash.
const mostAlive = 40

// ledger is what a client knows of its requests on a server that may die at any instant: what the
// server acknowledged, and what it has not answered yet. Its methods may be called concurrently.
type ledger struct {
	mu     sync.Mutex
	made   int              // requests asked for, which gives each its own name
	alive  map[string]entry // by id: acknowledged, and not removed
	gone   map[string]bool  // by id: the removal was acknowledged
	ending map[string]entry // by id: removal asked for, no answer
	adding map[string]ask   // by name: asked for, no answer
}

// entry is a request that was acknowledged.
type entry struct {
	pin    rig.Pin
	pinned bool // the server said pinned, so it must stay pinned
}

// ask is a request that was not acknowledged.
type ask struct {
	pin      rig.Pin
	replaces string // id of what it is to replace; "" is nothing
}

func newLedger() *ledger {
	return &ledger{alive: map[string]entry{}, gone: map[string]bool{}, ending: map[string]entry{}, adding: map[string]ask{}}
}

// work adds, replaces and removes pins until the server does not answer or ctx ends. A
// refusal is an error, unless it says to slow down.
func (l *ledger) work(ctx context.Context, c *rig.Client, rng *rand.Rand, choose func(*rand.Rand) rig.Pin) error {
	for ctx.Err() == nil {
		var name, id string
		var err error
		if n := l.size(); n < mostAlive/2 || n < mostAlive && rng.IntN(2) == 0 {
			p := l.ask(choose(rng), "")
			name = p.Name
			var s rig.PinStatus
			if s, err = c.Add(ctx, p); err == nil {
				l.acknowledge(s)
			}
		} else if id = l.take(); id == "" {
			continue // other workers hold them all
		} else if rng.IntN(2) == 0 {
			p := l.ask(choose(rng), id)
			name = p.Name
			var s rig.PinStatus
			if s, err = c.Replace(ctx, id, p); err == nil {
				l.acknowledge(s)
			}
		} else if err = c.Remove(ctx, id); err == nil {
			l.removed(id)
		}
		if err == nil {
			continue
		}
		var answer *rig.StatusError
		if !errors.As(err, &answer) {
			return nil // the server is gone
		}
		if answer.Code != 429 {
			return err
		}
		l.refused(name, id)
	}
	return nil
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.alive)
}

// ask notes that p will be asked for, and gives it its own name.
func (l *ledger) ask(p rig.Pin, replaces string) rig.Pin {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	p.Name = fmt.Sprintf("crash-%06d", l.made)
	l.adding[p.Name] = ask{p, replaces}
	return p
}

// take returns the id of a request that only the caller may end; "" if there is none.
func (l *ledger) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.alive { // the order of a map is random enough
		delete(l.alive, id)
		l.ending[id] = e
		return id
	}
	return ""
}

// acknowledge notes the answer to what was asked for.
func (l *ledger) acknowledge(s rig.PinStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.adding[s.Pin.Name]
	delete(l.adding, s.Pin.Name)
	l.alive[s.RequestID] = entry{a.pin, s.Status == "pinned"}
	if a.replaces != "" {
		delete(l.ending, a.replaces)
		l.gone[a.replaces] = true
	}
}

func (l *ledger) removed(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ending, id)
	l.gone[id] = true
}

// refused notes that the server refused, so nothing was done.
func (l *ledger) refused(name, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.adding, name)
	if e, ok := l.ending[id]; ok {
		delete(l.ending, id)
		l.alive[id] = e
	}
}

// audit compares what the server lists after a crash with what it had acknowledged. For
// what was left without an answer it believes the server. It returns what is wrong. No
// worker may run meanwhile.
func (l *ledger) audit(listed []rig.PinStatus) (wrong []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bad := func(format string, a ...any) { wrong = append(wrong, fmt.Errorf(format, a...)) }
	byID := map[string]rig.PinStatus{}
	for i, s := range listed {
		if i > 0 && !s.Created.Before(listed[i-1].Created) {
			bad("%s of %s is listed after %s of %s", s.RequestID, s.Created, listed[i-1].RequestID, listed[i-1].Created)
		}
		byID[s.RequestID] = s
	}
	if len(byID) != len(listed) {
		bad("%d requests are listed, and %d of them are different", len(listed), len(byID))
	}

	// What was asked for and is listed was done; the rest is forgotten. A replacement is listed
	// if and only if what it replaces is not.
	for _, s := range listed {
		a, ok := l.adding[s.Pin.Name]
		if !ok {
			continue
		}
		l.alive[s.RequestID] = entry{a.pin, false}
		if _, both := byID[a.replaces]; both && a.replaces != "" {
			bad("%s is there, and what it replaces, %s, too", s.RequestID, a.replaces)
		}
		delete(l.ending, a.replaces)
		delete(l.adding, s.Pin.Name)
	}
	for _, a := range l.adding {
		if _, ok := byID[a.replaces]; a.replaces != "" && !ok {
			bad("%s is gone, and its replacement %q is not there", a.replaces, a.pin.Name)
		}
	}
	clear(l.adding)
	for id, e := range l.ending {
		if _, ok := byID[id]; ok {
			l.alive[id] = e
		} else {
			l.gone[id] = true
		}
	}
	clear(l.ending)

	for id, e := range l.alive {
		s, ok := byID[id]
		switch {
		case !ok:
			bad("%s (%s) was acknowledged and is lost", id, e.pin.Name)
			continue
		case s.Pin.CID != e.pin.CID || s.Pin.Name != e.pin.Name:
			bad("%s was %+v and is now %+v", id, e.pin, s.Pin)
		case s.Status == "failed":
			bad("%s failed: %v", id, s.Info)
		case e.pinned && s.Status != "pinned":
			bad("%s was pinned and is now %s", id, s.Status)
		}
		e.pinned = s.Status == "pinned"
		l.alive[id] = e
	}
	for id := range byID {
		switch _, known := l.alive[id]; {
		case l.gone[id]:
			bad("%s was removed and is back", id)
		case !known:
			bad("%s is listed and was never made", id)
		}
	}
	return wrong
}

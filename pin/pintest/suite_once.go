package pintest

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// keyed is a request for the n-th DAG under an idempotency key.
func keyed(n int, key string) pin.Spec {
	s := named(n, "a name")
	s.Meta = map[string]string{"k": "v", "other": "w"}
	s.Origins = []string{"/ip4/203.0.113.1/tcp/1/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"}
	s.IdempotencyKey = key
	return s
}

// refusedKey checks that an Add is refused for its key.
func (e *env) refusedKey(what, account string, s pin.Spec, want error) {
	e.Helper()
	if _, err := e.recs.Add(e.ctx, account, s); !errors.Is(err, want) {
		e.Errorf("%s: %v, want %v", what, err, want)
	}
}

// same checks that an Add returns a request that was made before, as it is now.
func (e *env) same(what string, made pin.Request, s pin.Spec) {
	e.Helper()
	again := e.add(made.Account, s)
	if d := diff(again, e.get(made)); d != "" {
		e.Errorf("%s: %s", what, d)
	}
}

// A request that is sent again under its key is the one that was made.
func testKeyAdd(e *env) {
	made := e.add(alice, keyed(1, "key"))
	if made.IdempotencyKey != "" {
		e.Errorf("the request has the key %q", made.IdempotencyKey)
	}
	e.same("again", made, keyed(1, "key"))
	a := e.begin(keyed(1, ""))
	e.same("while it is pinning", made, keyed(1, "key"))
	e.complete(keyed(1, ""), a)
	e.same("when it is pinned", made, keyed(1, "key"))
	e.reopen()
	e.same("after a restart", made, keyed(1, "key"))
	elsewhere := keyed(1, "key")
	elsewhere.Origins = []string{"/ip4/203.0.113.2/tcp/2/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"}
	elsewhere.From = netip.MustParseAddr("203.0.113.2")
	e.same("from another network", made, elsewhere)
	if n := e.count(alice); n != 1 {
		e.Errorf("%d requests, want 1", n)
	}

	// Other keys, no key and other accounts are other requests.
	for _, other := range []pin.Request{e.add(alice, keyed(1, "other")), e.add(alice, keyed(1, "")), e.add(bob, keyed(1, "key"))} {
		if other.ID == made.ID {
			e.Errorf("another request has the ID %s too", made.ID)
		}
	}
	if n := e.count(alice); n != 3 {
		e.Errorf("%d requests, want 3", n)
	}
}

// A key stands for one request: what asks for another under it is refused.
func testKeyReused(e *env) {
	made := e.add(alice, keyed(1, "key"))
	for what, change := range map[string]func(*pin.Spec){
		"another CID":       func(s *pin.Spec) { *s = keyed(2, "key") },
		"another name":      func(s *pin.Spec) { s.Name = "another" },
		"no name":           func(s *pin.Spec) { s.Name = "" },
		"less metadata":     func(s *pin.Spec) { s.Meta = map[string]string{"k": "v"} },
		"other metadata":    func(s *pin.Spec) { s.Meta = map[string]string{"k": "v", "other": ""} },
		"metadata as texts": func(s *pin.Spec) { s.Meta = map[string]string{"k": "vother", "": "w"} },
	} {
		s := keyed(1, "key")
		change(&s)
		e.refusedKey(what, alice, s, pin.ErrKeyReused)
	}
	if _, _, _, err := e.recs.Replace(e.ctx, alice, made.ID, keyed(1, "key")); !errors.Is(err, pin.ErrKeyReused) {
		e.Errorf("Replace with the key of an Add: %v", err)
	}
	e.status(made, pin.Queued)
	if n := e.count(alice); n != 1 {
		e.Errorf("%d requests, want 1", n)
	}
	// What made no request has no key.
	e.limitPins(1)
	_, err := e.recs.Add(e.ctx, alice, keyed(3, "refused"))
	e.overPins("Add", err, 1, 1)
	e.limitPins(0)
	e.add(alice, keyed(4, "refused"))
}

// Who has what it may have gets its answer all the same.
func testKeyAtLimits(e *env) {
	made := e.add(alice, keyed(1, "key"))
	e.add(alice, DAGSpec(2))
	e.limitPins(1)
	e.same("over the quota of pins", made, keyed(1, "key"))
	e.limitPins(0)
	e.pinned(alice, DAGSpec(3))
	e.limitBytes(1)
	e.same("over the quota of bytes", made, keyed(1, "key"))
}

// A key is not used again for what was taken back: neither a twin nor a false answer.
func testKeyGone(e *env) {
	removed, replaced := e.add(alice, keyed(1, "removed")), e.add(alice, keyed(2, "replaced"))
	e.remove(removed)
	e.replace(alice, replaced.ID, DAGSpec(3))
	e.refusedKey("of a request that was removed", alice, keyed(1, "removed"), pin.ErrKeyGone)
	e.refusedKey("of a request that was replaced", alice, keyed(2, "replaced"), pin.ErrKeyGone)
	if n := e.count(alice); n != 1 {
		e.Errorf("%d requests, want 1", n)
	}
	e.clock.move(pin.KeyAge)
	e.add(alice, keyed(1, "removed"))
}

func testKeyReplace(e *env) {
	first, _ := e.pinned(alice, DAGSpec(1))
	made, _ := e.replace(alice, first.ID, keyed(2, "key"))
	now, old, released, err := e.recs.Replace(e.ctx, alice, first.ID, keyed(2, "key"))
	e.must(err)
	e.released(released)
	if d := diff(now, made); d != "" || old.ID != "" {
		e.Errorf("again: %s; it replaced %q", d, old.ID)
	}
	e.refusedKey("Add with the key of a Replace", alice, keyed(2, "key"), pin.ErrKeyReused)
	if _, _, _, err := e.recs.Replace(e.ctx, alice, made.ID, keyed(2, "key")); !errors.Is(err, pin.ErrKeyReused) {
		e.Errorf("Replace of another request: %v", err)
	}
	if _, _, _, err := e.recs.Replace(e.ctx, alice, first.ID, keyed(2, "other")); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("Replace of what is replaced, with another key: %v", err)
	}
	if n := e.count(alice); n != 1 {
		e.Errorf("%d requests, want 1", n)
	}
}

func testKeyAge(e *env) {
	made := e.add(alice, keyed(1, "key"))
	e.clock.move(pin.KeyAge - time.Millisecond)
	e.same("just before it is forgotten", made, keyed(1, "key"))
	e.clock.move(time.Millisecond)
	again := e.add(alice, keyed(1, "key"))
	if again.ID == made.ID {
		e.Error("the key is remembered for longer than it is to be")
	}
	// From now on it is of the new request.
	e.same("again", again, keyed(1, "key"))
	// However far the clock is set back, it is remembered.
	e.clock.move(-3 * pin.KeyAge)
	e.same("after the clock was set back", again, keyed(1, "key"))
	e.reopen()
	e.same("and after a restart", again, keyed(1, "key"))
	if n := e.count(alice); n != 2 {
		e.Errorf("%d requests, want 2", n)
	}
}

// Of many calls at the same time one makes the request.
func testKeyTogether(e *env) {
	const callers = 40
	ids := make([]string, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			r, err := e.recs.Add(e.ctx, alice, keyed(1, "key"))
			if err != nil {
				e.Error(err)
			}
			ids[i] = r.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			e.Errorf("requests %s and %s under one key", ids[0], id)
		}
	}
	if n := e.count(alice); n != 1 {
		e.Errorf("%d requests, want 1", n)
	}
}

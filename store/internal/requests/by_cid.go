package requests

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// For implements [pin.Requests]. It looks at how things were a moment ago, unless requests for the
// DAG changed since.
func (s *Store) For(ctx context.Context, account string, c cid.Cid, limit int) (found []pin.Request, err error) {
	a, ok := kv.AccountOf(account)
	if !ok || !c.Defined() || limit <= 0 {
		return nil, ctx.Err()
	}
	who, d := string(a[:])+c.KeyString(), pin.DAGOf(c)
	if s.changes.hadNone(who, d) {
		return nil, s.usable(ctx)
	}
	var at time.Time
	err = s.look(ctx, d, func(r *kv.Reader) (err error) {
		at = r.Began()
		found, err = s.requestsFor(r, a, c, limit)
		return err
	})
	if err != nil {
		return nil, kv.Wrap(err, "read pin requests for %s", c)
	}
	if len(found) == 0 && !at.IsZero() {
		s.changes.none(who, at)
	}
	return found, nil
}

// look is ViewLearning for what is read of a DAG and its requests. It looks at how things were a moment ago,
// unless these changed since. So it mostly needs no transaction of its own, which would wait for what is
// being written to the disk. It may call fn twice.
func (s *Store) look(ctx context.Context, d pin.DAG, fn func(*kv.Reader) error) error {
	read := false
	err := s.kv.Glance(ctx, func(r *kv.Reader) error {
		if s.changes.since(d, r.Began()) {
			return nil
		}
		read = true
		return fn(r)
	})
	if _, unlearned := errors.AsType[*unlearnedError](err); unlearned || err == nil && !read {
		err = s.ViewLearning(ctx, fn)
	}
	return err
}

// usable fails as a read would if the store is closed, or ctx has ended.
func (s *Store) usable(ctx context.Context) error {
	err := s.kv.Enter(ctx)
	if err == nil {
		s.kv.Leave()
	}
	return err
}

// requestsFor reads an account's requests for a CID, newest first. It reads the chunks that have
// requests for the DAG, and no others.
func (s *Store) requestsFor(r *kv.Reader, a kv.Account, c cid.Cid, limit int) (found []pin.Request, err error) {
	d := pin.DAGOf(c)
	list := dagList(d, a)
	err = r.Scan(kv.Span{Prefix: list, Reverse: true, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		number := binary.BigEndian.Uint32(key[len(list):])
		which, err := chunkAt(r, list, number)
		if err != nil {
			return false, err
		}
		for bit := range which.down {
			seq := seqAt(number, bit)
			code, err := statusOf(r, a, seq)
			if err != nil {
				return false, err
			}
			req, ok, err := s.load(r, a, seq, code)
			if err != nil {
				return false, err
			}
			if req.Damaged {
				req.Status = pin.Failed
			} else if !req.Root.Equals(c) {
				continue
			}
			if ok {
				found = append(found, req)
			}
			if len(found) == limit {
				return false, nil
			}
		}
		return true, nil
	})
	return found, err
}

// changesKept is for how long it is known which DAGs' requests changed. A glance is a fraction of a
// second old; one that is older than this counts as outdated.
const changesKept = 5 * time.Second

// changes knows for which DAGs requests, or what is noted of the DAG, changed of late. The zero value is ready.
type changes struct {
	mu       sync.Mutex
	now, old map[pin.DAG]change
	begun    time.Time // when now was
	floor    time.Time // what changed before it may be forgotten
	// empty is when accounts had no request for a CID, by both. ipfs-cluster asks for one several times
	// before it pins or unpins it.
	empty map[string]time.Time
}

// maxEmpty bounds that to some 2 MB.
const maxEmpty = 8 << 10

// change is the last change of what is known of a DAG.
type change struct {
	at   time.Time
	work []chunkOf // those that had requests for the DAG at the last Begin; nil is not known
	// plain says that the DAG is neither repaired nor has a note of Keep. False is not known.
	plain bool
}

// note notes that requests for a DAG changed. It is called after the commit, before the change is
// answered.
func (c *changes) note(d pin.DAG) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(d, change{work: c.now[d].work})
}

// set is note of more. c.mu is held.
func (c *changes) set(d pin.DAG, last change) {
	at := time.Now()
	if c.now == nil || at.Sub(c.begun) >= changesKept {
		c.floor = c.begun
		c.old, c.now, c.begun = c.now, make(map[pin.DAG]change), at
	}
	last.at = at
	c.now[d] = last
}

// began notes what a Begin found that started at a time: which chunks have requests for a DAG, and whether
// it is plain. If something else changed since, it may be plain no more.
func (c *changes) began(d pin.DAG, started time.Time, work []chunkOf, plain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(d, change{work: work, plain: plain && !c.changed(d, started)})
}

// none notes that an account had no request for a CID, at a time.
func (c *changes) none(who string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.empty == nil || len(c.empty) == maxEmpty {
		c.empty = make(map[string]time.Time)
	}
	c.empty[who] = at
}

// hadNone reports whether that was so a moment ago, and requests for the DAG did not change since.
func (c *changes) hadNone(who string, d pin.DAG) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.empty[who]
	return ok && time.Since(at) < changesKept && !c.changed(d, at)
}

// isPlain reports whether a DAG is known to be plain.
func (c *changes) isPlain(d pin.DAG) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now[d].plain
}

// working gives what began noted; nil if it is not known any more. There may be more by now.
func (c *changes) working(d pin.DAG) []chunkOf {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now[d].work
}

// since reports whether requests for a DAG may have changed since a time.
func (c *changes) since(d pin.DAG, t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed(d, t)
}

// changed is since. c.mu is held.
func (c *changes) changed(d pin.DAG, t time.Time) bool {
	if t.Before(c.floor) {
		return true
	}
	for _, m := range []map[pin.DAG]change{c.now, c.old} {
		if last, ok := m[d]; ok && !last.at.Before(t) {
			return true
		}
	}
	return false
}

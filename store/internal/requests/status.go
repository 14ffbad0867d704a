package requests

import (
	"encoding/binary"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// What happens to a DAG happens to all its requests, which may be 100,000. That is done chunk by
// chunk, in as many changes as it takes. A request that is added meanwhile may be missed; the
// manager asks again.

// chunkOf is a chunk of one account's requests for a DAG.
type chunkOf struct {
	account kv.Account
	number  uint32
}

const (
	// chunksPerChange is in how many chunks one change moves requests to another status: two
	// lists of that many chunks are a few hundred KiB.
	chunksPerChange = 512
	// failBytes is how many bytes one change writes of why requests failed. Each request that
	// fails has that under a key of its own.
	failBytes = 512 << 10
)

// chunksFor lists the chunks that have requests for a DAG, of all accounts.
func chunksFor(r *kv.Reader, d pin.DAG) ([]chunkOf, error) { return chunksUnder(r, d, dagLists(d)) }

// accountChunksFor is chunksFor of one account.
func accountChunksFor(r *kv.Reader, d pin.DAG, a kv.Account) ([]chunkOf, error) {
	return chunksUnder(r, d, dagList(d, a))
}

func chunksUnder(r *kv.Reader, d pin.DAG, prefix []byte) (all []chunkOf, err error) {
	err = r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		var c chunkOf
		tail := key[len(dagLists(d)):]
		copy(c.account[:], tail)
		c.number = binary.BigEndian.Uint32(tail[len(c.account):])
		all = append(all, c)
		return true, nil
	})
	return all, err
}

// requestsOf gives the requests of a chunk that are for a DAG and have one of some statuses.
func requestsOf(r *kv.Reader, d pin.DAG, of chunkOf, any ...statusCode) (*chunk, error) {
	c, err := chunkAt(r, dagList(d, of.account), of.number)
	if err != nil || c.empty() {
		return c, err
	}
	has := new(chunk)
	for _, s := range any {
		some, err := chunkAt(r, statusList(s, of.account), of.number)
		if err != nil {
			return c, err
		}
		has.or(some)
	}
	c.and(has)
	return c, nil
}

// flipChunk changes the status of the requests in which, all of one chunk, from one to another.
func flipChunk(t *kv.Tx, of chunkOf, which *chunk, from, to statusCode) error {
	if which.empty() {
		return nil
	}
	was, err := chunkAt(&t.Reader, statusList(from, of.account), of.number)
	if err != nil {
		return err
	}
	is, err := chunkAt(&t.Reader, statusList(to, of.account), of.number)
	if err != nil {
		return err
	}
	was.andNot(which)
	is.or(which)
	setChunk(t, statusList(from, of.account), of.number, was)
	setChunk(t, statusList(to, of.account), of.number, is)
	return nil
}

// begin makes the queued requests of the first chunks Pinning. It gives the chunks that are left.
// wanted reports whether any request of the other chunks is unfinished. While none is it goes on,
// so that no chunk is left if wanted is false.
func (s *Store) begin(t *kv.Tx, d pin.DAG, work []chunkOf) (left []chunkOf, wanted bool, err error) {
	for n := 0; len(work) > 0 && (n < chunksPerChange || !wanted); n++ {
		of := work[0]
		work = work[1:]
		queued, err := requestsOf(&t.Reader, d, of, codeQueued)
		if err != nil {
			return nil, false, err
		}
		if err := flipChunk(t, of, queued, codeQueued, codePinning); err != nil {
			return nil, false, err
		}
		if !queued.empty() {
			wanted = true
		} else if !wanted {
			pinning, err := requestsOf(&t.Reader, d, of, codePinning)
			if err != nil {
				return nil, false, err
			}
			wanted = !pinning.empty()
		}
	}
	return work, wanted, nil
}

// changeRoom is what one change still has room for.
type changeRoom struct {
	chunks, takers int
	fails          int // requests that fail
	full           bool
}

// newRoom is the room of a new change; details is the length of the text why requests fail.
func newRoom(details int) *changeRoom {
	return &changeRoom{
		chunks: chunksPerChange, takers: takersPerChange,
		fails: max(failBytes/(details+kv.EntryOverhead+len(detailsKey(kv.Account{}, 0))), 1),
	}
}

// part is the unfinished requests of a chunk for a DAG, as many as there was room for.
type part struct {
	which  *chunk
	takers []uint64 // those that hold more than their own DAG
	more   bool     // there are more requests, for which there was no room
}

// whole reports whether a chunk has no requests left after a part of it was changed.
func (p part) whole(room *changeRoom) bool { return !p.more && room.fails > 0 }

// eachPart calls fn for the part of each chunk, until the change is full or fn returns false: then
// the chunk is left for the next change. It gives the chunks that are left.
func eachPart(t *kv.Tx, d pin.DAG, work []chunkOf, room *changeRoom, fn func(chunkOf, part) (done bool, err error)) (left []chunkOf, err error) {
	for len(work) > 0 && !room.full {
		p, err := partOf(t, d, work[0], room)
		if err != nil {
			return nil, err
		}
		if done, err := fn(work[0], p); err != nil {
			return nil, err
		} else if !done {
			break
		}
		work = work[1:]
	}
	return work, nil
}

func partOf(t *kv.Tx, d pin.DAG, of chunkOf, room *changeRoom) (p part, err error) {
	if p.which, err = requestsOf(&t.Reader, d, of, codeQueued, codePinning); err != nil {
		return p, err
	}
	p.takers, p.more, err = takers(t, of, p.which, room.takers)
	room.chunks--
	room.takers -= len(p.takers)
	room.full = room.chunks <= 0 || p.more
	return p, err
}

// finish gives unfinished requests another status.
func finish(t *kv.Tx, of chunkOf, which *chunk, to statusCode) error {
	for _, from := range []statusCode{codeQueued, codePinning} {
		some, err := chunkAt(&t.Reader, statusList(from, of.account), of.number)
		if err != nil {
			return err
		}
		some.and(which)
		if err := flipChunk(t, of, some, from, to); err != nil {
			return err
		}
	}
	return nil
}

// settled is what [Store.settleSome] did.
type settled struct {
	left     []chunkOf // chunks for the next change
	released []pin.Attempt
	over     []overQuota
}

// failed is how many requests became Failed.
func (s settled) failed() (n int) {
	for _, o := range s.over {
		n += o.requests
	}
	return n
}

// settleSome makes the unfinished requests of the first chunks Pinned, or Failed if their accounts
// have no room for the DAG's bytes, and lets go of what they had taken over. It stops at an
// account whose limit is not known.
func (s *Store) settleSome(t *kv.Tx, d pin.DAG, totals pin.Totals, work []chunkOf, known limits) (out settled, err error) {
	ready := work
	if known != nil {
		unknown := func(of chunkOf) bool { _, ok := known[of.account]; return !ok }
		if i := slices.IndexFunc(work, unknown); i >= 0 {
			ready = work[:i]
		}
	}
	room := newRoom(maxQuotaText)
	left, err := eachPart(t, d, ready, room, func(of chunkOf, p part) (done bool, err error) {
		why, err := s.over(&t.Reader, of.account, d, totals.Bytes, p.takers, known[of.account])
		if err != nil {
			return false, err
		}
		var some []pin.Attempt
		if why == nil {
			some, err = s.settlePart(t, d, of, p, totals.By)
		} else {
			n := 0
			if n, some, err = s.failPart(t, d, of, p, why.Error(), room); n > 0 {
				out.over = append(out.over, overQuota{of.account, n, why})
			}
		}
		out.released = append(out.released, some...)
		return p.whole(room), err
	})
	if err != nil {
		return settled{}, err
	}
	out.left = work[len(ready)-len(left):]
	return out, nil
}

func (s *Store) settlePart(t *kv.Tx, d pin.DAG, of chunkOf, p part, by *pin.Delivered) ([]pin.Attempt, error) {
	if err := finish(t, of, p.which, codePinned); err != nil {
		return nil, err
	}
	if err := s.charge(t, of.account, d, p.which.count()); err != nil {
		return nil, err
	}
	if !p.which.empty() {
		if err := deliver(t, of.account, d, by); err != nil {
			return nil, err
		}
	}
	return s.letGoOfTakers(t, of.account, p.takers)
}

// failPart makes requests Failed, as many as there is room for, and lets go of what they hold.
func (s *Store) failPart(t *kv.Tx, d pin.DAG, of chunkOf, p part, details string, room *changeRoom) (failed int, released []pin.Attempt, err error) {
	p.which.keepFirst(room.fails)
	p.takers = slices.DeleteFunc(p.takers, func(seq uint64) bool {
		_, bit := place(seq)
		return !p.which.has(bit)
	})
	if failed = p.which.count(); failed == 0 {
		return 0, nil, nil
	}
	room.fails -= failed
	room.full = room.full || room.fails == 0
	if err := finish(t, of, p.which, codeFailed); err != nil {
		return 0, nil, err
	}
	if err := s.noteEnded(t, of.account, d); err != nil {
		return 0, nil, err
	}
	for bit := range p.which.up {
		setDetails(t, of.account, seqAt(of.number, bit), details)
	}
	if err := s.someFailed(t, d, of, p.which, details); err != nil {
		return 0, nil, err
	}
	if released, err = s.letGoOfTakers(t, of.account, p.takers); err != nil {
		return 0, nil, err
	}
	released, err = s.held.LetGoMany(t, d, uint64(failed), released)
	return failed, released, err
}

// failSome makes unfinished requests of the first chunks Failed. It gives the chunks that are left.
func (s *Store) failSome(t *kv.Tx, d pin.DAG, details string, work []chunkOf) (left []chunkOf, released []pin.Attempt, err error) {
	room := newRoom(len(details))
	left, err = eachPart(t, d, work, room, func(of chunkOf, p part) (done bool, err error) {
		_, some, err := s.failPart(t, d, of, p, details, room)
		released = append(released, some...)
		return p.whole(room), err
	})
	return left, released, err
}

package requests

import (
	"encoding/binary"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// What happens to a DAG happens to all its requests, which may be 100,000. It
// is done chunk by chunk, in as many changes as it takes. A request that is
// added meanwhile may or may not be among them; the manager asks again.

// chunkOf is one account's piece of the requests for a DAG.
type chunkOf struct {
	account kv.Account
	number  uint32
}

const (
	// chunksPerChange bounds a flip: two lists in each of so many chunks are
	// a few hundred KiB.
	chunksPerChange = 512
	// failBytes bounds the reasons that one change writes: each request that
	// fails gets a key of its own with it.
	failBytes = 512 << 10
)

// chunksFor lists the pieces that a DAG's requests are in, of all accounts.
func chunksFor(r *kv.Reader, d pin.DAG) ([]chunkOf, error) { return chunksUnder(r, d, dagLists(d)) }

// accountChunksFor lists those of one account.
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

// requestsOf gives which of the piece's requests for the DAG have the status.
func requestsOf(r *kv.Reader, d pin.DAG, of chunkOf, s statusCode) (*chunk, error) {
	c, err := chunkAt(r, dagList(d, of.account), of.number)
	if err != nil || c.empty() {
		return c, err
	}
	has, err := chunkAt(r, statusList(s, of.account), of.number)
	if err == nil {
		c.and(has)
	}
	return c, err
}

// flipChunk gives all of a piece's requests in which another status.
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

// begin makes the first pieces' queued requests Pinning. It gives the pieces
// that are left, and says whether any request in the others is unfinished: if
// not, none is left.
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

// changeRoom is what one change has room for yet.
type changeRoom struct {
	chunks, takers int
	fails          int // requests that fail, each with the reason under a key of its own
	full           bool
}

// newRoom is a change's room when the reasons for failing have so many bytes.
func newRoom(details int) *changeRoom {
	return &changeRoom{
		chunks: chunksPerChange, takers: takersPerChange,
		fails: max(failBytes/(details+kv.EntryOverhead+len(detailsKey(kv.Account{}, 0))), 1),
	}
}

// part is as many of a piece's unfinished requests for a DAG as there was room for.
type part struct {
	which  *chunk
	takers []uint64 // of these, the ones that hold more than their own DAG
	more   bool     // there are others
}

func partOf(t *kv.Tx, d pin.DAG, of chunkOf, room *changeRoom) (p part, err error) {
	if p.which, err = requestsOf(&t.Reader, d, of, codeQueued); err != nil {
		return p, err
	}
	pinning, err := requestsOf(&t.Reader, d, of, codePinning)
	if err != nil {
		return p, err
	}
	p.which.or(pinning)
	p.takers, p.more, err = takers(t, of, p.which, room.takers)
	room.chunks--
	room.takers -= len(p.takers)
	room.full = room.chunks <= 0 || p.more
	return p, err
}

// finish gives requests that are unfinished another status.
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

// settled is what one change of [Store.settleSome] did.
type settled struct {
	left     []chunkOf // pieces
	released []pin.Attempt
	over     []overQuota
}

// settleSome makes the first pieces' unfinished requests Pinned, or Failed if
// their accounts have no room for so many bytes, and lets go of what they had
// taken over. It stops at an account whose limit is not known.
func (s *Store) settleSome(t *kv.Tx, d pin.DAG, bytes uint64, work []chunkOf, known limits) (out settled, err error) {
	room := newRoom(maxQuotaText)
	for len(work) > 0 && !room.full {
		of := work[0]
		most, ok := known[of.account]
		if !ok && known != nil {
			break
		}
		p, err := partOf(t, d, of, room)
		if err != nil {
			return settled{}, err
		}
		why, err := s.over(&t.Reader, of.account, d, bytes, p.takers, most)
		if err != nil {
			return settled{}, err
		}
		var some []pin.Attempt
		if why == nil {
			some, err = s.settlePart(t, d, of, p)
		} else {
			n := 0
			if n, some, err = s.failPart(t, d, of, p, why.Error(), room); n > 0 {
				out.over = append(out.over, overQuota{of.account, n, why})
			}
		}
		if err != nil {
			return settled{}, err
		}
		out.released = append(out.released, some...)
		if p.more || room.fails == 0 {
			break
		}
		work = work[1:]
	}
	out.left = work
	return out, nil
}

func (s *Store) settlePart(t *kv.Tx, d pin.DAG, of chunkOf, p part) ([]pin.Attempt, error) {
	if err := finish(t, of, p.which, codePinned); err != nil {
		return nil, err
	}
	if err := s.charge(t, of.account, d, p.which.count()); err != nil {
		return nil, err
	}
	return s.letGoOfTakers(t, of.account, p.takers)
}

// failPart makes requests Failed, as many as there is room for, and lets go of
// what they hold.
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
	if err := s.noteLive(t, of.account, -failed); err != nil {
		return 0, nil, err
	}
	for bit := range p.which.up {
		setDetails(t, of.account, seqAt(of.number, bit), details)
	}
	if released, err = s.letGoOfTakers(t, of.account, p.takers); err != nil {
		return 0, nil, err
	}
	released, err = s.held.LetGoMany(t, d, uint64(failed), released)
	return failed, released, err
}

// failSome makes the first unfinished requests Failed. It gives the pieces
// that are left.
func (s *Store) failSome(t *kv.Tx, d pin.DAG, details string, work []chunkOf) (left []chunkOf, released []pin.Attempt, err error) {
	room := newRoom(len(details))
	for len(work) > 0 && !room.full {
		of := work[0]
		p, err := partOf(t, d, of, room)
		if err != nil {
			return nil, nil, err
		}
		_, some, err := s.failPart(t, d, of, p, details, room)
		if err != nil {
			return nil, nil, err
		}
		released = append(released, some...)
		if p.more || room.fails == 0 {
			break
		}
		work = work[1:]
	}
	return work, released, nil
}

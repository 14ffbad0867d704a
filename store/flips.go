package store

import (
	"encoding/binary"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// What happens to a DAG happens to all its requests, which may be 100,000. It
// is done chunk by chunk, in as many changes as it takes. A request that is
// added meanwhile may or may not be among them; the manager asks again.

// chunkOf is one account's piece of the requests for a DAG.
type chunkOf struct {
	account account
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
func chunksFor(r *reader, d pin.DAG) (all []chunkOf, err error) {
	prefix := dagLists(d)
	err = r.scan(span{prefix: prefix, keysOnly: true}, func(key, _ []byte) (bool, error) {
		var c chunkOf
		tail := key[len(prefix):]
		copy(c.account[:], tail)
		c.number = binary.BigEndian.Uint32(tail[len(c.account):])
		all = append(all, c)
		return true, nil
	})
	return all, err
}

// requests gives which of the piece's requests for the DAG have the status.
func (r *reader) requests(d pin.DAG, of chunkOf, s statusCode) (*chunk, error) {
	c, err := r.chunk(dagList(d, of.account), of.number)
	if err != nil || c.empty() {
		return c, err
	}
	has, err := r.chunk(statusList(s, of.account), of.number)
	if err == nil {
		c.and(has)
	}
	return c, err
}

// flip gives all of a piece's requests in which another status.
func (t *tx) flip(of chunkOf, which *chunk, from, to statusCode) error {
	if which.empty() {
		return nil
	}
	was, err := t.chunk(statusList(from, of.account), of.number)
	if err != nil {
		return err
	}
	is, err := t.chunk(statusList(to, of.account), of.number)
	if err != nil {
		return err
	}
	was.andNot(which)
	is.or(which)
	t.setChunk(statusList(from, of.account), of.number, was)
	t.setChunk(statusList(to, of.account), of.number, is)
	return nil
}

// begin makes the first pieces' queued requests Pinning. It gives the pieces
// that are left, and says whether any request in the others is unfinished: if
// not, none is left.
func (s *Store) begin(t *tx, d pin.DAG, work []chunkOf) (left []chunkOf, wanted bool, err error) {
	for n := 0; len(work) > 0 && (n < chunksPerChange || !wanted); n++ {
		of := work[0]
		work = work[1:]
		queued, err := t.requests(d, of, codeQueued)
		if err != nil {
			return nil, false, err
		}
		if err := t.flip(of, queued, codeQueued, codePinning); err != nil {
			return nil, false, err
		}
		if !queued.empty() {
			wanted = true
		} else if !wanted {
			pinning, err := t.requests(d, of, codePinning)
			if err != nil {
				return nil, false, err
			}
			wanted = !pinning.empty()
		}
	}
	return work, wanted, nil
}

// settleSome makes the first pieces' unfinished requests Pinned, and lets go of
// what they had taken over. It gives the pieces that are left.
func (s *Store) settleSome(t *tx, d pin.DAG, work []chunkOf) (left []chunkOf, released []pin.Attempt, err error) {
	takers := takersPerChange
	for n := 0; len(work) > 0 && n < chunksPerChange; n++ {
		of := work[0]
		for _, from := range []statusCode{codeQueued, codePinning} {
			which, err := t.requests(d, of, from)
			if err != nil {
				return nil, nil, err
			}
			some, more, err := t.takers(of, which, takers)
			if err != nil {
				return nil, nil, err
			}
			takers -= len(some)
			if err := t.flip(of, which, from, codePinned); err != nil {
				return nil, nil, err
			}
			if err := s.charge(t, of.account, d, which.count()); err != nil {
				return nil, nil, err
			}
			if released, err = s.letGoOfTakers(t, of.account, some, released); err != nil {
				return nil, nil, err
			}
			if more {
				return work, released, nil
			}
		}
		work = work[1:]
	}
	return work, released, nil
}

// failSome makes the first unfinished requests Failed. It gives the pieces
// that are left.
func (s *Store) failSome(t *tx, d pin.DAG, details string, work []chunkOf) (left []chunkOf, released []pin.Attempt, err error) {
	limit := max(failBytes/(len(details)+entryOverhead+len(detailsKey(account{}, 0))), 1)
	failed, takers, full := 0, takersPerChange, false
	for chunks := 0; len(work) > 0 && !full && chunks < chunksPerChange; chunks++ {
		of := work[0]
		for _, from := range []statusCode{codeQueued, codePinning} {
			which, err := t.requests(d, of, from)
			if err != nil {
				return nil, nil, err
			}
			which.keepFirst(limit - failed)
			some, more, err := t.takers(of, which, takers)
			if err != nil {
				return nil, nil, err
			}
			takers -= len(some)
			if err := t.flip(of, which, from, codeFailed); err != nil {
				return nil, nil, err
			}
			if err := s.noteLive(t, of.account, -which.count()); err != nil {
				return nil, nil, err
			}
			if released, err = s.letGoOfTakers(t, of.account, some, released); err != nil {
				return nil, nil, err
			}
			for bit := range which.up {
				t.setDetails(of.account, seqAt(of.number, bit), details)
				failed++
			}
			full = full || more
		}
		full = full || failed == limit
		if !full {
			work = work[1:] // else it may have more
		}
	}
	if failed > 0 {
		released, err = s.letGoMany(t, d, uint64(failed), released)
	}
	return work, released, err
}

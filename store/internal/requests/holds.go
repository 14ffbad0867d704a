package requests

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// taken is the DAGs that a request by Replace holds besides its own, until it is pinned or has
// failed. They are a few DAGs, however long the chain of replacements is, so that each change of
// a request fits into a commit.
type taken struct {
	pinned pin.DAG   // the DAG that was pinned last in the chain, which the account is still charged for; "" is none
	tried  []pin.DAG // DAGs of later requests in the chain that were being fetched, the newest last
}

// holdsRecord is taken on disk.
type holdsRecord struct {
	_      struct{} `cbor:",toarray"`
	Pinned []byte
	Tried  [][]byte
}

// all lists the DAGs. One that is held twice is in it twice.
func (h taken) all() []pin.DAG {
	if h.pinned == "" {
		return h.tried
	}
	return append([]pin.DAG{h.pinned}, h.tried...)
}

// tookOver reads what a request holds besides its own DAG. If that cannot be read it gives
// nothing, and the DAGs stay held: the store keeps too much rather than too little.
func (s *Store) tookOver(r *kv.Reader, a kv.Account, seq uint64) (h taken, err error) {
	var rec holdsRecord
	if _, err = r.Take(holdsKey(a, seq), &rec); errors.Is(err, pin.ErrUnreadable) {
		s.kv.LogUnreadable(holdsKey(a, seq), err)
		return taken{}, nil
	}
	h.pinned = pin.DAG(rec.Pinned)
	for _, d := range rec.Tried {
		h.tried = append(h.tried, pin.DAG(d))
	}
	return h, err
}

func (s *Store) putTaken(t *kv.Tx, a kv.Account, seq uint64, h taken) error {
	if len(h.all()) == 0 {
		t.Delete(holdsKey(a, seq))
		return nil
	}
	rec := holdsRecord{Pinned: []byte(h.pinned)}
	for _, d := range h.tried {
		rec.Tried = append(rec.Tried, []byte(d))
	}
	return t.Put(holdsKey(a, seq), rec)
}

// takeOver gives a new request the DAGs that it holds besides its own, of those that the replaced
// request held. The DAGs' counts of holders do not change by that. It lets go of the others.
func (s *Store) takeOver(t *kv.Tx, is, was *request) (released []pin.Attempt, err error) {
	held, err := s.tookOver(&t.Reader, was.account, was.Seq)
	if err != nil {
		return nil, err
	}
	if was.dag() == "" { // its record cannot be read, so its DAG stays held
		return s.letGoTaken(t, is.account, held)
	}
	var kept, rest taken
	if is.status == codeQueued {
		kept, rest = held.after(was, is.dag())
		if was.status == codePinned {
			if err := s.charge(t, is.account, was.dag(), 1); err != nil {
				return nil, err
			}
		}
	} else {
		rest = held
		if was.status != codeFailed {
			rest.tried = append(rest.tried, was.dag())
		}
	}
	if err := s.putTaken(t, is.account, is.Seq, kept); err != nil {
		return nil, err
	}
	return s.letGoTaken(t, is.account, rest)
}

// after splits what a replaced request held: its own DAG, and h. kept is what the request for d
// that replaces it holds besides d, and rest is what is let go of.
func (h taken) after(was *request, d pin.DAG) (kept, rest taken) {
	chain := slices.Clone(h.tried)
	switch was.status {
	case codePinned: // such a request holds nothing else
		kept.pinned = was.dag()
	case codePinning:
		kept.pinned = h.pinned
		chain = append(chain, was.dag())
	case codeQueued: // nothing was fetched for it
		kept.pinned = h.pinned
		rest.tried = append(rest.tried, was.dag())
	}
	if kept.pinned == d {
		kept.pinned, rest.pinned = "", d
	}
	for _, old := range slices.Backward(chain) {
		if old == d || len(kept.tried) == pin.KeptTries || slices.Contains(kept.tried, old) {
			rest.tried = append(rest.tried, old)
		} else {
			kept.tried = append(kept.tried, old)
		}
	}
	slices.Reverse(kept.tried)
	return kept, rest
}

// letGoTaken lets go of DAGs that a request of an account had taken over.
func (s *Store) letGoTaken(t *kv.Tx, a kv.Account, h taken) ([]pin.Attempt, error) {
	if h.pinned != "" {
		if err := s.charge(t, a, h.pinned, -1); err != nil {
			return nil, err
		}
	}
	return s.held.LetGo(t, h.all())
}

// letGoHeld lets go of all DAGs that a request holds.
func (s *Store) letGoHeld(t *kv.Tx, req *request) (released []pin.Attempt, err error) {
	if req.status == codeFailed {
		return nil, nil
	}
	h, err := s.tookOver(&t.Reader, req.account, req.Seq)
	if err != nil {
		return nil, err
	}
	t.Delete(holdsKey(req.account, req.Seq))
	if released, err = s.letGoTaken(t, req.account, h); err != nil {
		return nil, err
	}
	if req.dag() == "" { // its record cannot be read, and no list has it
		return released, nil
	}
	return s.held.LetGoMany(t, req.dag(), 1, released)
}

// takersPerChange is how many requests one change lets go of what they took over: with the
// longest CIDs that is half of what a commit holds.
const takersPerChange = 64

// takers lists the requests in candidates that hold more than their own DAG. It lists up to limit
// of them. If there are more, it removes the first that is too many and all after it from
// candidates, and sets more.
func takers(t *kv.Tx, of chunkOf, candidates *chunk, limit int) (takers []uint64, more bool, err error) {
	if candidates.empty() {
		return nil, false, nil
	}
	// Few requests hold more than their own DAG, so it goes through those.
	first, end := seqAt(of.number, 0), seqAt(of.number+1, 0)
	prefix := kv.AccountPrefix(KHolds, of.account)
	err = t.Scan(kv.Span{Prefix: prefix, From: holdsKey(of.account, first), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		seq := binary.BigEndian.Uint64(key[len(prefix):])
		if seq >= end {
			return false, nil
		}
		_, bit := place(seq)
		if !candidates.has(bit) {
			return true, nil
		}
		if len(takers) == limit {
			candidates.clip(0, bit)
			more = true
			return false, nil
		}
		takers = append(takers, seq)
		return true, nil
	})
	return takers, more, err
}

// letGoOfTakers lets go of what some requests of an account had taken over.
func (s *Store) letGoOfTakers(t *kv.Tx, a kv.Account, takers []uint64) (released []pin.Attempt, err error) {
	for _, seq := range takers {
		h, err := s.tookOver(&t.Reader, a, seq)
		if err != nil {
			return nil, err
		}
		some, err := s.letGoTaken(t, a, h)
		if err != nil {
			return nil, err
		}
		released = append(released, some...)
		t.Delete(holdsKey(a, seq))
	}
	return released, nil
}

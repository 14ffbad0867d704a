package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// Amount is how many blocks there are, and how many bytes they have.
type Amount struct {
	Blocks uint64
	Bytes  uint64
}

// Stats says what a store has.
type Stats struct {
	// Live is the blocks that some DAG needs, each counted once.
	Live Amount
	// Dead is the blocks that no DAG needs any more, and that the next reclaim deletes.
	Dead Amount
	// Disk is the bytes that the database takes on disk, and Free what is free on its file
	// system.
	Disk uint64
	Free uint64
	// Damaged is how many files of the value log are known to be damaged. Once all that was
	// alive in one was moved or fetched again, the next reclaim sees that, and the restart
	// after it gives back the file's space.
	Damaged int
	// Unreadable is blocks that were read since the store was opened, and that could not be
	// read or had another hash: the first thousand. Verify finds all.
	Unreadable []cid.Cid
	// DAGs is how many DAGs some request holds, and Complete how many of those are whole on
	// disk.
	DAGs     uint64
	Complete uint64
	Accounts uint64
	Requests map[pin.Status]uint64 // every status has an entry
	// Damaged records, but for links and nodes: those are as many as blocks, and Verify finds
	// them.
	DamagedRecords
}

// Stats counts what there is. It reads all links, about a million in a second. What changes meanwhile
// may or may not be counted.
func (s *Store) Stats(ctx context.Context) (st Stats, err error) {
	for _, step := range []func(context.Context, kv.KeyWalk, *Stats) error{s.countLive, s.countDead, s.countDAGs} {
		if err := step(ctx, s.kv.Walk, &st); err != nil {
			return Stats{}, kv.Wrap(err, "count what the store has")
		}
	}
	if st.Requests, err = s.requestRecords.CountRequests(ctx, s.kv.Walk); err != nil {
		return Stats{}, kv.Wrap(err, "count what the store has")
	}
	if err := s.checkRecords(ctx, false, st.DamagedRecords.note); err != nil {
		return Stats{}, err
	}
	if st.Accounts, err = s.kv.CountKeys(ctx, []byte{accounts.KLogin}); err != nil {
		return Stats{}, kv.Wrap(err, "count accounts")
	}
	if st.Disk, err = space.DiskUse(s.dbDir); err != nil {
		return Stats{}, err
	}
	if st.Free, err = s.cfg.FreeSpace(s.dbDir); err != nil {
		return Stats{}, err
	}
	if st.Damaged, _, err = s.space.DamagedLogs(); err != nil {
		return Stats{}, err
	}
	if st.Unreadable, err = s.held.StillUnreadable(ctx); err != nil {
		return Stats{}, kv.Wrap(err, "read unreadable blocks again")
	}
	return st, nil
}

// DamagedFiles counts the files of the database that are known to be damaged. It looks for none.
func (s *Store) DamagedFiles() (int, error) {
	n, _, err := s.space.DamagedLogs()
	return n, err
}

func (s *Store) countLive(ctx context.Context, walk kv.KeyWalk, st *Stats) error {
	var last []byte
	return walk(ctx, kv.Span{Prefix: []byte{holding.KLinkTo}}, func(key, value []byte) error {
		l, err := holding.SplitLinkTo(key)
		if err != nil || string(l.Hash) == string(last) {
			return err
		}
		last = append(last[:0], l.Hash...)
		st.Live.Blocks++
		st.Live.Bytes += uint64(holding.SizeOr0(key, value))
		return nil
	})
}

func (s *Store) countDead(ctx context.Context, walk kv.KeyWalk, st *Stats) error {
	var page []graph.Ref
	count := func() error {
		dead, err := s.held.Unclaimed(page)
		for _, d := range dead {
			st.Dead.Blocks++
			st.Dead.Bytes += uint64(d.Size)
		}
		page = page[:0]
		return err
	}
	err := walk(ctx, kv.Span{Prefix: []byte{holding.KLoose}}, func(key, value []byte) error {
		page = append(page, graph.Ref{Hash: append(multihash.Multihash(nil), key[1:]...), Size: holding.SizeOr0(key, value)})
		if len(page) == holding.DeletesPerBatch {
			return count()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.kv.Enter(ctx); err != nil {
		return err
	}
	defer s.kv.Leave()
	return count()
}

func (s *Store) countDAGs(ctx context.Context, walk kv.KeyWalk, st *Stats) error {
	return walk(ctx, kv.Span{Prefix: []byte{holding.KDAG}}, func(key, value []byte) error {
		st.DAGs++
		var rec holding.DAGRecord
		if err := kv.Decode(value, &rec); errors.Is(err, pin.ErrUnreadable) {
			return s.kv.View(ctx, func(r *kv.Reader) error {
				rec, _, err := s.held.DAG(r, pin.DAG(key[3:]))
				if err == nil && rec.Complete {
					st.Complete++
				}
				return kv.PassUnreadable(err)
			})
		} else if err != nil {
			return fmt.Errorf("DAG %x: %w", key, err)
		}
		if rec.Complete {
			st.Complete++
		}
		return nil
	})
}

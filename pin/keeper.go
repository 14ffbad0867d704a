package pin

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

const (
	// keepInterval is how often what is kept of unfinished DAGs is looked through; less
	// often if that takes long, so that it takes a twentieth of the time at most.
	keepInterval = time.Minute
	keepRest     = 20
	// So many of those whose time to give way comes first are remembered in one look.
	giveWayMost = 1024
	// On a full disk so much more gives way than is missing, so that the next pin does not
	// find it full at once. After that nothing gives way for roomTakes: only a reclaim
	// turns it into room.
	roomMargin = 64 << 20
	roomTakes  = 10 * time.Minute
)

// keeper looks after what is there of DAGs that wait for a source, also of those that are
// on disk alone. What was kept for long enough fails. What is more than the quota of the
// accounts that wait for it gives way, oldest first, and so does what a full disk has to
// have room for: the requests go on waiting, and begin anew when a source is found.
type keeper struct {
	jobs   *scheduler
	quotas Quotas // may be nil
	engine Engine
	log    *slog.Logger
	began  time.Time // by the scheduler's clock

	gaveRoom time.Time // when something last gave way to a full disk
	kept     atomic.Int64
	bytes    atomic.Uint64
}

// loop looks at intervals, until ctx ends.
func (k *keeper) loop(ctx context.Context) {
	k.began = k.jobs.clock.Now()
	pause := keepInterval
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		err := k.look(ctx)
		k.jobs.drops.suspect(err)
		if err != nil && ctx.Err() == nil {
			k.log.Error("look through what is kept of unfinished pins", "err", err)
		}
		pause = max(keepInterval, keepRest*time.Since(began))
	}
}

// look goes through all that is kept once, and again if something is to give way.
func (k *keeper) look(ctx context.Context) error {
	held := map[string]uint64{} // bytes, by account
	var n int64
	var bytes uint64
	for w, err := range k.jobs.work.Partials(ctx) {
		if err != nil {
			return err
		}
		if k.expired(w) {
			if err := k.expire(ctx, w); err != nil {
				return err
			}
			continue
		}
		n++
		bytes += w.Bytes
		for _, account := range w.Accounts {
			held[account] += w.Bytes
		}
	}
	k.kept.Store(n)
	k.bytes.Store(bytes)
	over, err := k.over(ctx, held)
	if err != nil {
		return err
	}
	room := k.roomWanted(ctx)
	if len(over) == 0 && room == 0 {
		return nil
	}
	return k.giveWay(ctx, over, room)
}

// expired reports whether a DAG that no job in memory is for was kept for long enough. One
// that is in memory fails by its own clock. What was on disk alone while the server was
// down has the stall timeout for a try.
func (k *keeper) expired(w Waiting) bool {
	s := k.jobs
	now := s.clock.Now()
	if now.Sub(k.began) < s.cfg.StallTimeout || now.Sub(w.Last.Add(-s.clock.Lost())) < max(s.cfg.StallTimeout, s.cfg.KeepPartial) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[w.DAG] == nil
}

// expire has the requests for a DAG fail.
func (k *keeper) expire(ctx context.Context, w Waiting) error {
	reason := fmt.Sprintf("no block was received for %v, after %d blocks", max(k.jobs.cfg.StallTimeout, k.jobs.cfg.KeepPartial), w.Blocks)
	if w.Troubles != "" {
		reason += "; " + w.Troubles
	}
	released, err := k.jobs.work.Fail(ctx, w.DAG, reason)
	if err != nil {
		return err
	}
	k.jobs.drops.add(released)
	k.jobs.changes.tell(w.DAG, Change{})
	k.jobs.counts.failed.Add(1)
	k.log.Warn("pin failed", "cid", w.DAG, "accounts", w.Accounts, "reason", reason)
	return nil
}

// over gives by how many bytes accounts have more than their quotas, with what is kept for
// them.
func (k *keeper) over(ctx context.Context, held map[string]uint64) (map[string]uint64, error) {
	if k.quotas == nil {
		return nil, nil
	}
	var over map[string]uint64
	for account, bytes := range held {
		limit, err := k.quotas.Quota(ctx, account)
		if err != nil {
			return nil, fmt.Errorf("read quota: %w", err)
		}
		if limit.Bytes == 0 {
			continue
		}
		used, err := k.jobs.requests.Usage(ctx, account)
		if err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		if all := used.Bytes + bytes; all > limit.Bytes {
			if over == nil {
				over = map[string]uint64{}
			}
			over[account] = all - limit.Bytes
		}
	}
	return over, nil
}

// roomWanted gives how many bytes are to give way since the disk is full; 0 is none.
func (k *keeper) roomWanted(ctx context.Context) uint64 {
	now := k.jobs.clock.Now()
	if !k.gaveRoom.IsZero() && now.Sub(k.gaveRoom) < roomTakes {
		return 0
	}
	return missingRoom(k.engine.Room(ctx, 0))
}

// missingRoom gives how many bytes are to give way after an error: 0 unless it is an
// ErrDiskFull.
func missingRoom(err error) uint64 {
	if !errors.Is(err, ErrDiskFull) {
		return 0
	}
	full, ok := errors.AsType[*DiskFullError](err)
	if !ok {
		return roomMargin
	}
	missing := full.More
	if full.Kept > full.Free {
		missing += full.Kept - full.Free
	}
	return missing + roomMargin
}

// giveWay lets go of what was kept longest, until no account has more than its quota and
// the disk is to have so much room.
func (k *keeper) giveWay(ctx context.Context, over map[string]uint64, room uint64) error {
	oldest, err := k.oldest(ctx, over, room > 0)
	if err != nil {
		return err
	}
	for _, w := range oldest {
		why := "the disk is full"
		if isOver(over, w.Accounts) {
			why = "it is more than the quota"
		} else if room == 0 {
			continue
		}
		done, err := k.letGo(ctx, w, why)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		for _, account := range w.Accounts {
			if left := over[account]; left > w.Bytes {
				over[account] = left - w.Bytes
			} else {
				delete(over, account)
			}
		}
		if room > 0 {
			k.gaveRoom = k.jobs.clock.Now()
			room -= min(room, w.Bytes)
		}
	}
	return nil
}

// isOver reports whether all of the accounts have more than their quotas: what one has
// room for is kept for the others too.
func isOver(over map[string]uint64, accounts []string) bool {
	for _, account := range accounts {
		if over[account] == 0 {
			return false
		}
	}
	return len(accounts) > 0
}

// oldest gives those that may give way, the one first whose last block is the longest ago.
func (k *keeper) oldest(ctx context.Context, over map[string]uint64, full bool) ([]Waiting, error) {
	var newest newestFirst
	for w, err := range k.jobs.work.Partials(ctx) {
		if err != nil {
			return nil, err
		}
		if w.Bytes == 0 || !full && !isOver(over, w.Accounts) || !k.jobs.idle(w) {
			continue
		}
		heap.Push(&newest, w)
		if len(newest) > giveWayMost {
			heap.Pop(&newest)
		}
	}
	sorted := make([]Waiting, len(newest))
	for i := len(newest) - 1; i >= 0; i-- {
		sorted[i] = heap.Pop(&newest).(Waiting)
	}
	return sorted, nil
}

// letGo lets go of what is there of a DAG.
func (k *keeper) letGo(ctx context.Context, w Waiting, why string) (done bool, err error) {
	released, err := k.jobs.work.GiveWay(ctx, w.DAG)
	if !made(err) || len(released) == 0 {
		return false, err
	}
	k.jobs.gaveWay(w.DAG)
	k.jobs.drops.add(released)
	k.log.Warn("what came of a pin gives way, and is fetched again when a source is found",
		"cid", w.DAG, "accounts", w.Accounts, "blocks", w.Blocks, "bytes", w.Bytes,
		"kept_for", k.jobs.clock.Now().Sub(w.Last.Add(-k.jobs.clock.Lost())).Round(time.Second), "reason", why)
	return true, nil
}

// idle reports whether a DAG has received nothing for so long that it may give way: it does
// not wait for the disk itself, and had the time to find a source.
func (s *scheduler) idle(w Waiting) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	last := w.Last.Add(-s.clock.Lost())
	if j := s.jobs[w.DAG]; j != nil {
		if j.blocked || j.repair || j.handles() {
			return false
		}
		if m := j.lastMoved(); m.After(last) {
			last = m
		}
	}
	return now.Sub(last) >= s.cfg.IdleTimeout
}

// gaveWay notes that what was there of a DAG was let go of. A run that goes on ends, since
// its attempt was released.
func (s *scheduler) gaveWay(d DAG) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[d]
	if j == nil {
		return
	}
	j.gaveWay, j.best = true, 0
	j.kept.Blocks, j.kept.Bytes = 0, 0
	if j.kept.Last.IsZero() {
		j.kept.Last = j.lastMoved()
	}
	if j.State() == turns.Parked {
		j.progress = nil
		s.setParked(j, s.clock.Now().Add(keptPause))
	}
}

// newestFirst is a heap of what may give way, the last of it first.
type newestFirst []Waiting

func (h newestFirst) Len() int           { return len(h) }
func (h newestFirst) Less(i, j int) bool { return h[i].Last.After(h[j].Last) }
func (h newestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newestFirst) Push(w any)        { *h = append(*h, w.(Waiting)) }
func (h *newestFirst) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h = old[:len(old)-1]
	return w
}

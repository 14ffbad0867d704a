package pin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

// Upload is what a client of an account sends, block by block, to be pinned. Nothing of it is
// anybody's until a request for it is pinned:
//
//	u, err := m.Upload(ctx, account)
//	defer u.Close()
//	u.Put(ctx, c, data) // again and again
//	u.Flush(ctx)
//	v, err := m.Add(ctx, account, Spec{...})
//	u.HoldFor(v)
//
// The request is one like any other. As all blocks are here, its fetch asks nobody for
// anything. An upload that is closed before that leaves nothing behind: the next reclaim
// deletes what nothing else holds, also if the process ends.
//
// While it runs, the account's quotas, the limits of a DAG, the denylists and the floor of
// free disk space hold, over all uploads of the account together. What was here before
// counts for nothing, and what the upload repeats counts again, except for empty blocks. So a
// quota or a limit of bytes ends an upload that goes on and on. Without one, only the floor
// of free disk space does, which repeats never reach. What the account is charged is exact,
// and decided when the request is pinned.
//
// Its methods may be called concurrently.
type Upload struct {
	m       *Manager
	account string
	in      Intake

	mu      sync.Mutex
	bytes   uint64 // that count for the account until Charged
	blocks  uint64 // of those
	waits   []member
	closed  bool
	refused error // what the account was refused for; nothing is taken after it
}

// Upload begins an upload of an account. The caller closes it. Errors: ErrClosed; ErrDiskFull;
// ErrUnsupported; those of the disk.
func (m *Manager) Upload(ctx context.Context, account string) (*Upload, error) {
	if err := m.enter(); err != nil { // until Close
		return nil, err
	}
	in, err := m.beginUpload(ctx)
	m.full.pinRefused(err)
	if err != nil {
		m.calls.Done()
		return nil, err
	}
	m.uploads.join(account)
	return &Upload{m: m, account: account, in: in}, nil
}

func (m *Manager) beginUpload(ctx context.Context) (Intake, error) {
	if err := m.engine.Room(ctx, 0); err != nil {
		return nil, err
	}
	in, err := m.drops.begin(func() (Intake, error) { return m.engine.Upload(ctx, m.cfg.Limits) })
	if err != nil {
		return nil, fmt.Errorf("begin an upload: %w", err)
	}
	return in, nil
}

// Put takes a block whose data has the hash of c; the caller has checked that, and does not
// change data any more. Errors: those of [Intake].Put; a *QuotaError; ErrDenied.
func (u *Upload) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if err := u.stopped(); err != nil {
		return err
	}
	news, err := u.in.Put(ctx, c, data)
	if err != nil {
		u.m.full.pinRefused(err)
		return err
	}
	if news == 0 {
		return nil
	}
	if err := u.count(ctx, uint64(news)); err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.refused = err
		return err
	}
	return nil
}

// stopped gives why nothing is taken any more.
func (u *Upload) stopped() error {
	if u.m.ctx.Err() != nil {
		return ErrClosed
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.refused
}

// count notes that something came, and fails if that is more than may be. What it adds counts
// for the account as well, whatever it returns: Charged takes both off again.
func (u *Upload) count(ctx context.Context, n uint64) error {
	u.mu.Lock()
	if u.closed { // meanwhile; nothing would take it off again
		u.mu.Unlock()
		return ErrClosed
	}
	u.bytes += n
	u.blocks++
	bytes, blocks := u.bytes, u.blocks
	quota := u.m.mayUpload(ctx, u.account, n)
	u.mu.Unlock()
	if limit := u.m.cfg.Limits.Bytes; limit > 0 && bytes > limit {
		return Refused("the upload has more than the %d bytes that pin.max_dag_bytes allows", limit)
	}
	if limit := u.m.cfg.Limits.Blocks; limit > 0 && blocks > limit {
		return Refused("the upload has more than the %d blocks that pin.max_dag_blocks allows", limit)
	}
	return quota
}

// Get reads a block that was put. Errors: ErrNotFound; ErrClosed.
func (u *Upload) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := u.stopped(); err != nil {
		return nil, err
	}
	return u.in.Get(ctx, c)
}

// Flush makes durable what was put. A request may be made only after it.
func (u *Upload) Flush(ctx context.Context) error {
	if err := u.stopped(); err != nil {
		return err
	}
	err := u.in.Flush(ctx)
	u.m.full.pinRefused(err)
	return err
}

// Lacks looks for a block of a DAG that is not here, after Flush; missing is undefined if all
// of them are here. Then a request for it is pinned without asking anybody.
func (u *Upload) Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error) {
	if err := u.stopped(); err != nil {
		return cid.Undef, err
	}
	return u.in.Lacks(ctx, root)
}

// HoldFor keeps what was put until the request is done, also after Close.
func (u *Upload) HoldFor(v View) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waits = append(u.waits, member{v.Account, v.ID})
}

// Charged says that a request for all that was put so far is pinned: the account is charged
// for it, so it does not count as an upload any more.
func (u *Upload) Charged() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.m.uploads.take(u.account, u.bytes)
	u.bytes, u.blocks = 0, 0
}

// Close ends the upload. What no request holds goes with the next reclaim. It may be called
// twice.
func (u *Upload) Close() error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	u.refused = ErrClosed
	waits := u.waits
	u.mu.Unlock()
	defer u.m.calls.Done()
	err := u.in.Close()
	end := func() {
		u.m.drops.ended(u.in.Attempt())
		u.Charged()
		u.m.uploads.leave(u.account)
	}
	if len(waits) == 0 {
		end()
		return err
	}
	u.m.tasks.run(func() {
		// If the manager closes first, the next start drops it.
		if u.m.awaitDone(waits) == nil {
			end()
		}
	})
	return err
}

const (
	// lookFirst and lookMax are the pauses between looks whether requests are done. What an
	// upload holds beside a request may wait.
	lookFirst = 10 * time.Millisecond
	lookMax   = time.Second
)

// awaitDone waits until requests are done, or gone. It fails if the manager closes.
func (m *Manager) awaitDone(all []member) error {
	for pause := lookFirst; len(all) > 0; {
		r, err := m.requests.Get(m.ctx, all[0].account, all[0].id)
		if err == nil && r.Status.Done() || errors.Is(err, ErrNotFound) {
			all = all[1:]
			continue
		}
		select {
		case <-m.ctx.Done():
			return ErrClosed
		case <-time.After(pause):
			pause = min(2*pause, lookMax)
		}
	}
	return nil
}

// uploads counts what is being uploaded, by account.
type uploads struct {
	mu  sync.Mutex
	all map[string]*uploading
}

// uploading is the uploads of one account.
type uploading struct {
	n     int
	bytes uint64 // that count
	quota Quota
	usage Usage
	read  time.Time // when these were
}

// readQuota is how long a quota and a usage count before they are read again.
const readQuota = time.Second

func (u *uploads) join(account string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[string]*uploading)
	}
	if u.all[account] == nil {
		u.all[account] = new(uploading)
	}
	u.all[account].n++
}

func (u *uploads) leave(account string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.all[account]
	if of.n--; of.n == 0 {
		delete(u.all, account)
	}
}

// take takes bytes off those that count.
func (u *uploads) take(account string, bytes uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if of := u.all[account]; of != nil {
		of.bytes -= bytes
		of.read = time.Time{} // the account is charged something else now
	}
}

// mayUpload counts bytes that an account uploads, and fails if they are more than it may have.
// Errors: a *QuotaError.
func (m *Manager) mayUpload(ctx context.Context, account string, n uint64) error {
	m.uploads.mu.Lock()
	defer m.uploads.mu.Unlock()
	of := m.uploads.all[account]
	of.bytes += n
	if m.cfg.Quotas == nil {
		return nil
	}
	if now := m.jobs.clock.Now(); now.Sub(of.read) >= readQuota || of.read.IsZero() {
		// Others wait meanwhile: both are read from memory or by a few keys.
		var err error
		if of.quota, err = m.cfg.Quotas.Quota(ctx, account); err != nil {
			return fmt.Errorf("read quota: %w", err)
		}
		if of.usage, err = m.requests.Usage(ctx, account); err != nil {
			return fmt.Errorf("read usage: %w", err)
		}
		of.read = now
	}
	if limit := of.quota.Pins; limit > 0 && of.usage.Pins >= limit {
		return &QuotaError{Pins: true, Used: of.usage.Pins, Limit: limit}
	}
	if limit := of.quota.Bytes; limit > 0 && (of.usage.Bytes > limit || of.bytes > limit-of.usage.Bytes) {
		return &QuotaError{Used: of.usage.Bytes, Asked: of.bytes, Limit: limit}
	}
	return nil
}

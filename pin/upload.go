package pin

import (
	"cmp"
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
// free disk space hold, over all uploads of the account together. What was here before is not
// added to what the account has, as it may be the account's own. But an upload holds it, so alone
// it may not be more than the account or a DAG may have at all. What the upload repeats counts
// again, also empty blocks if they are many. So a quota or a limit of bytes ends an upload that goes
// on and on. Without one, only the floor of free disk space does, which repeats never reach. What
// the account is charged is exact, and decided when the request is pinned.
//
// Its methods may be called concurrently.
type Upload struct {
	m       *Manager
	account string

	mu      sync.Mutex
	in      Intake
	took    amount // what came since in began, whether it counts or not
	renew   bool   // all of that is charged, and it is much: in is replaced before more comes
	bytes   uint64 // that count for the account until Charged
	blocks  uint64 // of those
	here    amount // what came since then and was here before
	empty   uint64 // empty blocks that came
	waits   []View
	closed  bool
	refused error // what the account was refused for; nothing is taken after it
	kept    bool  // what came is kept after Close, without a request
}

// amount is how much came.
type amount struct{ bytes, blocks uint64 }

// An upload holds what it was charged for as well, and what is unpinned meanwhile would stay on
// disk until Close. So an intake ends once this much of it is charged: few enough bytes to matter
// little beside any quota, and so many blocks that the end of an intake costs little beside them.
const (
	heldBytes  = 256 << 20
	heldBlocks = 64 << 10
)

// freeEmpty is how many empty blocks an upload may have that count for nothing. The others are
// repeats, as there is one for each codec and hash function, and count as blocks of one byte.
const freeEmpty = 1024

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

// uploadAhead is how much room an upload finds before it takes a block, or something gives way:
// more than what it has in memory and has not written.
const uploadAhead = 32 << 20

// roomToUpload fails if there is no room for so many bytes, and nothing gives way.
func (m *Manager) roomToUpload(ctx context.Context, bytes uint64) error {
	err := m.engine.Room(ctx, bytes)
	if errors.Is(err, ErrDiskFull) && m.graces.giveWay(ctx, err) {
		err = m.engine.Room(ctx, bytes)
	}
	return err
}

func (m *Manager) beginUpload(ctx context.Context) (Intake, error) {
	if err := m.roomToUpload(ctx, 0); err != nil {
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
	// It does not fail by this: the place knows best how much it has to write.
	if err := u.m.roomToUpload(ctx, uploadAhead); err != nil && !errors.Is(err, ErrDiskFull) {
		return err
	}
	in, err := u.forPut(ctx, len(data))
	if err != nil {
		return err
	}
	news, err := in.Put(ctx, c, data)
	if err != nil {
		u.m.full.pinRefused(err)
		return err
	}
	n := uint64(news)
	if len(data) == 0 && u.isManyEmpty() {
		n = 1 // or they would never end
	}
	switch {
	case n > 0:
		err = u.count(ctx, n)
	case len(data) > 0:
		err = u.hold(ctx, uint64(len(data)))
	}
	if err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.refused = err
		return err
	}
	return nil
}

// intake gives what holds the upload, or why nothing is taken any more.
func (u *Upload) intake() (Intake, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.in, u.stopped()
}

// stopped gives why nothing is taken any more. u.mu is held.
func (u *Upload) stopped() error {
	if u.m.ctx.Err() != nil {
		return ErrClosed
	}
	return u.refused
}

// forPut gives the intake for a block of n bytes. It replaces one whose blocks are charged and
// many; its attempt is dropped.
func (u *Upload) forPut(ctx context.Context, n int) (Intake, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.stopped(); err != nil {
		return nil, err
	}
	if u.renew {
		in, err := u.m.beginUpload(ctx)
		if err != nil {
			u.m.full.pinRefused(err)
			return nil, err
		}
		old, waits := u.in, u.waits
		u.in, u.waits, u.took, u.renew = in, nil, amount{}, false
		if err := u.m.endIntake(old, waits, func() {}); err != nil {
			return nil, err
		}
	}
	u.took.bytes += uint64(n)
	u.took.blocks++
	return u.in, nil
}

// isManyEmpty notes that an empty block came, and reports whether it counts.
func (u *Upload) isManyEmpty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.empty++
	return u.empty > freeEmpty
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
	return cmp.Or(u.withinLimits(amount{bytes, blocks}), quota)
}

// hold notes that a block came that was here before, and fails if those are more than the account or
// a DAG may have at all.
func (u *Upload) hold(ctx context.Context, n uint64) error {
	u.mu.Lock()
	u.here.bytes += n
	u.here.blocks++
	here := u.here
	u.mu.Unlock()
	return cmp.Or(u.withinLimits(here), u.m.mayHold(ctx, u.account, here.bytes))
}

// withinLimits fails if something is more than a DAG may have.
func (u *Upload) withinLimits(a amount) error {
	if limit := u.m.cfg.Limits.Bytes; limit > 0 && a.bytes > limit {
		return Refused("the upload has more than the %d bytes that pin.max_dag_bytes allows", limit)
	}
	if limit := u.m.cfg.Limits.Blocks; limit > 0 && a.blocks > limit {
		return Refused("the upload has more than the %d blocks that pin.max_dag_blocks allows", limit)
	}
	return nil
}

// Get reads a block that was put. Errors: ErrNotFound; ErrClosed.
func (u *Upload) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	in, err := u.intake()
	if err != nil {
		return nil, err
	}
	return in.Get(ctx, c)
}

// Flush makes durable what was put. A request may be made only after it.
func (u *Upload) Flush(ctx context.Context) error {
	in, err := u.intake()
	if err != nil {
		return err
	}
	err = in.Flush(ctx)
	u.m.full.pinRefused(err)
	return err
}

// Lacks looks for a block of a DAG that is not here, after Flush; missing is undefined if all
// of them are here. Then a request for it is pinned without asking anybody.
func (u *Upload) Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error) {
	in, err := u.intake()
	if err != nil {
		return cid.Undef, err
	}
	return in.Lacks(ctx, root)
}

// HoldFor keeps what was put until the request is done, also after Close. If the request is replaced by
// another of the account for the same DAG, that one counts.
func (u *Upload) HoldFor(v View) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waits = append(u.waits, v)
}

// Charged says that a request for all that was put so far is pinned: the account is charged
// for it, so it does not count as an upload any more. If it is much, the next Put lets go of it:
// then Get and Lacks know only what came since, and what is on disk.
func (u *Upload) Charged() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.renew = u.took.bytes > heldBytes || u.took.blocks > heldBlocks
	u.m.uploads.take(u.account, u.bytes)
	u.bytes, u.blocks, u.here = 0, 0, amount{}
}

// Keep keeps what was put for [LooseGrace], also after Close and without a request, through
// restarts, until then or until a full disk needs the room. It is served to peers meanwhile, and a
// pin that comes finds it here. It counts against the account's quota of bytes, as a part of what
// the account uploads. What was put is durable when Keep returns nil; nothing is taken after it.
// Errors: those of Flush, and of [Graces].KeepUpload.
func (u *Upload) Keep(ctx context.Context) error {
	if err := u.Flush(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.stopped(); err != nil {
		return err
	}
	// An upload that brought nothing new holds blocks all the same. If it had none, it would never
	// give way to a full disk.
	err := u.m.graces.records.KeepUpload(ctx, u.account, u.in.Attempt(), Totals{Blocks: max(u.blocks, 1), Bytes: u.bytes})
	if !made(err) {
		return err
	}
	u.kept, u.refused = true, ErrClosed
	return err
}

// Close ends the upload. What no request holds, and Keep did not keep, goes with the next reclaim.
// It may be called twice.
func (u *Upload) Close() error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	u.refused = ErrClosed
	in, waits, kept := u.in, u.waits, u.kept
	u.mu.Unlock()
	defer u.m.calls.Done()
	end := func() {
		u.Charged()
		u.m.uploads.leave(u.account)
	}
	if kept {
		defer end()
		u.m.drops.kept(in.Attempt())
		return in.Close()
	}
	return u.m.endIntake(in, waits, end)
}

// endIntake closes an intake. Its attempt is dropped once some requests are done; then it calls
// then.
func (m *Manager) endIntake(in Intake, waits []View, then func()) error {
	err := in.Close()
	end := func() {
		m.drops.ended(in.Attempt())
		then()
	}
	if len(waits) == 0 {
		end()
		return err
	}
	m.tasks.run(func() {
		// If the manager closes first, the next start drops it.
		if m.awaitDone(waits) == nil {
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
func (m *Manager) awaitDone(all []View) error {
	for pause := lookFirst; len(all) > 0; {
		if m.isDone(all[0]) {
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

// isDone reports whether a request is done. One that is gone is done if no other of the account for its
// DAG is under way. What cannot be read is not done.
func (m *Manager) isDone(v View) bool {
	r, err := m.requests.Get(m.ctx, v.Account, v.ID)
	if !errors.Is(err, ErrNotFound) {
		return err == nil && r.Status.Done()
	}
	page, err := m.requests.List(m.ctx, v.Account, Query{Statuses: []Status{Queued, Pinning}, DAGs: []DAG{v.DAG()}, Limit: 1})
	return err == nil && len(page.Requests) == 0
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
	if err := m.refreshQuota(ctx, account, of); err != nil || m.cfg.Quotas == nil {
		return err
	}
	if limit := of.quota.Pins; limit > 0 && of.usage.Pins >= limit {
		return &QuotaError{Pins: true, Used: of.usage.Pins, Limit: limit}
	}
	if limit := of.quota.Bytes; limit > 0 && (of.usage.Bytes > limit || of.bytes > limit-of.usage.Bytes) {
		return &QuotaError{Used: of.usage.Bytes, Asked: of.bytes, Limit: limit}
	}
	return nil
}

// mayHold fails if what an upload of an account holds, and was here before, is more than the account
// may have. Errors: a *QuotaError.
func (m *Manager) mayHold(ctx context.Context, account string, held uint64) error {
	m.uploads.mu.Lock()
	defer m.uploads.mu.Unlock()
	of := m.uploads.all[account]
	if of == nil { // the upload was closed meanwhile
		return ErrClosed
	}
	if err := m.refreshQuota(ctx, account, of); err != nil {
		return err
	}
	if limit := of.quota.Bytes; limit > 0 && held > limit {
		return &QuotaError{Used: of.usage.Bytes, Asked: held, Limit: limit}
	}
	return nil
}

// refreshQuota reads the quota and the usage of an account, if those that are known are old. The lock of
// uploads is held.
func (m *Manager) refreshQuota(ctx context.Context, account string, of *uploading) error {
	now := m.jobs.clock.Now()
	if m.cfg.Quotas == nil || now.Sub(of.read) < readQuota && !of.read.IsZero() {
		return nil
	}
	// Others wait meanwhile: all of it is read from memory or by a few keys, but for what is kept.
	var err error
	if of.quota, err = m.cfg.Quotas.Quota(ctx, account); err != nil {
		return fmt.Errorf("read quota: %w", err)
	}
	if of.usage, err = m.requests.Usage(ctx, account); err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	if of.quota.Bytes > 0 {
		kept, err := m.graces.records.KeptUploads(ctx, account)
		if err != nil {
			return fmt.Errorf("read what is kept of uploads: %w", err)
		}
		of.usage.Bytes += kept.Bytes
	}
	of.read = now
	return nil
}

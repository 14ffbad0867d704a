package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store"
)

// A restore into a running server has three steps. The records of the backup go to a store of
// their own, for the time of the restore: that says which blocks and requests are wanted. The
// blocks go to the server's store, which keeps them meanwhile. The requests are then made anew,
// and walks find the blocks there, hash them, and hold them as those of any pin. What is missing
// they fetch from the network.

// restorer is what a running server restores into.
type restorer struct {
	store *store.Store
	auth  *auth.Service
	pins  restorePins
}

// restorePins is what a restore needs of a *pin.Manager.
type restorePins interface {
	Restore(ctx context.Context, r pin.Restorer, account string, was []pin.Request) (made int, err error)
	Again(ctx context.Context, account string, d pin.DAG) error
	Reach(ctx context.Context, account string, d pin.DAG) (pin.Reach, error)
}

// restoreStock is what a restore needs of a *store.Stock.
type restoreStock interface {
	Has(ctx context.Context, h multihash.Multihash) (bool, error)
	Lost() bool
}

// errNotRunning: only a server can restore into what is there already.
var errNotRunning = errors.New("a backup is restored into a running server, or into an empty data directory")

// Restore implements [admin.Backups].
func (b *backups) Restore(ctx context.Context, in admin.NewRestore, progress func(admin.StoreProgress)) (done admin.Restored, err error) {
	if b.front {
		return done, errFront
	}
	if b.into == nil {
		return done, hint.Add(errNotRunning, "start the server, or name another directory with --data")
	}
	end, err := b.begin("a restore from " + in.From)
	if err != nil {
		return done, err
	}
	defer end()
	place, key, err := b.open(in.From, in.KeyFile)
	if err != nil {
		return done, err
	}
	m, err := backup.Find(ctx, place, key, in.ID)
	if err != nil {
		return done, err
	}
	temp, err := os.MkdirTemp(b.data.File(datadir.TempDirName), "restore-")
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	lock, err := store.Lock(temp)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	scratch, err := store.Restore(ctx, lock, m.ID, m.Layout, choiceOf(in), store.Config{MinFreeSpace: b.minFree, Logger: b.log})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	target := &runningTarget{Restoring: scratch, ctx: ctx, stock: b.store.Stock()}
	defer target.stock.Close()
	restored, err := backup.Restore(ctx, place, key, m, target, func(p backup.Progress) { progress(admin.StoreProgress(p)) })
	done = restoredOf(restored)
	done.Blocks, done.Bytes = target.written, target.writtenBytes
	if err == nil {
		sameKeys := m.Store == b.instance && !in.WithoutTokens
		err = scratch.Read(ctx, func(s *store.Store) error {
			r := &requestsRestore{
				restorer: b.into, from: s, stock: target.stock, tokens: sameKeys, named: in.Accounts, done: &done, progress: progress,
			}
			return r.run(ctx)
		})
	}
	if err == nil && target.stock.Lost() {
		err = store.ErrKeepLost
	}
	if errors.Is(err, store.ErrKeepLost) {
		err = hint.Add(err, "make room, and run it again: blocks that no pin held yet may have been deleted")
	}
	if err == nil {
		b.log.Info("backup restored", "place", place.String(), "backup", m.ID, "accounts", done.Accounts, "requests", done.Requests,
			"blocks", done.Blocks, "missing_blocks", done.Missing, "waiting", done.Waiting, "stuck", done.Stuck, "accounts_left_out", len(done.LeftOut))
	}
	return done, err
}

// runningTarget is the store of a running server. The records go to another.
type runningTarget struct {
	*store.Restoring
	ctx   context.Context
	stock *store.Stock

	batch        []graph.Block
	bytes        int // in the batch
	written      uint64
	writtenBytes uint64
}

// stockBatch is how many bytes of blocks are synced together.
const stockBatch = 16 << 20

// Block implements [backup.Target]. In the other store it notes that the block came.
func (t *runningTarget) Block(h multihash.Multihash, data []byte) error {
	h, data = slices.Clone(h), slices.Clone(data)
	if err := t.Restoring.Block(h, nil); err != nil {
		return err
	}
	t.batch = append(t.batch, graph.Block{Hash: h, Data: data})
	if t.bytes += len(data); t.bytes < stockBatch {
		return nil
	}
	return t.put()
}

func (t *runningTarget) put() error {
	written, bytes, err := t.stock.Put(t.ctx, t.batch)
	t.written += uint64(written)
	t.writtenBytes += bytes
	t.batch, t.bytes = t.batch[:0], 0
	return err
}

// Flush implements [backup.Target].
func (t *runningTarget) Flush() error { return errors.Join(t.put(), t.Restoring.Flush()) }

// Missing implements [backup.Target].
func (t *runningTarget) Missing(ctx context.Context, h multihash.Multihash) (bool, error) {
	has, err := t.stock.Has(ctx, h)
	return !has, err
}

// requestsRestore makes the accounts and requests of a backup in a running server.
type requestsRestore struct {
	*restorer
	from     *store.Store      // has those that are wanted
	stock    restoreStock      // keeps their blocks
	into     map[string]string // accounts here, by those of the backup
	tokens   bool              // tokens of the backup count here
	named    []string          // addresses of accounts that are wanted by name
	done     *admin.Restored
	progress func(admin.StoreProgress)

	total uint64 // that were waited for
}

func (r *requestsRestore) run(ctx context.Context) error {
	all, err := r.from.ListAccounts(ctx)
	if err != nil {
		return fmt.Errorf("read the accounts of the backup: %w", err)
	}
	r.into = make(map[string]string)
	if err := r.ownersGone(ctx, all); err != nil {
		return err
	}
	for _, a := range all {
		if a.Damaged {
			if err := r.leaveOut(ctx, a, "its record in the backup cannot be read"); err != nil {
				return err
			}
			continue
		}
		id, fresh, err := r.account(ctx, a)
		if errors.Is(err, auth.ErrDamaged) {
			err = r.leaveOut(ctx, a, err.Error())
			if err == nil {
				continue
			}
		}
		if errors.Is(err, errRemovedHere) {
			if err = r.leaveOut(ctx, a, err.Error()); err == nil {
				r.done.LeftOut[len(r.done.LeftOut)-1].Removed = true
				continue
			}
		}
		if err != nil {
			return err
		}
		r.into[a.ID] = id
		err = r.eachPage(ctx, a.ID, func(page []pin.Request) error { return r.restore(ctx, id, fresh, page) })
		if err != nil {
			return err
		}
	}
	for _, a := range all {
		id := r.into[a.ID]
		if id == "" {
			continue
		}
		if err := r.eachPage(ctx, a.ID, func(page []pin.Request) error { return r.wait(ctx, id, page) }); err != nil {
			return err
		}
	}
	return nil
}

// leaveOut notes an account that is not restored, nor its pins.
func (r *requestsRestore) leaveOut(ctx context.Context, a auth.Account, reason string) error {
	page, err := r.from.List(ctx, a.ID, pin.Query{Statuses: pin.Statuses(), Limit: 1})
	if err != nil {
		return fmt.Errorf("read the requests of the backup: %w", err)
	}
	r.done.LeftOut = append(r.done.LeftOut, admin.LeftOut{Account: cmp.Or(a.Email, a.ID), Pins: uint64(page.Count), Reason: reason})
	return nil
}

// ownersGone leaves out accounts that have requests in the backup, and are not in it themselves.
func (r *requestsRestore) ownersGone(ctx context.Context, all []auth.Account) error {
	for _, status := range pin.Statuses() {
		owners, err := r.from.Accounts(ctx, status)
		if err != nil {
			return fmt.Errorf("list the owners of pins in the backup: %w", err)
		}
		for _, id := range owners {
			if slices.ContainsFunc(all, func(a auth.Account) bool { return a.ID == id }) ||
				slices.ContainsFunc(r.done.LeftOut, func(l admin.LeftOut) bool { return l.Account == id }) {
				continue
			}
			if err := r.leaveOut(ctx, auth.Account{ID: id}, "the backup has no such account"); err != nil {
				return err
			}
		}
	}
	return nil
}

// account finds the account here that an account of the backup is, or makes it.
func (r *requestsRestore) account(ctx context.Context, a auth.Account) (id string, fresh bool, err error) {
	here, err := r.auth.AccountByID(ctx, a.ID)
	if errors.Is(err, auth.ErrNoAccount) {
		here, err = r.auth.AccountByEmail(ctx, a.Email)
	}
	if err == nil || !errors.Is(err, auth.ErrNoAccount) {
		return here.ID, false, err
	}
	if !slices.ContainsFunc(r.named, func(email string) bool { return strings.EqualFold(email, a.Email) }) {
		removed := false
		err := r.events(ctx, auth.EventAccountRemoved, a.ID, func(auth.Event) { removed = true })
		if err == nil && removed {
			err = errRemovedHere
		}
		if err != nil {
			return "", false, err
		}
	}
	var tokens []auth.Token
	if r.tokens {
		if tokens, err = r.from.ListTokens(ctx, a.ID); err != nil {
			return "", false, fmt.Errorf("read the tokens of the backup: %w", err)
		}
		revoked := make(map[string]bool)
		for _, kind := range []auth.EventKind{auth.EventTokenRevoked, auth.EventLogout} {
			if err := r.events(ctx, kind, a.ID, func(e auth.Event) { revoked[e.Token] = true }); err != nil {
				return "", false, err
			}
		}
		tokens = slices.DeleteFunc(tokens, func(t auth.Token) bool {
			if revoked[t.ID] {
				r.done.RevokedTokens++
			}
			return t.Damaged || revoked[t.ID]
		})
	}
	r.done.Accounts++
	r.done.Made = append(r.done.Made, admin.MadeAccount{Email: a.Email, Admin: a.Admin})
	return a.ID, true, r.auth.RestoreAccount(ctx, a, tokens)
}

// errRemovedHere: an account was removed after the backup was made, so it comes back only by name.
var errRemovedHere = errors.New("it was removed here; --account brings it back, with its password and role")

// events calls do for each event of a kind in the audit record here that happened to an account.
func (r *requestsRestore) events(ctx context.Context, kind auth.EventKind, account string, do func(auth.Event)) error {
	q := auth.EventQuery{Account: account, Kind: kind, Limit: auth.MaxEvents}
	for {
		page, err := r.auth.Events(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.Account == account { // and not only by it
				do(e)
			}
			q.Before = e.ID
		}
		if len(page) < q.Limit {
			return nil
		}
	}
}

// eachPage calls do for the requests of an account in the backup, the oldest first, some at a
// time.
func (r *requestsRestore) eachPage(ctx context.Context, account string, do func([]pin.Request) error) error {
	q := pin.Query{Statuses: pin.Statuses(), Limit: pin.RestoresAtOnce}
	before := []time.Time{{}} // the pages, the newest first
	for {
		q.Before = before[len(before)-1]
		page, err := r.from.List(ctx, account, q)
		if err != nil {
			return fmt.Errorf("read the requests of the backup: %w", err)
		}
		if len(page.Requests) < q.Limit {
			break
		}
		before = append(before, page.Requests[len(page.Requests)-1].Created)
	}
	for _, t := range slices.Backward(before) {
		q.Before = t
		page, err := r.from.List(ctx, account, q)
		if err != nil {
			return fmt.Errorf("read the requests of the backup: %w", err)
		}
		slices.Reverse(page.Requests)
		if err := do(page.Requests); err != nil {
			return err
		}
	}
	return nil
}

// restore makes requests of an account here. fresh says that the account had none before.
func (r *requestsRestore) restore(ctx context.Context, account string, fresh bool, page []pin.Request) error {
	var some []pin.Request
	for _, was := range page {
		switch there, err := r.there(ctx, account, fresh, was); {
		case err != nil:
			return err
		case was.Damaged:
			r.done.Unreadable++
		case there:
			r.done.There++
			// Its blocks may be here only now.
			if err := r.pins.Again(ctx, account, was.DAG()); err != nil {
				return err
			}
		default:
			some = append(some, was)
		}
	}
	if len(some) == 0 {
		return nil
	}
	made, err := r.pins.Restore(ctx, r.store, account, some)
	r.done.Requests += uint64(made)
	r.progress(admin.StoreProgress{Text: "making requests", Done: r.done.Requests + r.done.There})
	return err
}

// there reports whether an account has a request already: with its ID, or else as many that say
// the same as the backup has up to this one. One that failed here stands only for one that failed
// in the backup, too: nothing would hold the blocks of any other.
func (r *requestsRestore) there(ctx context.Context, account string, fresh bool, was pin.Request) (bool, error) {
	if fresh || was.Damaged {
		return false, nil
	}
	here, err := r.store.Get(ctx, account, was.ID)
	if err == nil {
		return !failedSince(here, was), nil
	}
	if !errors.Is(err, pin.ErrNotFound) {
		return false, err
	}
	q := pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{was.DAG()}, Name: was.Name, Limit: 1000}
	alike, err := r.alike(ctx, r.store, account, r.from, was, q)
	if err != nil || alike == 0 {
		return false, err
	}
	q.Before = was.Created.Add(time.Millisecond)
	there, err := r.alike(ctx, r.from, was.Account, r.store, was, q)
	return alike >= there, err
}

// failedSince reports whether a request failed that had not failed in the backup.
func failedSince(here, was pin.Request) bool {
	return here.Status == pin.Failed && !here.Damaged && was.Status != pin.Failed
}

// alike counts the requests of a store that say what one of the backup says, and whose IDs are
// not in the other store.
func (r *requestsRestore) alike(ctx context.Context, in *store.Store, account string, other *store.Store, was pin.Request, q pin.Query) (n int, err error) {
	page, err := in.List(ctx, account, q)
	if err != nil {
		return 0, err
	}
	otherAccount := was.Account
	if in == r.from {
		otherAccount = r.into[was.Account]
	}
	for _, o := range page.Requests {
		if o.Name != was.Name || !maps.Equal(o.Meta, was.Meta) || failedSince(o, was) {
			continue
		}
		has, err := hasRequest(ctx, other, otherAccount, o.ID)
		if err != nil {
			return 0, err
		}
		if !has {
			n++
		}
	}
	return n, nil
}

func hasRequest(ctx context.Context, s *store.Store, account, id string) (bool, error) {
	_, err := s.Get(ctx, account, id)
	if errors.Is(err, pin.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

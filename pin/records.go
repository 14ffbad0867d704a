package pin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Errors that callers act on. All of them may come wrapped.
var (
	// ErrNotFound: no such request, or another account's.
	ErrNotFound = errors.New("no such pin request")
	// ErrTooFast: an account made more requests than there are milliseconds
	// to tell them apart; try again in a second.
	ErrTooFast = errors.New("too many pin requests at once for this account")
	// ErrDiskFull: the floor of free disk space is reached; nothing was written.
	// It may come as a [DiskFullError].
	ErrDiskFull = diskerr.ErrDiskFull
	// ErrUnwritable: the disk does not take what is written to it; nothing was changed.
	ErrUnwritable = diskerr.ErrUnwritable
	// ErrInDoubt: the disk failed while the change was written. From then on it is
	// read as made, but a crash may undo it. What a method gives beside it is as if
	// it had succeeded.
	ErrInDoubt = diskerr.ErrInDoubt
	// ErrQuota: the account holds as much as it may; nothing was written. It
	// comes as a [QuotaError].
	ErrQuota = errors.New("the account's quota is reached")
	// ErrDenied: the operator's denylists have the content; nothing was written.
	ErrDenied = errors.New("the content is on a denylist of this server")
	// ErrSuperseded: the attempt is no longer the one its DAG is tried by.
	ErrSuperseded = errors.New("the attempt was superseded")
	// ErrClosed: the store or the manager is closing or closed.
	ErrClosed = diskerr.ErrClosed
	// ErrNotFailed: only a failed request can be tried again.
	ErrNotFailed = errors.New("the pin request has not failed")
)

// DiskFullError is an [ErrDiskFull] that says how full the disk is.
type DiskFullError = diskerr.DiskFullError

// KeptTries is how many fetches that were never done a row of replacements keeps.
// Who publishes faster than the network brings it has most of each version in the
// next, so that the newest few have nearly all that came; and what one request
// holds stays so little that a commit lets go of it.
const KeptTries = 4

// Records keeps requests, and what is known of DAGs, on disk.
//
// Every method that changes something returns only after the change would
// survive power loss; calls made at the same time share a sync. All methods
// may be called concurrently. Once closed, methods return [ErrClosed]. The
// manager does not close the Records that it is given. Any change may fail with
// [ErrUnwritable], or with [ErrInDoubt]: then Add, Replace, Remove and Retry give
// what they made beside it, and of all others what was released is found by Released.
//
// The DAG of every request is held: it has a record from the first request
// that names it until the last one that holds it is gone, pinned elsewhere or
// failed. A request holds its DAG while it is queued, pinning or pinned. One
// that came by Replace also holds, until it is done, what was there before it, so
// that shared blocks stay: of the requests in whose row it is, the DAG of the last
// that was pinned, and those of the newest [KeptTries] since that were Pinning when
// they were replaced. What nothing holds any more is released: marked as deleting, in the
// same commit, and returned to the caller so that it calls Drop once no walk writes under
// the attempt.
type Records interface {
	// SetQuotas has accounts kept within what q gives them, as Usage counts it, from
	// now on; without, nothing bounds them. It is not called while another method
	// is. Quotas are kept where requests are made and become pinned, so that they
	// hold exactly, whatever is done at the same time. A change by which an account
	// is charged for no more bytes is never refused for these.
	SetQuotas(q Quotas)

	// Add commits a new request. It gives it its ID and Created; Status is
	// Pinned if the DAG is complete already, else Queued. An account that has as
	// many requests as it may that are queued, pinning or pinned is refused, and
	// one that is charged all that it may be, or would be more than that at once.
	// Errors: ErrTooFast, ErrDiskFull, a *QuotaError.
	Add(ctx context.Context, account string, s Spec) (Request, error)

	// Replace removes request id of the account and adds a new one, in one
	// commit. The new request may be for the same DAG. The old request does not
	// count any more: unless it failed, an account that is at its limit can
	// replace it, and one that is over it cannot. A full account can replace too,
	// unless it would be charged too much at once.
	// Errors: ErrNotFound, ErrTooFast, ErrDiskFull, a *QuotaError.
	Replace(ctx context.Context, account, id string, s Spec) (now, old Request, released []Attempt, err error)

	// Remove deletes a request and gives it as it last was.
	// Errors: ErrNotFound.
	Remove(ctx context.Context, account, id string) (old Request, released []Attempt, err error)

	// Get reads one request. Errors: ErrNotFound.
	Get(ctx context.Context, account, id string) (Request, error)

	// List reads a page of an account's requests, newest first, and counts
	// all that match.
	List(ctx context.Context, account string, q Query) (Page, error)

	// Retry moves a failed request back to Queued and holds its DAG again
	// (or makes it Pinned, if the DAG is complete), within the quotas as Add is.
	// Errors: ErrNotFound, ErrNotFailed, a *QuotaError.
	Retry(ctx context.Context, account, id string) (Request, error)

	// Begin moves every queued request for the DAG to Pinning and gives the
	// attempt to fetch it under: that of an earlier Begin if it was not
	// released, else a new one. If the DAG is complete, Begin settles its
	// requests as Complete does and returns complete = true with the attempt;
	// what they let go of then is found by Released.
	// It writes nothing when there is nothing to change.
	// Errors: ErrNotFound if the DAG is not complete and no request for it is
	// queued or pinning, even if one that came by Replace still holds it.
	Begin(ctx context.Context, d DAG) (a Attempt, complete bool, err error)

	// Complete marks the DAG complete with the given totals, then every
	// request for it Pinned, or Failed if that is over its account's quota of
	// bytes: what the request let go of makes room, and what was complete before a
	// [Refetcher].Refetch is never too much. The caller has made every block and link
	// durable. The mark is atomic; requests follow in as many commits as they
	// need, and after a crash in between UnfinishedAfter still has the rest.
	// released is what the requests no longer hold: the attempt itself too, if
	// all of them failed.
	// Errors: ErrSuperseded if a is not the DAG's attempt.
	Complete(ctx context.Context, d DAG, a Attempt, t Totals) (released []Attempt, err error)

	// Fail makes every queued or pinning request for the DAG Failed, with
	// details, and lets go of what they held.
	Fail(ctx context.Context, d DAG, details string) (released []Attempt, err error)

	// FailOverQuota makes every queued or pinning request of the account for the
	// DAG Failed, with the QuotaError as details, and lets go of what they held, if
	// so many bytes of the DAG are more than its quota has room for, and it is not what
	// was complete before. It says how many those were. Requests of others go on.
	FailOverQuota(ctx context.Context, account string, d DAG, bytes uint64) (failed int, released []Attempt, err error)

	// Accounts lists the accounts that have requests of the given status, each once.
	// A damaged request counts as what it was.
	Accounts(ctx context.Context, s Status) ([]string, error)

	// UnfinishedAfter reads an account's requests of the given status, Queued or
	// Pinning, that were created after the given time, oldest first, at most limit
	// of them (limit > 0).
	UnfinishedAfter(ctx context.Context, account string, s Status, after time.Time, limit int) ([]Request, error)

	// Drop deletes what a released attempt holds and nothing else does, then its deleting
	// mark. It may be interrupted anywhere and called again; an attempt that
	// is dropped already, or never was, is no error. An attempt that is not
	// released is an error, and nothing is dropped.
	Drop(ctx context.Context, a Attempt) error

	// Released yields the attempts that are marked deleting and not dropped
	// yet, as a crash may leave them.
	Released(ctx context.Context) ([]Attempt, error)

	// Usage says what an account takes up. An account without pins, or that
	// there is not, takes up nothing.
	Usage(ctx context.Context, account string) (Usage, error)

	// ReleasedDAG gives the DAG that a released attempt was for, as long as it
	// is not dropped. Errors: ErrNotFound.
	ReleasedDAG(ctx context.Context, a Attempt) (DAG, error)

	// Repairing reports whether a DAG was complete until [Refetcher].Refetch, and is
	// not again. It is false if nothing holds the DAG.
	Repairing(ctx context.Context, d DAG) (bool, error)

	// Room reports whether so many bytes of blocks would be written now; with 0,
	// whether a new request would. Errors: ErrDiskFull.
	Room(ctx context.Context, bytes uint64) error

	// Roots yields every complete DAG.
	Roots(ctx context.Context) iter.Seq2[DAG, error]
}

// Totals is what a complete DAG holds, each block counted once.
type Totals struct {
	Blocks uint64
	Bytes  uint64 // of block data
}

// Match is how a name filter compares, in the words of the PSA.
type Match string

// The PSA's four text matching strategies. "" means Exact.
const (
	Exact    Match = "exact"
	IExact   Match = "iexact"
	Partial  Match = "partial"
	IPartial Match = "ipartial"
)

// Query selects requests of one account. The zero value of each field filters
// nothing, but for Statuses, of which an empty list means Pinned alone (the
// PSA's default), and Limit.
type Query struct {
	Statuses []Status
	DAGs     []DAG             // any of them
	Name     string            // compared by Match
	Match    Match             // "" is Exact
	Meta     map[string]string // all of them
	// PrintedMeta is a map as Go prints it, without map[ and ] around it: what is
	// found has metadata that is printed so, beside any other. Where a key or a value
	// ends is not to be seen in the text, so each way to read it counts. "" is any.
	PrintedMeta string
	Before      time.Time // created strictly before
	After       time.Time // created strictly after
	Limit       int       // most results; 0 counts only
}

// Page is what List gives.
type Page struct {
	Count    int       // of all that match, Before and After included
	Requests []Request // newest first, at most Limit
}

// InvalidError is a bad value in what a client sent.
type InvalidError struct {
	Field string // the PSA's name of it, such as "cid" or "origins"
	Msg   string // what is wrong with it, and what would be right
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Msg) }

package pin

import (
	"context"
	"iter"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// KeptTries is how many unfinished fetches a chain of replacements keeps. An account
// that publishes faster than the network delivers has most of each version in the next
// one, so the newest few have nearly all that was received. The number also bounds what
// one request holds, so that one commit can let go of it.
const KeptTries = 4

// An idempotency key is remembered for KeyAge, and no longer than until the account has made
// KeptKeys other requests, which bounds what an account can have kept: some 20 MiB.
const (
	KeyAge   = 24 * time.Hour // a client that was offline overnight has its answer
	KeptKeys = 100_000
)

// Records keeps requests on disk, and what is known of DAGs. It has four parts, by who
// calls them. One value has all four, since they change together.
//
// # Durability
//
// Every method that changes something returns only after the change would survive a
// power loss; calls made at the same time share a sync. Any change may fail with
// [ErrUnwritable], or with [ErrInDoubt]. After ErrInDoubt, Add, Replace, Remove and
// Retry still return what they made, and Released lists what any other method released.
//
// All methods may be called concurrently, except [Requests].SetQuotas. After the records
// are closed they return [ErrClosed]. The manager does not close the records that it is
// given.
//
// # What a request holds
//
// A DAG has a record from the first request that names it until no request holds it
// any more. A request holds its DAG while it is queued, pinning or pinned.
//
// Until it is done, a request made by Replace also holds the DAG of the last request in
// its chain that was pinned, and the DAGs of the newest [KeptTries] requests that were
// replaced while pinning after that. So blocks that they share stay.
//
// When nothing holds a DAG any more, its attempt is released in the same commit: it is
// marked, and returned to the caller, which sees to it that the [Engine] drops it.
type Records interface {
	Requests
	Work
	Releases
	Graces
}

// Requests is the part of [Records] that clients' calls end at.
type Requests interface {
	// SetQuotas bounds what accounts may have, as Usage counts it. Nil bounds nothing,
	// and so it is until SetQuotas is called. [New] and [NewOffline] call it, once, and no
	// other method is called at the same time. Quotas are checked in the commit that makes
	// a request or that makes it pinned, so they hold exactly, whatever happens at the same
	// time. A change that does not raise what an account is charged is never refused for
	// its quota of bytes, and a request for a DAG that the account has queued, pinning or
	// pinned is never refused for its quota of pins.
	SetQuotas(q Quotas)

	// Add commits a new request and gives it its ID and Created. Its Status is Pinned if
	// the DAG is complete already, else Queued. It is refused if the account has as
	// many DAGs queued, pinning and pinned as it may, or is charged as much as
	// it may be, or would be charged more than that at once.
	//
	// If the spec has an idempotency key, the commit remembers it for the account. A call
	// with the same key and spec makes nothing, is refused by no limit, and returns the
	// request as it is now. Other origins make no other spec, since they are hints. A call
	// that makes no request leaves no key. Calls at the same
	// time count as one after the other.
	// Errors: ErrTooFast, ErrDiskFull unless the DAG lingers for the account, a *QuotaError,
	// ErrKeyReused, ErrKeyGone.
	Add(ctx context.Context, account string, s Spec) (Request, error)

	// Replace removes request id of the account and adds a new one, in one commit. The
	// new request may be for the same DAG. The old request does not count any more, so an
	// account at its limit of pins can replace it by a request for another DAG, unless the
	// old one failed or another request is for its DAG. An account above that limit cannot.
	// An account that is charged as much as it may be can replace too, unless the new
	// request would be charged too much at once. An idempotency key works as for Add, with
	// the id being a part of what was asked for; if the request was made by an earlier call,
	// old is the zero value.
	// Errors: ErrNotFound, ErrTooFast, ErrDiskFull, a *QuotaError, ErrKeyReused, ErrKeyGone.
	Replace(ctx context.Context, account, id string, s Spec) (now, old Request, released []Attempt, err error)

	// Remove deletes a request and returns it as it last was.
	// Errors: ErrNotFound.
	Remove(ctx context.Context, account, id string) (old Request, released []Attempt, err error)

	// Get reads one request, and who delivered its DAG if it is pinned, which no other
	// method does. Errors: ErrNotFound.
	Get(ctx context.Context, account, id string) (Request, error)

	// List reads a page of an account's requests, newest first, and counts all that
	// match.
	List(ctx context.Context, account string, q Query) (Page, error)

	// For reads the account's requests for a CID as it is written, so that versions 0 and 1 of
	// one CID are two: those of all statuses, the newest first, and at most limit of them. A
	// damaged request counts as one for each version. For takes as long in an account of
	// millions of requests as in one of few, and does not wait for what else is being written.
	// It sees every change that had returned when it was called.
	For(ctx context.Context, account string, c cid.Cid, limit int) ([]Request, error)

	// Retry moves a failed request back to Queued and holds its DAG again, or makes it
	// Pinned if the DAG is complete. The quotas apply as they do to Add.
	// Errors: ErrNotFound, ErrNotFailed, a *QuotaError.
	Retry(ctx context.Context, account, id string) (Request, error)

	// Usage says what an account takes up: nothing if it has no pins, or does not exist.
	Usage(ctx context.Context, account string) (Usage, error)
}

// Work is the part of [Records] that brings requests to their end.
type Work interface {
	// Begin moves every queued request for the DAG to Pinning and returns the attempt
	// to fetch it under: that of an earlier Begin unless it was released, else a new
	// one. If the DAG is complete, Begin settles its requests as Complete does and
	// returns the attempt and true; Released lists what these requests let go of.
	// Begin writes nothing if there is nothing to change.
	// Errors: ErrNotFound if the DAG is not complete and no request for it is queued or
	// pinning, even if a request made by Replace still holds it.
	Begin(ctx context.Context, d DAG) (a Attempt, complete bool, err error)

	// Complete marks the DAG complete with the given totals. t.By, if it is not nil, is kept
	// for each account whose requests become Pinned by this, until the account has no request
	// that holds the DAG, or until the DAG is to be repaired. Then it makes every request
	// for the DAG Pinned, or Failed if that exceeds its account's quota of bytes. What
	// the request itself lets go of makes room, and a DAG that was complete before a
	// [Refetcher].Refetch never exceeds a quota. The caller has made sure that the DAG is
	// durable. The mark is atomic. The requests follow in as many commits as they need;
	// after a crash in between, UnfinishedAfter still has the rest. failed is how many requests it
	// made Failed. released is what the requests do not hold any more: the attempt too, if all of
	// them failed.
	// Errors: ErrSuperseded if a is not the DAG's attempt.
	Complete(ctx context.Context, d DAG, a Attempt, t Totals) (failed int, released []Attempt, err error)

	// Fail makes every queued or pinning request for the DAG Failed, with the details,
	// and lets go of what these requests held.
	Fail(ctx context.Context, d DAG, details string) (released []Attempt, err error)

	// FailOverQuota does so for one account, with a QuotaError as the details, if its
	// quota has no room for so many bytes of the DAG. It does nothing if the DAG was
	// complete before. failed is how many requests it made Failed. Requests of other
	// accounts go on.
	FailOverQuota(ctx context.Context, account string, d DAG, bytes uint64) (failed int, released []Attempt, err error)

	// Keep notes what is there of a DAG that is fetched under the attempt. The note goes
	// when the DAG is complete, or when nothing holds it any more. Keep does nothing if the
	// attempt is not the DAG's, or if the DAG is complete or was.
	Keep(ctx context.Context, d DAG, a Attempt, p Kept) error

	// Kept reads what Keep noted; zero if there is nothing. repairing is what Repairing reports.
	Kept(ctx context.Context, d DAG) (k Kept, repairing bool, err error)

	// GiveWay releases the attempt of a DAG that Keep noted something of. Its requests
	// stay as they are, and the note stays without bytes. The next Begin gives the DAG
	// a new attempt.
	GiveWay(ctx context.Context, d DAG) (released []Attempt, err error)

	// Partials yields every DAG that Keep noted something of and that queued or pinning
	// requests are for. What changes meanwhile may or may not be seen.
	Partials(ctx context.Context) iter.Seq2[Waiting, error]

	// Repairing reports whether a DAG was complete until [Refetcher].Refetch, and is not
	// complete again. It is false if nothing holds the DAG.
	Repairing(ctx context.Context, d DAG) (bool, error)

	// Accounts lists the accounts that have requests of the given status, each once.
	// A damaged request counts by the status it had.
	Accounts(ctx context.Context, s Status) ([]string, error)

	// UnfinishedAfter reads the account's requests of the given status, Queued or
	// Pinning, that were created after the given time: the oldest first, and at most
	// limit of them (limit > 0).
	UnfinishedAfter(ctx context.Context, account string, s Status, after time.Time, limit int) ([]Request, error)

	// Roots yields every complete DAG, for engines that compare it with what they have
	// announced.
	Roots(ctx context.Context) iter.Seq2[DAG, error]
}

// Kept is what is there of a DAG that is not complete.
type Kept struct {
	Blocks uint64    // 0 if they gave way to other data
	Bytes  uint64    // of these
	Last   time.Time // when the last block came, in milliseconds; zero is that none did
	// Troubles is what the last run found of single blocks, as [Progress.SetTroubles] has it;
	// "" is nothing.
	Troubles string
}

// Waiting is a DAG that is not complete, and who waits for it.
type Waiting struct {
	DAG DAG
	Kept
	Accounts []string // that have queued or pinning requests for it, each once
}

// Releases is the part of [Records] that remembers released attempts until the [Engine]
// has dropped them.
type Releases interface {
	// Released lists the attempts that are released and not dropped yet, those that a
	// crash left included, and those of uploads, also while these live; but not those of
	// uploads that are kept by [Graces].KeepUpload.
	Released(ctx context.Context) ([]Attempt, error)

	// ReleasedDAG returns the DAG that a released attempt was for, until Dropped.
	// Errors: ErrNotFound, also if the record cannot be read, or if it was an upload's.
	ReleasedDAG(ctx context.Context, a Attempt) (DAG, error)

	// Dropped forgets a released attempt, after [Engine].Drop returned nil for it. It is
	// no error if the attempt is forgotten already, or never existed. It is an error
	// if the attempt is not released; then nothing is changed.
	Dropped(ctx context.Context, a Attempt) error
}

// Refetcher is what [Manager.Repair] needs beside [Records], of records over an engine
// that can find damage. Records that stand for other places need not implement it.
type Refetcher interface {
	// NotWhole takes back that anything above the blocks is whole, so that fetches go
	// down to the blocks again. It returns the DAGs that have an attempt and contain
	// one of the blocks. marks is how many marks it took back: a fetch that goes on
	// may write new ones, and another fetch may rely on those.
	NotWhole(ctx context.Context, blocks []multihash.Multihash) (dags []DAG, marks int, err error)

	// Refetch makes a complete DAG one that is being fetched, under the same attempt,
	// and its pinned requests Pinning. Then everything in it is hashed again, and what
	// is damaged or missing is fetched. Failed requests stay as they are. The mark is
	// atomic, with at least one request. The others follow in as many commits as they
	// need, and a request that a crash leaves Pinned is right again once the DAG is.
	// It returns some of the requests that are Pinning now, at least one if there are
	// any. It returns them with an error too, if the DAG is not complete any more.
	// Errors: ErrNotFound if nothing holds the DAG.
	Refetch(ctx context.Context, d DAG) (some []Request, err error)
}

// Adopter is what [Manager.Adopt] needs beside [Records].
type Adopter interface {
	// Adopt makes the requests of one account another's, oldest first, in as many
	// commits as they need, and calls told after each commit with what it changed. A
	// request holds what it holds throughout, and keeps its status. It keeps its ID and
	// Created if the new account has no request as new; else it gets new ones. The
	// quotas of the new account apply as if the request were made anew. A damaged request is
	// written anew, or stays where it is if its CID is not known: left counts those.
	// Errors: a *QuotaError, after which the rest stay where they were.
	Adopt(ctx context.Context, from, to string, told func([]Adopted)) (left int, err error)
}

// Adopted is a request that another account has now.
type Adopted struct{ Was, Now Request }

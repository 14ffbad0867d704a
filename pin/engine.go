package pin

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/ipfs/go-cid"
)

// Engine is the place where DAGs are kept. It brings them there and lets go of them; it
// knows nothing of requests and accounts. A node with a store is one.
//
// # What the manager does
//
// For each DAG the manager gets an [Attempt] from [Work].Begin, calls Fetch under it
// until one call returns nil, and calls [Work].Complete. After the attempt was released,
// the manager ends the Fetch that runs under it, waits until that has returned, and
// calls Drop, again until it returns nil. So Fetch and Drop never run under the same
// attempt at the same time, nor does Fetch run twice for the same DAG. All else may be
// called at the same time, in particular Drop of a DAG's last attempt during the Fetch
// of the same DAG under the next one.
//
// # What an engine owes
//
// What Fetch returned nil for survives a power loss. What was fetched under an attempt
// stays until Drop is called for that attempt, through restarts and whatever is dropped
// meanwhile for other attempts, of the same DAG too. What Fetch left behind when it
// failed stays as well, so that the next call goes on from there; a crash may lose what
// had not been made durable.
//
// The caller closes the engine after the manager.
type Engine interface {
	// Fetch brings the job's DAG to its place and returns its totals. When it returns
	// nil every block of the DAG is there, was checked against its hash, is held by the
	// attempt, and is durable. It does not fetch what is there already, except what came
	// there in the last moments; it hashes that again unless everything below it is
	// known to be good.
	//
	// It returns soon after ctx ends, after everything that it started has stopped:
	// nothing is written under the attempt after that. It has no timeout of its own:
	// the manager watches the job's Progress and ends the context.
	//
	// Errors: the context's, or its cause; a [*RefusedError] when no retry can help;
	// ErrDiskFull when there is no room, or an [*AwayError], after which Room says whether
	// there is. After any other error the manager tries again.
	Fetch(ctx context.Context, j Job) (Totals, error)

	// Drop lets go of what a released attempt holds and no other attempt does. d is the
	// DAG that it was for, or zero if that is no longer known. Another attempt may hold
	// the same DAG. Drop may be interrupted anywhere and called again. It returns nil if
	// the attempt holds nothing. The space may come back later than that.
	//
	// Errors: ErrDiskFull if the place is too full even to let go; an [*AwayError] if it does
	// not answer; ErrClosed. After any but the last the manager tries again.
	Drop(ctx context.Context, a Attempt, d DAG) error

	// Upload begins to take blocks that a client sends, and that are held to the limits of
	// a block. Others are the caller's. The context bounds only the beginning. Errors:
	// ErrUnsupported if the place takes no uploads; ErrInDoubt, after which Released may
	// list an attempt that nobody uses.
	Upload(ctx context.Context, l Limits) (Intake, error)

	// Room reports whether the place would take so many bytes of blocks now; with 0,
	// whether it would take anything new. Errors: ErrDiskFull; an [*AwayError].
	Room(ctx context.Context, bytes uint64) error

	// Announce tells the network that the DAG, which is complete now, is here, and
	// keeps telling it until Withdraw. It does not wait until that has happened.
	Announce(d DAG)

	// Withdraw takes Announce back: the DAG is not held any more. If the DAG is pinned
	// again by then, it stays announced, in whatever order the two calls came. It may be
	// called for a DAG that was never announced.
	Withdraw(d DAG)

	// Announced says when the network was last told that the DAG's root is here; the
	// zero time means not yet. ok is false if the DAG is not to be announced. It
	// answers from memory.
	Announced(d DAG) (at time.Time, ok bool)
}

// Describer is what an [Engine] may have besides, if it knows where a DAG is.
type Describer interface {
	// Describe adds to info, the one of a [View], what the place knows of a request. With ask
	// it may ask others, and take some 20 ms for that. Else it answers from memory.
	Describe(ctx context.Context, r Request, ask bool, info map[string]string)
}

// Intake is an upload at the place where DAGs are: blocks that somebody sends, in any order.
// Its methods may be called concurrently, and Close twice.
//
// What it took is held under an attempt of its own. Records.Released lists that attempt from
// the beginning. So the manager leaves it alone while the upload lives, and drops it later,
// like any other; after a crash the next start does. A DAG of which every block was taken is
// fetched from here alone, by Fetch, and what the attempt of that Fetch holds stays.
type Intake interface {
	// Attempt is what holds the blocks that were taken.
	Attempt() Attempt

	// Put takes a block. The caller has checked that data has the hash of c, and does not
	// change data any more. A block that is a part of its own CID is not kept. news is how
	// many bytes the block counts for: none if it was here before the upload, else all of
	// them, each time that it comes. The block may become durable later.
	//
	// Errors: a *RefusedError if no DAG may have the block; ErrDiskFull; ErrClosed; ctx's.
	// After an error of the place no method works any more.
	Put(ctx context.Context, c cid.Cid, data []byte) (news int, err error)

	// Get reads a block that was put. The caller must not change it. Errors: ErrNotFound.
	Get(ctx context.Context, c cid.Cid) ([]byte, error)

	// Flush makes durable all that was put. Errors are those of Put.
	Flush(ctx context.Context) error

	// Lacks looks for a block of a DAG that was not put and is not here otherwise. missing is
	// undefined if all of them are here. All that was put is durable when it is called.
	Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error)

	// Close ends the upload. What was not flushed may be lost. When it returns, nothing is
	// written under the attempt any more.
	Close() error
}

// Totals is what a complete DAG has. Totals are exact: accounts are charged by them. An
// engine that cannot count returns zero, and the accounts are charged nothing; a guess
// is not allowed. Zero is also right for a root that contains its data itself.
type Totals struct {
	Blocks uint64 // each counted once
	Bytes  uint64 // of the data of these blocks
	// By is who delivered them. Nil is that it is not known. An engine leaves it nil, and
	// writes it into [Job].Progress, since it is of value also if the fetch fails.
	By *Delivered
}

// Job is one DAG to fetch.
type Job struct {
	DAG DAG
	// Root is the CID of DAG as the newest request wrote it. Peers may look blocks up by
	// the whole CID, so it is the one to ask for. Undef is DAG.CID().
	Root    cid.Cid
	Attempt Attempt // the engine writes down under it what it holds
	// Origins are hints where the DAG is, those of the newest request first. One that
	// cannot be used is passed over.
	Origins []Origin
	// Limits bound the DAG. One that exceeds them is refused as soon as that is known:
	// at the latest, before Fetch returns.
	Limits Limits
	// Repair says that the DAG was complete and is to become so again. Nothing in it is
	// refused that was accepted before.
	Repair bool
	// Progress is written by the engine and read by anyone. Never nil.
	Progress *Progress
	// Slot is the worker that this job may hold. Never nil.
	Slot Slot
	// IdleTimeout is how long the fetch keeps its worker while nothing is received.
	IdleTimeout time.Duration
}

// Origin is a hint where a DAG is.
type Origin struct {
	Addr string // as a client wrote it, most often a multiaddr that ends in /p2p/ID
	// From is [Spec].From of the request that names it: the engine may connect to Addr at
	// this address, even if it connects to no other address of that kind.
	From netip.Addr
}

// Slot is a place among the workers, of which there are few. A fetch that only waits
// for the network needs none: it holds one while it handles blocks.
//
// The engine acquires the slot before it handles a block, received or found at its
// place. It releases the slot when it can only wait: at once if it has received nothing
// since it acquired the slot, else after Job.IdleTimeout without a block. It may also release it once all
// blocks have come, while it makes the last of them durable; then it sets Progress.Writes. Both methods
// are idempotent, and one goroutine of the fetch calls them. The manager releases a
// slot that is still held when Fetch returns.
type Slot interface {
	// Acquire blocks until a worker is free. Its errors end the fetch.
	Acquire(ctx context.Context) error
	Release()
}

// Limits bound one DAG. Zero in a field is no limit.
type Limits struct {
	Bytes      uint64 // of all blocks, each counted once
	Blocks     uint64
	BlockBytes uint64 // of one block
	Links      uint64 // in one block
	Depth      uint64 // links from the root to a block, on the path that the walk took
}

// RefusedError says why a DAG cannot be pinned, whoever tries and however often: a
// block that does not decode, an unknown codec, a limit.
type RefusedError struct {
	Reason string // in words that a user can act on
}

func (e *RefusedError) Error() string { return e.Reason }

// Refused makes a [*RefusedError] from a format.
func Refused(format string, a ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, a...)}
}

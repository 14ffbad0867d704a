package pin

import (
	"context"
	"time"
)

// Graces is the part of [Records] that keeps for a while what no request holds: DAGs that were
// unpinned and may be wanted again, and blocks that were put and may be pinned soon. Nothing of
// that is in any list, count, quota or usage of requests.
//
// # What lingers
//
// A DAG lingers for an account after Linger, until the account makes or retries a request for
// it, or until its lingering is ended. It is held meanwhile, like one that a request holds. So
// a request that comes is pinned at once if the DAG is complete, and else has the attempt that
// was there.
//
// # Uploads that are kept
//
// What an upload holds is kept from KeepUpload on, until that is ended. Then the upload's
// attempt is released, like that of any other.
//
// # Ages
//
// Ages are counted by the clock of the records. What has a time in the future was noted before
// the clock was set back: its age counts from when that is noticed. So a clock that is set back
// ends nothing, and lengthens a grace by at most that grace. The order of what lingers, and of
// what is kept, is that of the calls, whatever the clock says.
type Graces interface {
	// Linger is Remove, but the DAG lingers for the account. It does not if the request had
	// failed, or its CID cannot be read, or the account has another request for the DAG that has
	// not failed. What the request held besides its DAG is let go of.
	// Errors: ErrNotFound.
	Linger(ctx context.Context, account, id string) (old Request, released []Attempt, err error)

	// Lingering sums up what lingers.
	Lingering(ctx context.Context) (Lingering, error)

	// EndLingering lets go of DAGs that have lingered for at least so long, those of account
	// alone unless that is "". It ends [EndsAtOnce] at most: more says that it is to be called
	// again. It does not wait for a change if there is nothing to end.
	EndLingering(ctx context.Context, account string, age time.Duration) (e Ended, more bool, err error)

	// EndOldest lets go of the DAGs that have lingered longest, until they have so many bytes:
	// at least one, if any has lingered for at least so long, and at most EndsAtOnce. One that has
	// not, and all after it, stay.
	EndOldest(ctx context.Context, age time.Duration, bytes uint64) (Ended, error)

	// KeepUpload keeps what an upload holds, for an account: t is what came with it. Calling it
	// again with the same attempt replaces t. The upload may go on.
	// It is an error if the attempt is not that of an upload, or was dropped.
	KeepUpload(ctx context.Context, account string, a Attempt, t Totals) error

	// KeptUploads sums up the uploads that are kept for an account; for all if that is "".
	KeptUploads(ctx context.Context, account string) (Totals, error)

	// EndUploads releases the attempts of uploads that were kept for at least so long, as
	// EndLingering does.
	EndUploads(ctx context.Context, account string, age time.Duration) (e Ended, more bool, err error)

	// EndPinnedUploads releases the attempts of uploads that are kept for nothing: DAGs that are
	// complete have each of their blocks. It looks at MaxKeptBlocks of an upload: one that has more
	// stays. It ends [EndsAtOnce] at most.
	EndPinnedUploads(ctx context.Context) (e Ended, err error)

	// EndOldestUploads releases the attempts of the uploads that were kept longest, as
	// EndOldest does.
	EndOldestUploads(ctx context.Context, age time.Duration, bytes uint64) (Ended, error)
}

// MaxKeptBlocks is how many blocks of an upload [Graces].EndPinnedUploads looks at: a second of work.
const MaxKeptBlocks = 20_000

// EndsAtOnce is how many graces one commit ends: some 10 keys each.
const EndsAtOnce = 128

// Lingering is what lingers, for all accounts together.
type Lingering struct {
	DAGs uint64
	// Totals is the sum over these DAGs: of the whole of one that is complete, and of what was
	// noted of any other. DAGs that have blocks in common count them each, also blocks that
	// requests hold. So what would go if all of it ended is at most that.
	Totals
}

// Ended is graces that were ended.
type Ended struct {
	Graces   int
	Totals             // of these, summed up as in Lingering
	Released []Attempt // to be dropped; what requests hold too is not among them
}

package pintest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Open makes empty Records; now tells the time. reopen closes them and opens the same data
// again. It may be called many times; each call closes what the one before returned. Open
// cleans up with t.
type Open func(t *testing.T, now func() time.Time) (recs pin.Records, reopen func() pin.Records)

// RunRecords checks that what open makes keeps the contract of [pin.Records].
func RunRecords(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(*env)
	}{
		{"Add", testAdd},
		{"AddGivesBackWhatWasAsked", testAddRoundTrip},
		{"AddSameCIDTwice", testAddTwice},
		{"AddToCompleteDAG", testAddToComplete},
		{"CreatedIncreases", testCreated},
		{"CreatedWhenTheClockStepsBack", testClockBack},
		{"CreatedAcrossReopen", testCreatedReopen},
		{"TooFast", testTooFast},
		{"NotFound", testNotFound},
		{"Remove", testRemove},
		{"RemoveReleasesWithTheLast", testRemoveShared},
		{"ReplaceKeepsOldUntilDone", testReplace},
		{"ReplaceWithCompleteDAG", testReplaceComplete},
		{"ReplaceWithSameDAG", testReplaceSame},
		{"ReplaceChain", testReplaceChain},
		{"ReplaceChainBackToStart", testReplaceBack},
		{"ReplaceRow", testReplaceRow},
		{"ReplaceRowOfTheSame", testReplaceRowSame},
		{"ReplaceFailed", testReplaceFailed},
		{"ReplaceThenRemove", testReplaceRemove},
		{"ReplaceThenFail", testReplaceFail},
		{"ReplaceRefusedChangesNothing", testReplaceRefused},
		{"HeldDAGWithoutRequestsCanFinish", testHeldOnly},
		{"BeginTwice", testBeginTwice},
		{"BeginOnComplete", testBeginComplete},
		{"AttemptsAreNotReused", testAttempts},
		{"Complete", testComplete},
		{"Delivered", testDelivered},
		{"CompleteSuperseded", testSuperseded},
		{"CompleteManyRequests", testCompleteMany},
		{"Fail", testFail},
		{"Retry", testRetry},
		{"RetryOfComplete", testRetryComplete},
		{"Usage", testUsage},
		{"UsageOfWhatIsReplaced", testUsageReplaced},
		{"PinsLimit", testPinsLimit},
		{"PinsLimitOfTheSameDAG", testPinsLimitSameDAG},
		{"PinsLimitOfOthers", testPinsLimitOfOthers},
		{"PinsLimitReplace", testPinsLimitReplace},
		{"PinsLimitRetry", testPinsLimitRetry},
		{"PinsLimitTogether", testPinsLimitTogether},
		{"BytesLimit", testBytesLimit},
		{"BytesLimitReplace", testBytesLimitReplace},
		{"BytesLimitTogether", testBytesLimitTogether},
		{"BytesLimitOfWhatIsRepaired", testBytesLimitRepair},
		{"FailOverQuota", testFailOverQuota},
		{"KeyOfAdd", testKeyAdd},
		{"KeyOfAnotherRequest", testKeyReused},
		{"KeyAtLimits", testKeyAtLimits},
		{"KeyOfWhatIsGone", testKeyGone},
		{"KeyOfReplace", testKeyReplace},
		{"KeyIsForgotten", testKeyAge},
		{"KeyOfManyTogether", testKeyTogether},
		{"Partial", testPartial},
		{"GiveWay", testGiveWay},
		{"Linger", testLinger},
		{"LingerIsRevived", testRevive},
		{"LingerOfWhatIsNotComplete", testLingerPartial},
		{"LingerOfVersions", testLingerVersions},
		{"LingerOfWhatFailed", testLingerFailed},
		{"LingerOfAReplacement", testLingerReplaced},
		{"EndLingering", testEndLingering},
		{"EndLingeringWhenTheClockStepsBack", testEndLingeringClock},
		{"EndLingeringOfMany", testEndLingeringMany},
		{"EndOldest", testEndOldest},
		{"For", testFor},
		{"ForSeesChanges", testForChanges},
		{"Repairing", testRepairing},
		{"Unfinished", testUnfinished},
		{"UnfinishedAfter", testUnfinishedAfter},
		{"DroppedAndReleased", testDropped},
		{"Roots", testRoots},
		{"CodecsAreTwoDAGs", testCodecs},
		{"ListDefaults", testListDefaults},
		{"ListByStatus", testListStatus},
		{"ListByDAG", testListDAG},
		{"ListByName", testListName},
		{"ListByMeta", testListMeta},
		{"ListByPrintedMeta", testListPrintedMeta},
		{"ListByTime", testListTime},
		{"ListCombined", testListCombined},
		{"ListPages", testListPages},
		{"ListOddNames", testListOddNames},
		{"AccountsApart", testAccounts},
		{"Reopen", testReopen},
		{"Concurrent", testConcurrent},
		{"ContextEnded", testContext},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newEnv(t, open)) })
	}
}

// Two accounts, in the order in which they sort.
const (
	alice = "0a11ce00-0000-4000-8000-000000000001"
	bob   = "0b0b0000-0000-4000-8000-000000000002"
)

// env is what a case works with: the records, a clock that it moves, and helpers that end
// the test on an error.
type env struct {
	*testing.T
	ctx    context.Context
	clock  *clock
	recs   pin.Records
	reopen func() // replaces recs
}

func newEnv(t *testing.T, open Open) *env {
	e := &env{T: t, ctx: t.Context(), clock: newClock()}
	recs, again := open(t, e.clock.now)
	e.recs = recs
	e.reopen = func() { e.recs = again() }
	return e
}

// DAGSpec is a request for the n-th of many distinct DAGs.
func DAGSpec(n int) pin.Spec {
	mh, err := multihash.Sum([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	c := cid.NewCidV1(cid.Raw, mh)
	return pin.Spec{CID: c.String(), Root: c}
}

// named is a request for the n-th DAG under a name.
func named(n int, name string) pin.Spec {
	s := DAGSpec(n)
	s.Name = name
	return s
}

func (e *env) add(account string, s pin.Spec) pin.Request {
	e.Helper()
	r, err := e.recs.Add(e.ctx, account, s)
	e.must(err)
	return r
}

func (e *env) replace(account, id string, s pin.Spec) (pin.Request, []pin.Attempt) {
	e.Helper()
	r, old, released, err := e.recs.Replace(e.ctx, account, id, s)
	e.must(err)
	if old.ID != id {
		e.Fatalf("replaced %s, was given back %s", id, old.ID)
	}
	return r, released
}

func (e *env) remove(r pin.Request) []pin.Attempt {
	e.Helper()
	old, released, err := e.recs.Remove(e.ctx, r.Account, r.ID)
	e.must(err)
	if old.ID != r.ID {
		e.Fatalf("removed %s, was given back %s", r.ID, old.ID)
	}
	return released
}

func (e *env) get(r pin.Request) pin.Request {
	e.Helper()
	got, err := e.recs.Get(e.ctx, r.Account, r.ID)
	e.must(err)
	return got
}

func (e *env) begin(s pin.Spec) pin.Attempt {
	e.Helper()
	a, complete, err := e.recs.Begin(e.ctx, s.DAG())
	e.must(err)
	if complete || a == 0 {
		e.Fatalf("Begin gave attempt %d, complete %v", a, complete)
	}
	return a
}

func (e *env) complete(s pin.Spec, a pin.Attempt) []pin.Attempt {
	e.Helper()
	_, released, err := e.recs.Complete(e.ctx, s.DAG(), a, pin.Totals{Blocks: 3, Bytes: 1000})
	e.must(err)
	return released
}

// pinned adds a request and makes it pinned.
func (e *env) pinned(account string, s pin.Spec) (pin.Request, pin.Attempt) {
	e.Helper()
	r := e.add(account, s)
	a := e.begin(s)
	e.released(e.complete(s, a))
	return e.get(r), a
}

func (e *env) fail(s pin.Spec, details string) []pin.Attempt {
	e.Helper()
	released, err := e.recs.Fail(e.ctx, s.DAG(), details)
	e.must(err)
	return released
}

func (e *env) list(account string, q pin.Query) pin.Page {
	e.Helper()
	p, err := e.recs.List(e.ctx, account, q)
	e.must(err)
	return p
}

func (e *env) unfinished(s pin.Status) []pin.Request {
	e.Helper()
	all, err := unfinished(e.ctx, e.recs, s)
	e.must(err)
	return all
}

// unfinished reads every request of a status, a few at a time: by account, then oldest
// first.
func unfinished(ctx context.Context, recs pin.Records, s pin.Status) (all []pin.Request, err error) {
	accounts, err := recs.Accounts(ctx, s)
	if err != nil {
		return nil, err
	}
	const page = 7
	for _, account := range slices.Sorted(slices.Values(accounts)) {
		var after time.Time
		for {
			some, err := recs.UnfinishedAfter(ctx, account, s, after, page)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
			if len(some) < page {
				break
			}
			after = some[page-1].Created
		}
	}
	return all, nil
}

func (e *env) roots() []pin.DAG {
	e.Helper()
	var all []pin.DAG
	for d, err := range e.recs.Roots(e.ctx) {
		e.must(err)
		all = append(all, d)
	}
	return all
}

// status checks the status of a request on disk.
func (e *env) status(r pin.Request, want pin.Status) {
	e.Helper()
	if got := e.get(r).Status; got != want {
		e.Errorf("status of %q is %s, want %s", r.Name, got, want)
	}
}

// released checks what a call released, and that Released lists it.
func (e *env) released(got []pin.Attempt, want ...pin.Attempt) {
	e.Helper()
	e.sameAttempts(got, want)
	marked, err := e.recs.Released(e.ctx)
	e.must(err)
	for _, a := range want {
		if !contains(marked, a) {
			e.Errorf("attempt %d was released but is not marked: %v", a, marked)
		}
	}
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

package pintest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// EngineRig is an engine to be tested, with the records that give it attempts and the
// network that it fetches from. The test may call its functions from any goroutine.
type EngineRig struct {
	Records pin.Records
	Engine  pin.Engine
	// Origins are where the network is, for [pin.Job]; nil if it is found without.
	Origins []string
	// Content makes the n-th of many DAGs, of at least so many blocks, and says what is
	// in it. DAGs of different n share no block. Nobody has it until Serve is called.
	Content func(n, blocks int) (pin.Spec, pin.Totals)
	// Serve makes the network have all of the n-th DAG from now on, or only its root.
	Serve func(n int, all bool)
	// Blocks gives the blocks of the n-th DAG, the root last. Nil if the engine takes no
	// uploads.
	Blocks func(n int) []Block
	// Kept reports whether all blocks of the n-th DAG are kept, and whether any is. It
	// first takes away what nothing holds.
	Kept func(n int) (all, some bool)
	// Fill makes the place too full for anything new, or not so any more.
	Fill func(full bool)
	// Restart ends records and engine, and starts new ones over what they left.
	Restart func() (pin.Records, pin.Engine)
}

// RunEngine checks that what start makes keeps the contract of [pin.Engine].
func RunEngine(t *testing.T, start func(t *testing.T) EngineRig) {
	for _, c := range []struct {
		name string
		run  func(*engineEnv)
	}{
		{"TotalsAreExact", testEngineTotals},
		{"WhatIsFetchedOutlastsARestart", testEngineRestart},
		{"FetchGoesOn", testEngineGoesOn},
		{"FetchEndsWithItsContext", testEngineContext},
		{"LimitsRefuse", testEngineLimits},
		{"ReleasedWhileItIsFetched", testEngineReleased},
		{"PinnedAgainWhileItIsDropped", testEnginePinnedAgain},
		{"DropIsRepeatable", testEngineDropTwice},
		{"DropLeavesOthers", testEngineDropLeaves},
		{"FullPlace", testEngineFull},
		{"ManyAtOnce", testEngineMany},
		{"Announcements", testEngineAnnounce},
		{"Upload", testEngineUpload},
		{"UploadInAnyOrder", testEngineUploadOrder},
		{"UploadThatIsGivenUp", testEngineUploadGivenUp},
		{"UploadThatACrashEnds", testEngineUploadCrash},
		{"UploadToAFullPlace", testEngineUploadFull},
		{"UploadBesideDrops", testEngineUploadMany},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(&engineEnv{T: t, EngineRig: start(t), requests: make(map[int]pin.Request)})
		})
	}
}

// enginePatience is how long a case waits for what should happen soon.
const enginePatience = 30 * time.Second

type engineEnv struct {
	*testing.T
	EngineRig
	requests map[int]pin.Request // for the n-th DAG
}

// ask makes a request for the n-th DAG and returns a job for it.
func (e *engineEnv) ask(n, blocks int) (pin.Job, pin.Totals) {
	e.Helper()
	spec, totals := e.Content(n, blocks)
	r, err := e.Records.Add(e.Context(), alice, spec)
	e.must(err)
	e.requests[n] = r
	return e.job(spec), totals
}

// job begins the fetch of what was asked for.
func (e *engineEnv) job(spec pin.Spec) pin.Job {
	e.Helper()
	a, complete, err := e.Records.Begin(e.Context(), spec.DAG())
	e.must(err)
	if complete {
		e.Fatal("it is complete before it is fetched")
	}
	return pin.Job{
		DAG: spec.DAG(), Attempt: a, Origins: hintsAt(e.Origins),
		Progress: new(pin.Progress), Slot: freeSlot{}, IdleTimeout: time.Second,
	}
}

// fetch fetches and completes a DAG.
func (e *engineEnv) fetch(j pin.Job, want pin.Totals) {
	e.Helper()
	e.must(e.tryFetch(j, want))
}

func (e *engineEnv) tryFetch(j pin.Job, want pin.Totals) error {
	ctx, cancel := context.WithTimeout(e.Context(), enginePatience)
	defer cancel()
	got, err := e.Engine.Fetch(ctx, j)
	if err != nil {
		return err
	}
	if got != want && got != (pin.Totals{}) {
		return fmt.Errorf("totals are %+v, want %+v or none", got, want)
	}
	_, _, err = e.Records.Complete(e.Context(), j.DAG, j.Attempt, got)
	return err
}

// unpin removes the request for the n-th DAG, which releases the attempt.
func (e *engineEnv) unpin(n int) pin.Attempt {
	e.Helper()
	_, released, err := e.Records.Remove(e.Context(), alice, e.requests[n].ID)
	e.must(err)
	if len(released) != 1 {
		e.Fatalf("released %v, want one attempt", released)
	}
	return released[0]
}

// drop drops a released attempt.
func (e *engineEnv) drop(a pin.Attempt) {
	e.Helper()
	e.must(e.tryDrop(a))
}

func (e *engineEnv) tryDrop(a pin.Attempt) error {
	d, err := e.Records.ReleasedDAG(e.Context(), a)
	if err != nil {
		return err
	}
	if err := e.Engine.Drop(e.Context(), a, d); err != nil {
		return err
	}
	return e.Records.Dropped(e.Context(), a)
}

func (e *engineEnv) kept(n int, wantAll, wantSome bool) {
	e.Helper()
	if all, some := e.Kept(n); all != wantAll || some != wantSome {
		e.Errorf("of DAG %d is kept: all %v, some %v; want %v, %v", n, all, some, wantAll, wantSome)
	}
}

func (e *engineEnv) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// background runs a fetch until stop is called, which returns its error.
func (e *engineEnv) background(j pin.Job) (stop func() error) {
	ctx, cancel := context.WithCancel(e.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := e.Engine.Fetch(ctx, j)
		ended <- err
	}()
	return func() error {
		e.Helper()
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(enginePatience):
			e.Fatal("the fetch does not end with its context")
			return nil
		}
	}
}

// awaitBlocks waits until a fetch has received something.
func (e *engineEnv) awaitBlocks(j pin.Job) {
	e.Helper()
	for deadline := time.Now().Add(enginePatience); j.Progress.Blocks.Load() == 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.Fatal("nothing is received")
		}
	}
}

// freeSlot is a worker that is always free.
type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (freeSlot) Release()                          {}

func testEngineTotals(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, true)
	e.fetch(j, want)
	if got := j.Progress.Blocks.Load(); got != want.Blocks {
		e.Errorf("progress says %d blocks, want %d", got, want.Blocks)
	}
	e.kept(1, true, true)
}

func testEngineRestart(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, true)
	e.fetch(j, want)
	e.Records, e.Engine = e.Restart()
	e.kept(1, true, true)
	e.drop(e.unpin(1))
	e.kept(1, false, false)
}

// What a fetch left behind stays, and another under the same attempt ends it.
func testEngineGoesOn(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, false)
	stop := e.background(j)
	e.awaitBlocks(j)
	if err := stop(); err == nil {
		e.Error("a fetch of what nobody has is done")
	}
	e.Serve(1, true)
	again := e.job(e.requests[1].Spec)
	if again.Attempt != j.Attempt {
		e.Fatalf("attempt %d, want %d again", again.Attempt, j.Attempt)
	}
	e.fetch(again, want)
	e.kept(1, true, true)
	// What is there is not received again, but for what came in the last moments.
	for deadline := time.Now().Add(enginePatience); ; time.Sleep(10 * time.Millisecond) {
		third := again
		third.Progress = new(pin.Progress)
		if _, err := e.Engine.Fetch(e.Context(), third); err != nil {
			e.Fatal(err)
		}
		n := third.Progress.Received.Load()
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("%d blocks are received again", n)
		}
	}
}

func testEngineContext(e *engineEnv) {
	j, _ := e.ask(1, 40)
	stop := e.background(j)
	if err := stop(); !errors.Is(err, context.Canceled) {
		e.Errorf("the fetch ends with %v, want the context's error", err)
	}
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	if _, err := e.Engine.Fetch(ctx, j); !errors.Is(err, context.Canceled) {
		e.Errorf("a fetch whose context has ended: %v", err)
	}
}

func testEngineLimits(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, true)
	j.Limits = pin.Limits{Blocks: want.Blocks - 1}
	_, err := e.Engine.Fetch(e.Context(), j)
	var refused *pin.RefusedError
	if !errors.As(err, &refused) || refused.Reason == "" {
		e.Fatalf("a DAG with one block too many: %v", err)
	}
	released, err := e.Records.Fail(e.Context(), j.DAG, refused.Reason)
	e.must(err)
	for _, a := range released {
		e.drop(a)
	}
	e.kept(1, false, false)
	j, want = e.ask(1, 40)
	j.Limits = pin.Limits{Blocks: want.Blocks, Bytes: want.Bytes}
	e.fetch(j, want)
}

func testEngineReleased(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, false)
	stop := e.background(j)
	e.awaitBlocks(j)
	a := e.unpin(1)
	_ = stop()
	e.drop(a)
	e.kept(1, false, false)
	e.Serve(1, true)
	again, _ := e.ask(1, 40)
	if again.Attempt == j.Attempt {
		e.Error("an attempt is used again")
	}
	e.fetch(again, want)
	e.kept(1, true, true)
}

func testEnginePinnedAgain(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, true)
	e.fetch(j, want)
	for range 5 {
		a := e.unpin(1)
		j, _ = e.ask(1, 40)
		var dropping sync.WaitGroup
		dropping.Go(func() {
			if err := e.tryDrop(a); err != nil {
				e.Error(err)
			}
		})
		e.fetch(j, want)
		dropping.Wait()
		e.kept(1, true, true)
	}
	// The other way round: what was fetched again stays when the old attempt goes.
	a := e.unpin(1)
	j, _ = e.ask(1, 40)
	e.fetch(j, want)
	e.drop(a)
	e.kept(1, true, true)
}

func testEngineDropTwice(e *engineEnv) {
	j, want := e.ask(1, 40)
	e.Serve(1, true)
	e.fetch(j, want)
	a := e.unpin(1)
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	if err := e.Engine.Drop(ctx, a, j.DAG); err == nil {
		e.Error("a drop whose context has ended is done")
	}
	for range 3 {
		e.must(e.Engine.Drop(e.Context(), a, j.DAG))
	}
	e.kept(1, false, false)
	e.must(e.Engine.Drop(e.Context(), a+1<<40, j.DAG)) // never was
}

func testEngineDropLeaves(e *engineEnv) {
	for n := range 3 {
		j, want := e.ask(n, 10)
		e.Serve(n, true)
		e.fetch(j, want)
	}
	e.drop(e.unpin(1))
	e.kept(0, true, true)
	e.kept(1, false, false)
	e.kept(2, true, true)
}

func testEngineFull(e *engineEnv) {
	e.must(e.Engine.Room(e.Context(), 0))
	old, wantOld := e.ask(1, 10)
	e.Serve(1, true)
	e.fetch(old, wantOld)
	j, want := e.ask(2, 10)
	e.Serve(2, true)
	e.Fill(true)
	if err := e.Engine.Room(e.Context(), 0); !errors.Is(err, pin.ErrDiskFull) {
		e.Errorf("room in a full place: %v", err)
	}
	if _, err := e.Engine.Fetch(e.Context(), j); !errors.Is(err, pin.ErrDiskFull) {
		e.Errorf("a fetch to a full place: %v", err)
	}
	e.kept(1, true, true)
	e.Fill(false)
	e.must(e.Engine.Room(e.Context(), 0))
	j.Progress = new(pin.Progress)
	e.fetch(j, want)
	e.kept(2, true, true)
}

func testEngineMany(e *engineEnv) {
	const dags = 12
	var wg sync.WaitGroup
	var jobs []pin.Job
	for n := range dags {
		j, _ := e.ask(n, 10)
		jobs = append(jobs, j)
	}
	for n, j := range jobs {
		_, want := e.Content(n, 10)
		wg.Go(func() {
			e.Serve(n, true)
			err := e.tryFetch(j, want)
			if err == nil && n%2 == 0 {
				_, _, err = e.Records.Remove(e.Context(), alice, e.requests[n].ID)
			}
			if err == nil && n%2 == 0 {
				err = e.tryDrop(j.Attempt)
			}
			if err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	for n := range dags {
		e.kept(n, n%2 != 0, n%2 != 0)
	}
}

func testEngineAnnounce(e *engineEnv) {
	var wg sync.WaitGroup
	for n := range 8 {
		d := DAGSpec(n).DAG()
		wg.Go(func() {
			e.Engine.Withdraw(d) // never announced
			e.Engine.Announce(d)
			if at, ok := e.Engine.Announced(d); !ok && !at.IsZero() {
				e.Error(fmt.Sprint("announced at ", at, ", and not to be announced"))
			}
			e.Engine.Withdraw(d)
		})
	}
	wg.Wait()
}

// hintsAt makes origins of addresses.
func hintsAt(addrs []string) (all []pin.Origin) {
	for _, a := range addrs {
		all = append(all, pin.Origin{Addr: a})
	}
	return all
}

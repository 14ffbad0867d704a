package pintest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Block is a block, and the CID that it is put under.
type Block struct {
	CID  cid.Cid
	Data []byte
}

// upload begins an upload. ok is false if the engine takes none.
func (e *engineEnv) upload() (in pin.Intake, ok bool) {
	e.Helper()
	in, err := e.Engine.Upload(e.Context(), pin.Limits{})
	if e.Blocks == nil {
		if !errors.Is(err, pin.ErrUnsupported) {
			e.Errorf("an upload that is not supported: %v", err)
		}
		return nil, false
	}
	e.must(err)
	e.Cleanup(func() { _ = in.Close() })
	return in, true
}

func (e *engineEnv) put(in pin.Intake, all ...Block) {
	e.Helper()
	for _, b := range all {
		if n, err := in.Put(e.Context(), b.CID, b.Data); err != nil || n != len(b.Data) {
			e.Fatalf("block %s counts for %d bytes, %v; want %d", b.CID, n, err, len(b.Data))
		}
	}
}

// end closes an upload and drops its attempt.
func (e *engineEnv) end(in pin.Intake) {
	e.Helper()
	e.must(in.Close())
	e.must(in.Close())
	e.must(e.Engine.Drop(e.Context(), in.Attempt(), ""))
	e.must(e.Records.Dropped(e.Context(), in.Attempt()))
	if e.isReleased(in.Attempt()) {
		e.Error("an upload that was dropped is listed as released")
	}
}

func (e *engineEnv) isReleased(a pin.Attempt) bool {
	e.Helper()
	released, err := e.Records.Released(e.Context())
	e.must(err)
	return slices.Contains(released, a)
}

func testEngineUpload(e *engineEnv) {
	e.Content(1, 40)
	in, ok := e.upload()
	if !ok {
		return
	}
	if !e.isReleased(in.Attempt()) {
		e.Error("an upload is not released from the beginning")
	}
	if d, err := e.Records.ReleasedDAG(e.Context(), in.Attempt()); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("an upload is for %s, %v", d, err)
	}
	all := e.Blocks(1)
	e.put(in, all...)
	for _, b := range all {
		if data, err := in.Get(e.Context(), b.CID); err != nil || !slices.Equal(data, b.Data) {
			e.Errorf("%s was put, and is not there: %v", b.CID, err)
		}
	}
	if _, err := in.Get(e.Context(), DAGSpec(77).Root); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("what was never put: %v", err)
	}
	e.must(in.Flush(e.Context()))
	e.kept(1, true, true)
	if missing, err := in.Lacks(e.Context(), all[len(all)-1].CID); err != nil || missing.Defined() {
		e.Errorf("all of it was put, and %s is missing, %v", missing, err)
	}
	if missing, err := in.Lacks(e.Context(), DAGSpec(77).Root); err != nil || missing != DAGSpec(77).Root {
		e.Errorf("of what was never put, %s is missing, %v", missing, err)
	}
	j, want := e.ask(1, 40)
	e.fetch(j, want) // nobody serves it
	if n := j.Progress.Received.Load(); n != 0 && e.Origins != nil {
		e.Errorf("%d blocks are received, of an upload", n)
	}
	e.end(in)
	e.kept(1, true, true)
	e.drop(e.unpin(1))
	e.kept(1, false, false)
}

func testEngineUploadOrder(e *engineEnv) {
	for n := range 4 {
		e.Content(n, 40)
		in, ok := e.upload()
		if !ok {
			return
		}
		all := slices.Clone(e.Blocks(n))
		if n == 0 {
			slices.Reverse(all)
		} else {
			rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		e.put(in, all...)
		e.put(in, all[:7]...)
		e.must(in.Flush(e.Context()))
		j, want := e.ask(n, 40)
		e.fetch(j, want)
		e.end(in)
		e.kept(n, true, true)
	}
}

func testEngineUploadGivenUp(e *engineEnv) {
	e.Content(1, 40)
	in, ok := e.upload()
	if !ok {
		return
	}
	all := e.Blocks(1)
	e.put(in, all[5:]...)
	e.must(in.Flush(e.Context()))
	e.put(in, all[:3]...)
	e.end(in)
	e.kept(1, false, false)
	if _, err := in.Put(e.Context(), all[0].CID, all[0].Data); err == nil {
		e.Error("an upload that is closed takes a block")
	}
}

// The next start finds what a crash left of an upload.
func testEngineUploadCrash(e *engineEnv) {
	e.Content(1, 40)
	in, ok := e.upload()
	if !ok {
		return
	}
	e.put(in, e.Blocks(1)...)
	e.must(in.Flush(e.Context()))
	a := in.Attempt()
	e.must(in.Close())
	e.Records, e.Engine = e.Restart()
	if !e.isReleased(a) {
		e.Fatal("the attempt of the upload is not listed as released")
	}
	e.must(e.Engine.Drop(e.Context(), a, ""))
	e.must(e.Records.Dropped(e.Context(), a))
	e.kept(1, false, false)
}

func testEngineUploadFull(e *engineEnv) {
	e.Content(1, 10)
	in, ok := e.upload()
	if !ok {
		return
	}
	e.Fill(true)
	var err error
	for _, b := range e.Blocks(1) {
		if _, err = in.Put(e.Context(), b.CID, b.Data); err != nil {
			break
		}
	}
	if err == nil {
		err = in.Flush(e.Context())
	}
	if !errors.Is(err, pin.ErrDiskFull) {
		e.Errorf("an upload to a full place: %v", err)
	}
	e.must(in.Close())
	e.Fill(false)
	e.end(in)
	e.kept(1, false, false)
}

// Uploads of the same blocks end, each in its own way, and the pins among them stay.
func testEngineUploadMany(e *engineEnv) {
	if _, ok := e.upload(); !ok {
		return
	}
	e.Content(1, 40)
	all := e.Blocks(1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 4 {
				in, err := e.Engine.Upload(e.Context(), pin.Limits{})
				if err != nil {
					e.Error(err)
					return
				}
				for _, b := range all[i:] {
					if _, err := in.Put(e.Context(), b.CID, b.Data); err != nil {
						e.Error(err)
						return
					}
				}
				if i%2 == 0 {
					err = in.Flush(e.Context())
				}
				if err := errors.Join(err, in.Close(), e.Engine.Drop(e.Context(), in.Attempt(), "")); err != nil {
					e.Error(err)
					return
				}
			}
		})
	}
	in, _ := e.upload()
	for _, b := range all {
		if _, err := in.Put(e.Context(), b.CID, b.Data); err != nil {
			e.Fatal(err)
		}
	}
	e.must(in.Flush(e.Context()))
	j, want := e.ask(1, 40)
	e.fetch(j, want)
	e.end(in)
	wg.Wait()
	e.kept(1, true, true)
}

package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// open opens a database that has what it goes by, and room.
func open(t testing.TB) *DB {
	t.Helper()
	opt := badger.DefaultOptions(t.TempDir()).WithLogger(nil)
	opt.SyncWrites, opt.DetectConflicts, opt.MemTableSize, opt.ValueThreshold = true, false, 8<<20, 1<<10
	b, err := badger.Open(opt)
	must(t, err)
	d := New(b, Config{
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Room:       func() error { return nil },
		WriteAgain: func(context.Context) error { return nil },
		Doubt:      func() error { return nil },
		Sound:      func() error { return nil },
		KindOf:     func([]byte) string { return "record" },
	})
	t.Cleanup(func() {
		d.Shut()
		must(t, b.Close())
	})
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testKey(s string) []byte { return append([]byte{0x7f}, s...) }

// hold makes the committer busy until release is called, so that what is
// asked for meanwhile waits.
func (s *DB) stall(t testing.TB) (release func()) {
	t.Helper()
	started, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.Update(context.WithoutCancel(t.Context()), func(*Tx) error {
			close(started)
			<-end
			return nil
		})
	}()
	<-started
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waiting blocks until n changes wait.
func (s *DB) waiting(t testing.TB, n int) {
	t.Helper()
	for t.Context().Err() == nil {
		s.commit.mu.Lock()
		have := len(s.commit.waiting)
		s.commit.mu.Unlock()
		if have == n {
			return
		}
	}
}

func read(t *testing.T, s *DB, key []byte) (value string, found bool) {
	t.Helper()
	must(t, s.View(t.Context(), func(r *Reader) error {
		b, ok, err := r.Get(key)
		value, found = string(b), ok
		return err
	}))
	return value, found
}

func TestWaitingChangesShareACommit(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	before := s.db.MaxVersion()
	const n = 50
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := s.Update(t.Context(), func(t *Tx) error {
				b, _, err := t.Get(testKey("n"))
				t.Set(testKey("n"), append(bytes.Clone(b), 'x'))
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	s.waiting(t, n)
	release()
	wg.Wait()
	if got, _ := read(t, s, testKey("n")); got != strings.Repeat("x", n) {
		t.Errorf("%d changes are there, want %d", len(got), n)
	}
	// Every transaction that commits takes the next version.
	if commits := s.db.MaxVersion() - before; commits != 1 {
		t.Errorf("%d commits", commits)
	}
}

func TestFailedChangeSpoilsNoOther(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	errOdd := errors.New("odd")
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(t *Tx) error {
				t.Set(testKey(fmt.Sprint(i)), []byte("there"))
				t.Delete(testKey(fmt.Sprint((i + 1) % 10 * 100)))
				if i%2 == 1 {
					return errOdd
				}
				return nil
			})
		})
	}
	s.waiting(t, len(errs))
	release()
	wg.Wait()
	for i, err := range errs {
		_, found := read(t, s, testKey(fmt.Sprint(i)))
		if odd := i%2 == 1; found == odd || errors.Is(err, errOdd) != odd {
			t.Errorf("change %d: found %v, error %v", i, found, err)
		}
	}
}

func TestChangesThatDoNotFitOneCommit(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	const n, each = 8, 6000 // 48,000 keys, where a transaction holds about 25,000
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(t *Tx) error {
				seen := 0
				err := t.Scan(Span{Prefix: testKey("k"), KeysOnly: true}, func(_, _ []byte) (bool, error) {
					seen++
					return true, nil
				})
				if seen%each != 0 {
					return fmt.Errorf("saw %d keys of other changes", seen)
				}
				for k := range each {
					t.Set(testKey(fmt.Sprint("k", i, "-", k)), []byte("v"))
				}
				return err
			})
		})
	}
	var tooBig error
	wg.Go(func() {
		tooBig = s.Update(t.Context(), func(t *Tx) error {
			for k := range 60_000 {
				t.Set(testKey(fmt.Sprint("big", k)), nil)
			}
			return nil
		})
	})
	s.waiting(t, n+1)
	release()
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if tooBig == nil {
		t.Error("a change of 60,000 keys went through")
	}
	for prefix, want := range map[string]int{"k": n * each, "big": 0} {
		got := 0
		must(t, s.View(t.Context(), func(r *Reader) error {
			return r.Scan(Span{Prefix: testKey(prefix), KeysOnly: true}, func(_, _ []byte) (bool, error) {
				got++
				return true, nil
			})
		}))
		if got != want {
			t.Errorf("%d keys start with %q, want %d", got, prefix, want)
		}
	}
}

func TestContextEndsWhileWaiting(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		answer <- s.Update(ctx, func(t *Tx) error {
			t.Set(testKey("withdrawn"), nil)
			return nil
		})
	}()
	s.waiting(t, 1)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("withdrawn: %v", err)
	}
	release()
	if _, found := read(t, s, testKey("withdrawn")); found {
		t.Error("a withdrawn change was made")
	}

	// Once it is taken up, the outcome is waited for.
	ctx, cancel = context.WithCancel(t.Context())
	err := s.Update(ctx, func(t *Tx) error {
		cancel()
		t.Set(testKey("taken up"), nil)
		return nil
	})
	if _, found := read(t, s, testKey("taken up")); !found || err != nil {
		t.Errorf("taken up: found %v, error %v", found, err)
	}
}

// A change sees what was posted before it, and scans see what other changes of the same commit wrote.
func TestPost(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	before := s.db.MaxVersion()
	for _, k := range []string{"c", "a", "a"} {
		s.Post(func(t *Tx) error {
			t.Set(testKey(k), []byte("posted"))
			return nil
		})
	}
	s.Post(func(t *Tx) error {
		t.Set([]byte("another kind"), nil)
		return errors.New("it goes wrong")
	})
	var got []string
	done := make(chan error, 1)
	go func() {
		done <- s.Update(t.Context(), func(t *Tx) error {
			t.Set(testKey("b"), []byte("own"))
			t.Delete(testKey("c"))
			return t.Scan(Span{Prefix: testKey("")}, func(k, v []byte) (bool, error) {
				got = append(got, fmt.Sprintf("%s %s", k[1:], v))
				return true, nil
			})
		})
	}()
	s.waiting(t, 5)
	release()
	must(t, <-done)
	if want := []string{"a posted", "b own"}; !slices.Equal(got, want) {
		t.Errorf("the change sees %q, want %q", got, want)
	}
	if commits := s.db.MaxVersion() - before; commits != 1 {
		t.Errorf("%d commits", commits)
	}
	if _, found := read(t, s, []byte("another kind")); found {
		t.Error("a change that failed is there")
	}
	s.Shut()
	s.Post(func(*Tx) error { t.Error("it runs after the end"); return nil })
}

func TestCloseRefusesWhatWaits(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	answer := make(chan error)
	go func() {
		answer <- s.Update(t.Context(), func(t *Tx) error {
			t.Set(testKey("late"), nil)
			return nil
		})
	}()
	s.waiting(t, 1)
	closed := make(chan error)
	go func() { s.Shut(); closed <- nil }()
	for !errors.Is(s.View(t.Context(), func(*Reader) error { return nil }), diskerr.ErrClosed) {
		// until Close has begun
	}
	s.commit.mu.Lock()
	s.commit.closed = true // Close may be just about to
	s.commit.mu.Unlock()
	release()
	if err := <-answer; !errors.Is(err, diskerr.ErrClosed) {
		t.Errorf("late: %v", err)
	}
	must(t, <-closed)
	s.Shut()
	if err := s.Update(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, diskerr.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseWaitsForReaders(t *testing.T) {
	s := open(t)
	must(t, s.Update(t.Context(), func(t *Tx) error {
		t.Set(testKey("k"), []byte("v"))
		return nil
	}))
	closed := make(chan error, 1)
	must(t, s.View(t.Context(), func(r *Reader) error {
		go func() { s.Shut(); closed <- nil }()
		for s.View(t.Context(), func(*Reader) error { return nil }) == nil {
			// until Close has begun
		}
		_, found, err := r.Get(testKey("k"))
		if !found {
			t.Error("the database was closed under a reader")
		}
		return err
	}))
	must(t, <-closed)
}

// A change that read what a commit before it would have written, and came into
// the next commit because both did not fit into one, fails with it.
func TestChangeFailsWithWhatItRead(t *testing.T) {
	s := open(t)
	release := s.stall(t)
	big := bytes.Repeat([]byte{1}, 1000)
	fill := func(t *Tx, name string) {
		for i := range int(s.db.MaxBatchSize()) * 2 / 3 / len(big) {
			t.Set(testKey(fmt.Sprint(name, i)), big)
		}
	}
	errs := make([]error, 3)
	var wg sync.WaitGroup
	ask := func(i int, fn func(*Tx) error) {
		wg.Go(func() { errs[i] = s.Update(t.Context(), fn) })
		s.waiting(t, i+1)
	}
	ask(0, func(t *Tx) error {
		fill(t, "a")
		t.Set(nil, nil) // Badger takes no empty key, so this commit fails
		return nil
	})
	ask(1, func(t *Tx) error {
		_, found, err := t.Get(testKey("a0"))
		if found {
			t.Set(testKey("saw a"), nil)
		}
		fill(t, "b")
		return err
	})
	ask(2, func(t *Tx) error {
		t.Set(testKey("c"), nil)
		return nil
	})
	release()
	wg.Wait()
	if errs[0] == nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v; want two, and then none", errs)
	}
	for key, want := range map[string]bool{"a0": false, "saw a": false, "b0": false, "c": true} {
		if _, found := read(t, s, testKey(key)); found != want {
			t.Errorf("key %q is there: %v, want %v", key, found, want)
		}
	}
}

// A change that writes nothing does not count as a write that worked.
func TestNothingWrittenProvesNothing(t *testing.T) {
	d := open(t)
	must(t, d.Update(t.Context(), func(*Tx) error { return nil }))
	must(t, d.Writable(t.Context()))
	must(t, d.View(t.Context(), func(r *Reader) error {
		_, found, err := r.Get(MetaKey(metaProof))
		if !found {
			t.Error("Writable wrote nothing")
		}
		return err
	}))
}

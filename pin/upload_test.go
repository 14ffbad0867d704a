package pin_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// upload begins an upload that puts the n-th DAG of so many blocks.
func (r *rig) upload(account string, n, blocks int) *pin.Upload {
	r.t.Helper()
	u, err := r.Upload(r.t.Context(), account)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.put(u, n, blocks); err != nil {
		r.t.Fatal(err)
	}
	return u
}

func (r *rig) put(u *pin.Upload, n, blocks int) error {
	for _, b := range uploadOf(n, blocks) {
		if err := u.Put(r.t.Context(), b.CID, b.Data); err != nil {
			return err
		}
	}
	return u.Flush(r.t.Context())
}

// held is how many uploads the engine still holds.
func (r *rig) held() int {
	synctest.Wait()
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return len(r.net.uploads)
}

// An upload brings what an earlier request has waited for, for long.
func TestUploadOfWhatWaits(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		early := r.add(alice, 1)
		time.Sleep(20 * time.Minute)
		u := r.upload(alice, 1, 3)
		u.HoldFor(r.add(alice, 1))
		r.after(10*time.Second, early, pin.Pinned)
		if err := u.Close(); err != nil {
			r.t.Error(err)
		}
	})
}

// What was uploaded is held until the request for it is done, and let go of after that.
func TestUploadIsHeldUntilPinned(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		u := r.upload(alice, 1, 3)
		v := r.add(alice, 1)
		u.HoldFor(v)
		if err := errors.Join(u.Close(), u.Close()); err != nil {
			t.Error(err)
		}
		r.after(10*time.Second, v, pin.Pinned)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held", n)
		}
		if all, _ := r.net.keeps(dag(1)); !all {
			t.Error("what is pinned is gone with its upload")
		}
		// A request that is removed before it is pinned holds nothing.
		r.net.set(dag(2), content{}) // it would wait for ever
		u, err := r.Upload(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		v = r.add(alice, 2)
		u.HoldFor(v)
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if n := r.held(); n != 1 {
			t.Errorf("while its request waits, %d uploads are held", n)
		}
		if err := r.Remove(t.Context(), alice, v.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held for a request that is gone", n)
		}
	})
}

// What was uploaded is held until it is pinned also if its request is replaced by another for the same
// DAG, as by a new name.
func TestUploadIsHeldThroughReplace(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		u := r.upload(alice, 1, 3)
		r.net.set(dag(1), content{}) // nothing of it was walked yet
		v := r.add(alice, 1)
		u.HoldFor(v)
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"a name", "another"} {
			s := pintest.DAGSpec(1)
			s.Name = name
			now, err := r.Replace(t.Context(), alice, v.ID, s)
			if err != nil {
				t.Fatal(err)
			}
			v = now
			time.Sleep(time.Minute)
			if n := r.held(); n != 1 {
				t.Fatalf("after it has %s, %d uploads are held", name, n)
			}
		}
		r.net.set(dag(1), content{blocks: 3})
		r.after(10*time.Second, v, pin.Pinned)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held after the end", n)
		}
	})
}

// An upload that goes on and on does not hold all that it was charged for: that is gone once it
// is unpinned.
func TestUploadLetsGoOfWhatIsCharged(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct{ blocks, size, puts int }{
		"many bytes": {257, mib, 1}, "many blocks": {1, 1, 64<<10 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, pin.Config{}, func(r *rig) {
				t := r.t
				u, err := r.Upload(t.Context(), alice)
				if err != nil {
					t.Fatal(err)
				}
				data := make([]byte, c.size)
				for _, b := range uploadOf(1, c.blocks) {
					for range c.puts {
						if err := u.Put(t.Context(), b.CID, data); err != nil {
							t.Fatal(err)
						}
					}
				}
				if n := r.held(); n != 1 {
					t.Errorf("%d uploads are held before the end of the first DAG", n)
				}
				if err := u.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				v := r.add(alice, 1)
				u.HoldFor(v)
				r.after(10*time.Second, v, pin.Pinned)
				u.Charged()
				if err := r.Remove(t.Context(), alice, v.ID); err != nil {
					t.Fatal(err)
				}
				if err := r.put(u, 2, 3); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				if n := r.held(); n != 1 {
					t.Errorf("%d uploads are held, want the one that lives", n)
				}
				r.net.mu.Lock()
				for _, all := range r.net.uploads {
					if len(all) != 3 {
						t.Errorf("%d blocks are held, want the 3 that are not charged", len(all))
					}
				}
				r.net.mu.Unlock()
				// It goes on as before.
				v = r.add(alice, 2)
				u.HoldFor(v)
				r.after(10*time.Second, v, pin.Pinned)
				u.Charged()
				if err := u.Close(); err != nil {
					t.Error(err)
				}
				if n := r.held(); n != 0 {
					t.Errorf("%d uploads are held after the end", n)
				}
			})
		})
	}
}

// Empty blocks that go on and on count, too. A few count for nothing.
func TestUploadOfEmptyBlocks(t *testing.T) {
	quotas := new(quotasOf)
	quotas.Store(&pin.Quota{Bytes: 100})
	for _, c := range []struct {
		cfg  pin.Config
		want any
	}{
		{pin.Config{Quotas: quotas}, new(*pin.QuotaError)}, {pin.Config{Limits: pin.Limits{Blocks: 100}}, new(*pin.RefusedError)},
	} {
		run(t, c.cfg, func(r *rig) {
			t := r.t
			u, err := r.Upload(t.Context(), alice)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			n := 0
			for ; err == nil && n < 3000; n++ {
				err = u.Put(t.Context(), pintest.DAGSpec(1).Root, nil)
			}
			if !errors.As(err, c.want) || n != 1024+101 {
				t.Errorf("the upload ends with empty block %d, %v", n, err)
			}
		})
	}
}

// While an upload lives nobody drops it, although the records list it as released.
func TestUploadIsNotDroppedWhileItLives(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		u := r.upload(alice, 1, 3)
		// Both read what is released.
		if err := r.WaitUnpinned(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.net.set(dag(2), content{blocks: 1})
		v := r.add(alice, 2)
		r.after(time.Second, v, pin.Pinned)
		again := r.add(bob, 2)
		r.after(time.Second, again, pin.Pinned)
		if n := r.held(); n != 1 {
			t.Fatalf("%d uploads are held, want the one that lives", n)
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if err := r.WaitUnpinned(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held after their end", n)
		}
		if _, some := r.net.keeps(dag(1)); some {
			t.Error("an upload that was given up is kept")
		}
	})
}

// A start lets go of what a crash left.
func TestUploadsEndWithTheProcess(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		closed := r.upload(alice, 1, 3)
		v := r.add(alice, 1)
		closed.HoldFor(v)
		_ = closed.Close()
		open := r.upload(alice, 2, 3)
		go func() {
			time.Sleep(time.Second)
			if err := open.Put(context.Background(), uploadOf(2, 1)[0].CID, nil); !errors.Is(err, pin.ErrClosed) {
				t.Errorf("a manager that closes takes a block: %v", err)
			}
			_ = open.Close()
		}()
		if err := r.Close(); err != nil { // it waits for the upload
			t.Fatal(err)
		}
		if _, err := r.Upload(t.Context(), alice); !errors.Is(err, pin.ErrClosed) {
			t.Errorf("a manager that is closed begins an upload: %v", err)
		}
		r.start()
		r.after(10*time.Second, v, pin.Pinned)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held after a restart", n)
		}
	})
}

// quotasOf are quotas that a test changes.
type quotasOf struct{ atomic.Pointer[pin.Quota] }

func (q *quotasOf) Quota(context.Context, string) (pin.Quota, error) { return *q.Load(), nil }

// The quotas of an account hold over all of its uploads, while they run. Blocks of tests have
// 100 bytes.
func TestUploadsAndQuotas(t *testing.T) {
	quotas := new(quotasOf)
	quotas.Store(&pin.Quota{Bytes: 1000})
	run(t, pin.Config{Quotas: quotas}, func(r *rig) {
		t := r.t
		first := r.upload(alice, 1, 6)
		second, err := r.Upload(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		var over *pin.QuotaError
		if err := r.put(second, 2, 5); !errors.As(err, &over) || over.Pins || over.Asked != 1100 {
			t.Fatalf("the account uploads 1,100 bytes of 1,000: %v", err)
		}
		if err := second.Flush(t.Context()); !errors.As(err, &over) {
			t.Errorf("after that: %v", err)
		}
		_ = second.Close()
		// What one gave up, another may have; and so may another account.
		if err := r.put(first, 3, 4); err != nil {
			t.Errorf("an upload beside one that was given up: %v", err)
		}
		if err := r.upload(bob, 4, 9).Close(); err != nil {
			t.Error(err)
		}
		// What is pinned is charged, and is not counted twice.
		v := r.add(alice, 1)
		r.after(time.Second, v, pin.Pinned)
		first.Charged()
		if err := r.put(first, 5, 4); err != nil {
			t.Errorf("400 bytes beside a pin of 600: %v", err)
		}
		if err := r.put(first, 6, 1); !errors.As(err, &over) || over.Used != 600 || over.Asked != 500 {
			t.Errorf("500 bytes beside a pin of 600: %v", err)
		}
		_ = first.Close()
		quotas.Store(&pin.Quota{Pins: 1})
		third, err := r.Upload(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.put(third, 7, 1); !errors.As(err, &over) || !over.Pins {
			t.Errorf("an account with all the pins that it may have uploads: %v", err)
		}
		_ = third.Close()
	})
}

// What was here before is not added to what an account has. But an upload holds no more of it than
// the account, or a DAG, may have at all.
func TestUploadsOfWhatIsHere(t *testing.T) {
	quotas := new(quotasOf)
	quotas.Store(&pin.Quota{Bytes: 1000})
	for _, limits := range []pin.Limits{{}, {Bytes: 1000}, {Blocks: 10}} {
		cfg := pin.Config{Limits: limits, Quotas: quotas}
		if limits != (pin.Limits{}) {
			cfg.Quotas = nil
		}
		run(t, cfg, func(r *rig) {
			t := r.t
			v := r.upload(alice, 1, 9)
			r.after(time.Second, r.add(alice, 1), pin.Pinned)
			v.Charged()
			_ = v.Close()
			r.net.here = true
			u, err := r.Upload(t.Context(), alice)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.put(u, 2, 10); err != nil {
				t.Errorf("limits %+v: 1,000 bytes that are here, beside 900: %v", limits, err)
			}
			u.Charged()
			if err := r.put(u, 3, 10); err != nil {
				t.Errorf("limits %+v: after those were pinned: %v", limits, err)
			}
			err = r.put(u, 4, 1)
			if over, refused := (*pin.QuotaError)(nil), (*pin.RefusedError)(nil); !errors.As(err, &over) && !errors.As(err, &refused) {
				t.Errorf("limits %+v: an upload holds 1,100 bytes that are here: %v", limits, err)
			}
			_ = u.Close()
		})
	}
}

// The limits of a DAG hold for what an upload has not pinned yet.
func TestUploadsAndLimits(t *testing.T) {
	for _, l := range []pin.Limits{{Bytes: 350}, {Blocks: 3}, {BlockBytes: 99}} {
		run(t, pin.Config{Limits: l}, func(r *rig) {
			t := r.t
			u, err := r.Upload(t.Context(), alice)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if err := r.put(u, 1, 4); !errors.As(err, new(*pin.RefusedError)) {
				t.Errorf("limits %+v: %v", l, err)
			}
		})
	}
}

// An upload that ends at the limits of a DAG takes off its account what it had added, and no
// more: else the others of the account pass the quota by, or are refused for nothing.
func TestLimitsKeepTheCountOfAnAccount(t *testing.T) {
	for _, limits := range []pin.Limits{{Bytes: 350}, {Blocks: 3}} {
		for _, refused := range []int{3, 4} {
			quotas := new(quotasOf)
			quotas.Store(&pin.Quota{Bytes: 1000})
			run(t, pin.Config{Limits: limits, Quotas: quotas}, func(r *rig) {
				t := r.t
				var open []*pin.Upload
				begin := func() *pin.Upload {
					u, err := r.Upload(t.Context(), alice)
					if err != nil {
						t.Fatal(err)
					}
					open = append(open, u)
					return u
				}
				if err := r.put(begin(), 1, 3); err != nil {
					t.Fatal(err)
				}
				for range refused {
					u := begin()
					if err := r.put(u, 2, 4); !errors.As(err, new(*pin.RefusedError)) {
						t.Fatalf("4 blocks with limits %+v: %v", limits, err)
					}
					_ = u.Close()
				}
				for n := range 2 {
					if err := r.put(begin(), 3+n, 3); err != nil {
						t.Errorf("300 bytes beside %d of 1000, after %d that were refused: %v", 300*(n+1), refused, err)
					}
				}
				var over *pin.QuotaError
				if err := r.put(begin(), 5, 2); !errors.As(err, &over) || over.Asked != 1100 {
					t.Errorf("200 bytes beside 900 of 1000, after %d that were refused: %v", refused, err)
				}
				for _, u := range open {
					_ = u.Close()
				}
			})
		}
	}
}

// An upload may be closed while a block is put: that counts for nobody.
func TestUploadIsClosedDuringAPut(t *testing.T) {
	quotas := new(quotasOf)
	quotas.Store(&pin.Quota{Bytes: 1000})
	run(t, pin.Config{Quotas: quotas}, func(r *rig) {
		t := r.t
		for range 11 {
			u, err := r.Upload(t.Context(), alice)
			if err != nil {
				t.Fatal(err)
			}
			r.net.setFault(func(method string) error {
				if method == "Put done" {
					return u.Close()
				}
				return nil
			})
			if err := r.put(u, 1, 1); !errors.Is(err, pin.ErrClosed) {
				t.Errorf("a block of an upload that was closed meanwhile: %v", err)
			}
			r.net.setFault(nil)
		}
		if err := r.upload(alice, 2, 10).Close(); err != nil {
			t.Error(err)
		}
	})
}

// A full disk is told at the beginning, and logged.
func TestUploadToAFullDisk(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		r.net.setFault(func(method string) error {
			if method == "Room" {
				return &pin.DiskFullError{Kept: 1, More: 1}
			}
			return nil
		})
		if _, err := r.Upload(t.Context(), alice); !errors.Is(err, pin.ErrDiskFull) {
			t.Errorf("an upload to a full disk: %v", err)
		}
		r.net.setFault(nil)
		if lines := r.logged("pins are refused for want of disk space"); len(lines) != 1 {
			t.Errorf("logged %q", lines)
		}
		u := r.upload(alice, 1, 1)
		if _, err := u.Get(t.Context(), pintest.DAGSpec(1).Root); err != nil {
			t.Error(err)
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if _, err := u.Get(t.Context(), pintest.DAGSpec(1).Root); !errors.Is(err, pin.ErrClosed) {
			t.Errorf("an upload that is closed: %v", err)
		}
	})
}

// An upload whose beginning is in doubt is let go of, if it was begun.
func TestUploadInDoubt(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		made := r.net.number
		r.net.number = func(ctx context.Context) (pin.Attempt, error) {
			a, err := made(ctx)
			return a, errors.Join(err, pin.ErrInDoubt)
		}
		if _, err := r.Upload(t.Context(), alice); !errors.Is(err, pin.ErrInDoubt) {
			t.Fatalf("an upload in doubt: %v", err)
		}
		r.net.set(dag(2), content{blocks: 1})
		v := r.add(alice, 2) // whose run looks again
		r.after(time.Second, v, pin.Pinned)
		released, err := r.recs.Released(t.Context())
		if err != nil || len(released) != 0 {
			t.Errorf("%v are released, %v", slices.Clone(released), err)
		}
	})
}

package provide

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/failstore"
)

// fullDisk has the provider's datastore take no writes while full is set. Its
// error is another each time, as that of the store is.
func (r *rig) fullDisk() (full *atomic.Bool) {
	full = new(atomic.Bool)
	var n atomic.Int64
	r.ds = failstore.NewFailstore(r.ds, func(op string) error {
		switch op {
		case "put", "delete", "batch-commit":
			if full.Load() {
				return fmt.Errorf("disk is full: %d bytes are free", n.Add(1))
			}
		}
		return nil
	})
	return full
}

// What another peer told is told anew, by a node that has a new identity.
func TestAnotherPeer(t *testing.T) {
	bubble(t, 100, func(r *rig) {
		roots := rootsOf(3 * applyBatch / 2)
		r.cfg.Networks[0].Self = simID(1 << 41)
		r.start()
		r.pin(roots...)
		r.wait(time.Minute)
		if s := r.stats(); s.Untold != 0 {
			t.Fatalf("%d roots are untold", s.Untold)
		}
		r.unpin(roots[:10]...)
		r.close()
		r.net.forget()
		r.cfg.Networks[0].Self = simID(1 << 40)
		r.start()
		r.wait(10 * time.Second)
		if !strings.Contains(r.log.String(), "another peer provided") {
			t.Errorf("the log has\n%s", r.log)
		}
		if s := r.stats(); s.Roots != len(roots)-10 || s.Keys != int64(len(roots)-10) {
			t.Errorf("%d roots are known, and %d keys", s.Roots, s.Keys)
		}
		r.wait(5 * time.Minute)
		for _, d := range roots[10:] {
			if least, _ := r.net.times(hashOf(d)); least == 0 {
				t.Fatal("a root is not told by the new peer")
			}
		}
		if s := r.stats(); s.Untold != 0 {
			t.Errorf("%d roots are untold", s.Untold)
		}
		r.close()
		r.net.forget()
		r.start()
		r.wait(5 * time.Minute)
		if strings.Count(r.log.String(), "another peer provided") != 1 {
			t.Errorf("at the next start the log has\n%s", r.log)
		}
	})
}

// A start that fails is tried again, and what was pinned and unpinned meanwhile is
// told and not told.
func TestStartFails(t *testing.T) {
	for name, before := range map[string]func(r *rig){
		"the first start": func(*rig) {},
		// The sweep is open when it fails.
		"half-way": func(r *rig) {
			r.start()
			r.pin(rootsOf(200)[100:]...)
			r.wait(time.Minute)
			r.close()
			if err := r.ds.Put(r.t.Context(), datastore.NewKey("/strategy"), []byte(Entities)); err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 300, func(r *rig) {
				t := r.t
				full := r.fullDisk()
				before(r)
				full.Store(true)
				r.start()
				late := rootsOf(20)
				r.pin(late...)
				r.wait(time.Hour)
				r.unpin(late[10:]...)
				if s := r.stats(); s.Online || !r.Announced(late[0]).IsZero() {
					t.Errorf("stats are %+v", s)
				}
				if n := strings.Count(r.log.String(), "nothing is provided"); n != 1 {
					t.Errorf("in an hour the log has it %d times:\n%.1000s", n, r.log)
				}
				full.Store(false)
				r.wait(5 * time.Minute)
				for _, d := range late[:10] {
					if least, _ := r.net.times(hashOf(d)); least == 0 || r.Announced(d).IsZero() {
						t.Fatalf("told %d times; the log has\n%.1000s", least, r.log)
					}
				}
				r.told(0, hashes(late[10:])...)
				if s := r.stats(); s.Untold != 0 || s.Keys != int64(s.Roots) || s.Roots%100 != 10 {
					t.Errorf("stats are %+v", s)
				}
			})
		})
	}
}

// A provider whose start fails is closed at once.
func TestCloseWhileStartFails(t *testing.T) {
	bubble(t, 100, func(r *rig) {
		full := r.fullDisk()
		full.Store(true)
		r.start()
		r.pin(rootOf(1))
		r.wait(retellEvery / 2)
		began := time.Now()
		r.close()
		if took := time.Since(began); took > 0 {
			r.t.Errorf("it took %v", took)
		}
	})
}

// What waits for the start is bounded, and nothing is lost by that.
func TestManyBeforeTheStart(t *testing.T) {
	bubble(t, 100, func(r *rig) {
		r.net.addresses.Store(false)
		full := r.fullDisk()
		full.Store(true)
		r.start()
		all := rootsOf(maxEarly + 1000)
		r.pin(all...)
		r.pin(all...)
		if len(r.due) != maxEarly {
			r.t.Errorf("%d wait", len(r.due))
		}
		full.Store(false)
		r.wait(2 * retellEvery)
		if s := r.stats(); s.Roots != len(all) {
			r.t.Errorf("of %d roots it knows %d", len(all), s.Roots)
		}
	})
}

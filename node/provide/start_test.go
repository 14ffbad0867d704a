package provide

import (
	"strings"
	"testing"
	"time"
)

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

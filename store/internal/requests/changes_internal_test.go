package requests

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// A DAG that a Begin found plain is known to be, unless something has changed since that Begin started, or
// changes later, or was forgotten.
func TestPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c changes
		d := pin.DAG("d")
		is := func(when string, want bool) {
			t.Helper()
			time.Sleep(time.Millisecond)
			if c.isPlain(d) != want {
				t.Errorf("%s it is plain: %v", when, !want)
			}
		}
		is("at first", false)
		c.note(d)
		is("when it is made", false)
		c.began(d, time.Now(), nil, true)
		is("after a Begin", true)
		c.note(d)
		is("after a change", false)
		started := time.Now()
		time.Sleep(time.Millisecond)
		c.note(d)
		c.began(d, started, nil, true)
		is("after a change during the Begin", false)
		c.began(d, time.Now(), nil, false)
		is("after a Begin that found a note", false)
		c.began(d, time.Now(), nil, true)
		time.Sleep(2 * changesKept)
		c.note("another")
		is("after a while", false)
	})
}

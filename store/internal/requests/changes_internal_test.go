package requests

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// That an account has no request for a CID is known until there may be one, and not for long.
func TestHadNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c changes
		is := func(when string, want bool) {
			t.Helper()
			if c.hadNone("alice has d", "d") != want {
				t.Errorf("%s it is known: %v", when, !want)
			}
		}
		is("at first", false)
		at := time.Now()
		c.none("alice has d", at)
		is("after a look", true)
		c.note("another")
		is("after another DAG changed", true)
		c.note("d")
		is("after it changed", false)
		c.none("alice has d", at)
		is("after a look at how it was before", false)
		time.Sleep(time.Millisecond)
		c.none("alice has d", time.Now())
		is("after a new look", true)
		for i := range maxEmpty {
			c.none(fmt.Sprint(i), time.Now())
		}
		if len(c.empty) > maxEmpty {
			t.Errorf("%d are kept", len(c.empty))
		}
		c.none("alice has d", time.Now())
		time.Sleep(changesKept)
		is("after a while", false)
	})
}

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

package kv

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestScanSeesWhatIsNotCommitted(t *testing.T) {
	s := open(t)
	set := func(keys ...string) {
		must(t, s.Update(t.Context(), func(t *Tx) error {
			for _, k := range keys {
				t.Set(testKey(k), []byte("old "+k))
			}
			return nil
		}))
	}
	set("a0", "a2", "a4", "a6", "b1", "\xff")
	keysOf := func(r *Reader, sp Span) (got []string) {
		must(t, r.Scan(sp, func(k, v []byte) (bool, error) {
			got = append(got, strings.TrimSpace(string(k[1:])+" "+string(v)))
			return true, nil
		}))
		return got
	}
	must(t, s.Update(t.Context(), func(x *Tx) error {
		x.Set(testKey("a1"), []byte("new"))
		x.Set(testKey("a2"), []byte("new"))
		x.Delete(testKey("a4"))
		x.Delete(testKey("a5")) // was never there
		x.Set(testKey("a7"), []byte("new"))
		x.Set(testKey("c"), []byte("new"))
		for _, c := range []struct {
			Span
			want []string
		}{
			{Span{Prefix: testKey("a")}, []string{"a0 old a0", "a1 new", "a2 new", "a6 old a6", "a7 new"}},
			{Span{Prefix: testKey("a"), Reverse: true}, []string{"a7 new", "a6 old a6", "a2 new", "a1 new", "a0 old a0"}},
			{Span{Prefix: testKey("a"), From: testKey("a2"), KeysOnly: true}, []string{"a2", "a6", "a7"}},
			{Span{Prefix: testKey("a"), From: testKey("a5"), Reverse: true, KeysOnly: true}, []string{"a2", "a1", "a0"}},
			{Span{Prefix: testKey("c")}, []string{"c new"}},
			{Span{Prefix: testKey("d")}, nil},
			{Span{Prefix: testKey("\xff"), Reverse: true, KeysOnly: true}, []string{"\xff"}},
		} {
			if got := keysOf(&x.Reader, c.Span); !slices.Equal(got, c.want) {
				t.Errorf("scan %+v: %q, want %q", c.Span, got, c.want)
			}
		}
		n := 0
		return x.Scan(Span{Prefix: testKey("a")}, func(_, _ []byte) (bool, error) {
			n++
			if n > 2 {
				t.Error("a scan went on after it was ended")
			}
			return n < 2, nil
		})
	}))
}

// A scan sees what changes before it in the same commit wrote, however long its prefix is.
func TestScanSeesChangesOfItsCommit(t *testing.T) {
	s := open(t)
	long := strings.Repeat("k", alikeBytes)
	key := func(end string) []byte { return append([]byte(long), end...) }
	must(t, s.Update(t.Context(), func(t *Tx) error {
		for _, end := range []string{"a1", "a2", "a3"} {
			t.Set(key(end), []byte("old"))
		}
		return nil
	}))
	// They have begun in this order, and share a commit.
	release := s.stall(t)
	var all sync.WaitGroup
	for i, change := range []func(*Tx){
		func(t *Tx) { t.Set(key("a0"), []byte("new")); t.Delete(key("a2")); t.Set([]byte(long), []byte("new")) },
		func(t *Tx) { t.Set(key("a0"), []byte("newer")); t.Delete(key("a3")); t.Set(key("b"), []byte("new")) },
	} {
		all.Go(func() {
			must(t, s.Update(t.Context(), func(t *Tx) error {
				change(t)
				return nil
			}))
		})
		s.waiting(t, i+1)
	}
	all.Go(func() {
		must(t, s.Update(t.Context(), func(x *Tx) error {
			x.Set(key("a4"), []byte("own"))
			for _, c := range []struct {
				from   func() *Reader
				prefix string
				want   []string
			}{
				{func() *Reader { return &x.Reader }, long + "a", []string{"a0 newer", "a1 old", "a4 own"}},
				{func() *Reader { return &x.Reader }, long, []string{" new", "a0 newer", "a1 old", "a4 own", "b new"}},
				{func() *Reader { return &x.Reader }, long[1:], []string{" new", "a0 newer", "a1 old", "a4 own", "b new"}},
				{x.Before, long + "a", []string{"a0 newer", "a1 old"}},
			} {
				var got []string
				must(t, c.from().Scan(Span{Prefix: []byte(c.prefix)}, func(k, v []byte) (bool, error) {
					got = append(got, fmt.Sprintf("%s %s", k[len(long):], v))
					return true, nil
				}))
				if !slices.Equal(got, c.want) {
					t.Errorf("%d bytes of prefix: %q, want %q", len(c.prefix), got, c.want)
				}
			}
			return nil
		}))
	})
	s.waiting(t, 3)
	release()
	all.Wait()
}

// A change of many that share a commit scans as one alone does.
func BenchmarkScansOfManyChanges(b *testing.B) {
	for _, n := range []int{1, maxChangesPerCommit} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := open(b)
			for b.Loop() {
				release := d.stall(b)
				var all sync.WaitGroup
				for i := range n {
					all.Go(func() {
						must(b, d.Update(b.Context(), func(t *Tx) error {
							for j := range 8 {
								prefix := testKey(fmt.Sprintf("%09d that it begins with, %d", i, j))
								must(b, t.Scan(Span{Prefix: prefix, KeysOnly: true}, func(_, _ []byte) (bool, error) { return true, nil }))
								t.Set(append(prefix, "and more"...), []byte("value"))
							}
							return nil
						}))
					})
				}
				d.waiting(b, n)
				release()
				all.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/change")
		})
	}
}

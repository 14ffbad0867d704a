package pin

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// hinting makes a request of an account, made so many seconds after the first, with
// origins that are numbered.
func hinting(account string, second, origins int) Request {
	r := Request{ID: fmt.Sprint(account, second), Account: account, Created: time.Unix(int64(second), 0)}
	for i := range origins {
		r.Origins = append(r.Origins, fmt.Sprintf("%s of %d at %d", account, second, i))
	}
	return r
}

func TestHintsOfTheNewestRequestComeFirst(t *testing.T) {
	var h hints
	for _, second := range []int{2, 1, 3} { // as they come from disk, in any order
		if !h.add(hinting("a", second, 2)) {
			t.Errorf("the origins of %d are not new", second)
		}
	}
	if h.add(hinting("a", 3, 2)) {
		t.Error("a request that is known brings something new")
	}
	var got []string
	for _, o := range h.all() {
		got = append(got, o.Addr)
	}
	want := []string{"a of 3 at 0", "a of 3 at 1", "a of 2 at 0", "a of 2 at 1", "a of 1 at 0", "a of 1 at 1"}
	if !slices.Equal(got, want) {
		t.Errorf("they are %q, want %q", got, want)
	}
	h.remove(member{"a", "a3"})
	if first := h.all()[0].Addr; first != "a of 2 at 0" {
		t.Errorf("after the newest was removed %q is the first", first)
	}
}

// However many requests name origins, each account has its share, and there are no more
// than a job may have.
func TestHintsAreShared(t *testing.T) {
	var h hints
	h.add(hinting("victim", 0, MaxOrigins))
	for i := range 100 {
		h.add(hinting(fmt.Sprint("junk", i%3), 1+i, MaxOrigins))
	}
	of := map[string]int{}
	for _, o := range h.all() {
		of[o.Addr[:6]]++
	}
	if n := len(h.all()); n != maxJobOrigins {
		t.Errorf("there are %d", n)
	}
	if of["victim"] == 0 {
		t.Error("one account's are pushed out by others'")
	}
}

// An address is another origin for a request that may have it dialled.
func TestHintsKeepWhereRequestsCameFrom(t *testing.T) {
	var h hints
	r := hinting("a", 1, 1)
	h.add(r)
	r.ID, r.Account, r.From = "b1", "b", netip.MustParseAddr("192.168.1.7")
	if !h.add(r) {
		t.Error("it is not new")
	}
	all := h.all()
	if len(all) != 2 || all[0].Addr != all[1].Addr || all[0].From == all[1].From {
		t.Errorf("they are %v", all)
	}
	h.remove(member{"b", "b1"})
	if all := h.all(); len(all) != 1 || all[0].From.IsValid() {
		t.Errorf("what the removed request may do stays: %v", all)
	}
}

func TestHintsHaveTheNewestRoot(t *testing.T) {
	sum, err := multihash.Sum([]byte("x"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	v0, v1 := hinting("a", 2, 0), hinting("a", 1, 0)
	v0.Root, v1.Root = cid.NewCidV0(sum), cid.NewCidV1(cid.DagProtobuf, sum)
	for _, order := range [][]Request{{v0, v1}, {v1, v0}} {
		var h hints
		for _, r := range order {
			h.add(r)
		}
		if h.root != v0.Root {
			t.Errorf("the root is %v", h.root)
		}
	}
}

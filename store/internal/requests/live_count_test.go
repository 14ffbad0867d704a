package requests_test

import (
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// Whether other requests for a DAG are live is seen across the pieces of the lists.
func TestLiveCountAcrossPieces(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{Now: new(roomtest.Clock).Now})
	addMany(t, s, 1, 2*requests.ChunkBits)
	d := pintest.DAGSpec(1).DAG()
	check := func(want uint64) {
		t.Helper()
		u, err := s.Requests.Usage(t.Context(), manyAccount(0))
		must(t, err)
		if u.Pins != want {
			t.Errorf("%d pins, want %d", u.Pins, want)
		}
		roomtest.CheckInvariants(t, s.KV)
	}
	check(1)
	_, err := s.Requests.Fail(t.Context(), d, "why")
	must(t, err)
	check(0)
	page, err := s.Requests.List(t.Context(), manyAccount(0), pin.Query{Statuses: pin.Statuses(), Limit: 2*requests.ChunkBits + 1})
	must(t, err)
	oldest, newest := page.Requests[len(page.Requests)-1], page.Requests[0]
	for _, r := range []pin.Request{oldest, newest} {
		_, err = s.Requests.Retry(t.Context(), r.Account, r.ID)
		must(t, err)
		check(1)
	}
	_, _, err = s.Requests.Remove(t.Context(), newest.Account, newest.ID)
	must(t, err)
	check(1)
	_, _, err = s.Requests.Remove(t.Context(), oldest.Account, oldest.ID)
	must(t, err)
	check(0)
}

package psa

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/ipfs/boxo/pinning/remote/client"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// newRecords makes a service in memory.
func newRecords(t *testing.T, now func() time.Time) inMemory {
	r := pintest.NewRecords(now)
	t.Cleanup(r.Close)
	return inMemory{r}
}

// The client that Kubo uses writes and reads every operation, by a base path
// with and without a slash at the end.
func TestIndependentClient(t *testing.T) {
	for _, base := range []string{"/api/psa", "/api/psa/"} {
		t.Run(base, func(t *testing.T) {
			ctx := t.Context()
			s := newServer(t, newRecords(t, time.Now))
			c := client.NewClient(s.URL+base, token)
			root := cid.MustParse(cidV1)
			from := multiaddr.StringCast(origin)
			meta := map[string]string{"app_id": "x"}

			added, err := c.Add(ctx, root, client.PinOpts.WithName("n"), client.PinOpts.WithOrigins(from), client.PinOpts.AddMeta(meta))
			if err != nil {
				t.Fatal(err)
			}
			p := added.GetPin()
			if added.GetStatus() != client.StatusQueued || !p.GetCid().Equals(root) || p.GetName() != "n" ||
				!maps.Equal(p.GetMeta(), meta) || !slices.Equal(p.GetOrigins(), []string{origin}) {
				t.Errorf("added %v", added)
			}
			if d := added.GetDelegates(); len(d) != 1 || d[0].String() != delegate {
				t.Errorf("delegates %v", d)
			}
			if age := time.Since(added.GetCreated()); age < -time.Second || age > time.Minute {
				t.Errorf("created %v ago", age)
			}
			got, err := c.GetStatusByID(ctx, added.GetRequestId())
			if err != nil || got.GetRequestId() != added.GetRequestId() || !got.GetCreated().Equal(added.GetCreated()) {
				t.Fatalf("got %v, %v", got, err)
			}
			now, err := c.Replace(ctx, added.GetRequestId(), root)
			if err != nil || now.GetRequestId() == added.GetRequestId() || now.GetPin().GetName() != "" {
				t.Fatalf("replaced by %v, %v", now, err)
			}
			if _, err := c.GetStatusByID(ctx, added.GetRequestId()); err == nil || !strings.Contains(err.Error(), "NOT_FOUND") {
				t.Errorf("the replaced request: %v", err)
			}
			if err := c.DeleteByID(ctx, now.GetRequestId()); err != nil {
				t.Error(err)
			}
			if err := c.DeleteByID(ctx, now.GetRequestId()); err == nil || !strings.Contains(err.Error(), "NOT_FOUND") {
				t.Errorf("removed twice: %v", err)
			}
		})
	}
}

func TestIndependentClientReadsErrors(t *testing.T) {
	s := newServer(t, newRecords(t, time.Now))
	c := client.NewClient(s.URL+"/api/psa", "stolen")
	_, err := c.Add(t.Context(), cid.MustParse(cidV1))
	if err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("got %v", err)
	}
}

// Paging as Kubo does it, 10 at a time until count is what the page holds,
// finds each of 2,500 requests once, newest first, while others come in.
func TestIndependentClientPages(t *testing.T) {
	const n = 2500
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	svc := newRecords(t, func() time.Time { return clock })
	var want []string
	for i := range n {
		if i%900 == 0 {
			clock = clock.Add(time.Second) // many in one millisecond, but within what is allowed
		}
		v, err := svc.Add(t.Context(), account, pintest.DAGSpec(i%100))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, v.ID)
		if i%10 == 0 { // another account's, which must not show
			if _, err := svc.Add(t.Context(), "0197a1b2-0000-7000-8000-00000000000b", pintest.DAGSpec(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Reverse(want)
	s := newServer(t, svc)
	c := client.NewClient(s.URL+"/api/psa", token)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, errs := c.GoLs(ctx, client.PinOpts.FilterStatus(client.StatusQueued, client.StatusPinning, client.StatusFailed))
	var got []string
	for p := range found {
		got = append(got, p.GetRequestId())
		if len(got) == n/2 { // one that comes in on the way is newer than all that is still to be read
			clock = clock.Add(10 * time.Second)
			if _, err := svc.Add(ctx, account, pintest.DAGSpec(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d requests, want %d, or in another order", len(got), n)
	}
}

// A page has the length that the client asked for, or 10.
func TestIndependentClientFilters(t *testing.T) {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	svc := newRecords(t, func() time.Time { return clock })
	created := make([]time.Time, 30)
	for i := range created {
		clock = clock.Add(time.Second)
		spec := pintest.DAGSpec(i % 3)
		spec.Name = fmt.Sprintf("Name %d", i%5)
		spec.Meta = map[string]string{"five": fmt.Sprint(i % 5), "all": "1", "url": "https://example.org/a b"}
		v, err := svc.Add(t.Context(), account, spec)
		if err != nil {
			t.Fatal(err)
		}
		created[i] = v.Created
	}
	s := newServer(t, svc)
	c := client.NewClient(s.URL+"/api/psa", token)
	queued := client.PinOpts.FilterStatus(client.StatusQueued)
	for _, tt := range []struct {
		name          string
		opts          []client.LsOption
		results, want int
	}{
		{"pinned alone by default", nil, 0, 0},
		{"ten by default", []client.LsOption{queued}, 10, 30},
		{"limit", []client.LsOption{queued, client.PinOpts.Limit(1000)}, 30, 30},
		{"cid", []client.LsOption{queued, client.PinOpts.FilterCIDs(pintest.DAGSpec(0).Root)}, 10, 10},
		{"cids", []client.LsOption{queued, client.PinOpts.FilterCIDs(pintest.DAGSpec(0).Root, pintest.DAGSpec(1).Root)}, 10, 20},
		{"name", []client.LsOption{queued, client.PinOpts.FilterName("Name 4")}, 6, 6},
		{"name of another case", []client.LsOption{queued, client.PinOpts.FilterName("name 4")}, 0, 0},
		{"before", []client.LsOption{queued, client.PinOpts.FilterBefore(created[5])}, 5, 5},
		{"before, finer", []client.LsOption{queued, client.PinOpts.FilterBefore(created[5].Add(1))}, 6, 6},
		{"after", []client.LsOption{queued, client.PinOpts.FilterAfter(created[25])}, 4, 4},
		{"after, finer", []client.LsOption{queued, client.PinOpts.FilterAfter(created[25].Add(-1))}, 5, 5},
		{"meta", []client.LsOption{queued, client.PinOpts.LsMeta(map[string]string{"five": "2", "all": "1"})}, 6, 6},
		{"meta with spaces and colons", []client.LsOption{queued, client.PinOpts.LsMeta(map[string]string{"five": "2", "url": "https://example.org/a b"})}, 6, 6},
		{"other meta with spaces", []client.LsOption{queued, client.PinOpts.LsMeta(map[string]string{"five": "2", "url": "a b"})}, 0, 0},
		{"no meta", []client.LsOption{queued, client.PinOpts.LsMeta(map[string]string{})}, 10, 30},
		{"other meta", []client.LsOption{queued, client.PinOpts.LsMeta(map[string]string{"all": "2"})}, 0, 0},
		{"all at once", []client.LsOption{queued, client.PinOpts.FilterAfter(created[0]), client.PinOpts.FilterBefore(created[29]),
			client.PinOpts.FilterName("Name 1"), client.PinOpts.FilterCIDs(pintest.DAGSpec(0).Root)}, 2, 2},
	} {
		got, count, err := c.LsBatchSync(t.Context(), tt.opts...)
		if err != nil || len(got) != tt.results || count != tt.want {
			t.Errorf("%s: %d results, count %d, %v; want %d, %d", tt.name, len(got), count, err, tt.results, tt.want)
		}
	}
	// As the spec has it; boxo's client writes no JSON.
	r := s.call("GET", "/pins?status=queued&limit=1&meta=%7B%22five%22%3A%222%22%2C%22all%22%3A%221%22%7D", "")
	if !strings.HasPrefix(r.body, `{"count":6,"results":[{`) {
		t.Errorf("meta: %s", r.body)
	}
	r = s.call("GET", "/pins?status=queued&name=NAME&match=ipartial&limit=1", "")
	if !strings.HasPrefix(r.body, `{"count":30,"results":[{`) {
		t.Errorf("match: %s", r.body)
	}
}

// No account sees, changes or removes the pins of another.
func TestAccountsAreApart(t *testing.T) {
	svc := newRecords(t, time.Now)
	v, err := svc.Add(t.Context(), account, pintest.DAGSpec(1))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, svc)
	other := []string{"Authorization", "Bearer " + otherTok}
	for _, r := range []response{
		s.call("GET", "/pins/"+v.ID, "", other...),
		s.call("POST", "/pins/"+v.ID, pinBody(cidV0), other...),
		s.call("DELETE", "/pins/"+v.ID, "", other...),
	} {
		r.wantFailure(t, 404, "NOT_FOUND", "")
	}
	if r := s.call("GET", "/pins?status=queued", "", other...); r.body != `{"count":0,"results":[]}`+"\n" {
		t.Errorf("the other lists %s", r.body)
	}
	if got, err := svc.Get(t.Context(), account, v.ID); err != nil || got.Status != pin.Queued {
		t.Errorf("left: %v, %v", got, err)
	}
}

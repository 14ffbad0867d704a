package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// A list of which one object never ends fills no memory, whether it is a peer's or a node's.
func TestObjectWithoutEnd(t *testing.T) {
	const enough = 32 * maxAnswer
	var sent atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent.Store(0)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"cid":"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}`+"\n"+`{"cid":"`)
		for part := strings.Repeat("a", 64<<10); sent.Load() < enough; {
			n, err := io.WriteString(w, part)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer s.Close()
	for name, list := range map[string]func() error{
		"of a peer": func() (last error) {
			p := &peer{base: s.URL, http: http.DefaultClient}
			for _, last = range p.allocations(t.Context()) {
			}
			return last
		},
		"of a node": func() (last error) {
			for _, last = range newNodeRPC(s.URL, http.DefaultClient, 0).pins(t.Context()) {
			}
			return last
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := list(); !errors.Is(err, errCut) {
				t.Errorf("it ends with %v", err)
			}
			if n := sent.Load(); n >= enough {
				t.Errorf("%d bytes of one object were read", n)
			}
		})
	}
}

// Objects of many times the bound of one, all of them together, are a list as any other.
func TestLongListIsRead(t *testing.T) {
	const each, n = maxAnswer / 4, 32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range n {
			_ = json.NewEncoder(w).Encode(pinInfo{Name: strings.Repeat("a", each)})
		}
	}))
	defer s.Close()
	p := &peer{base: s.URL, http: http.DefaultClient}
	got := 0
	for one, err := range p.allocations(t.Context()) {
		if err != nil || len(one.Name) != each {
			t.Fatalf("after %d: %v", got, err)
		}
		got++
	}
	if got != n {
		t.Errorf("%d of %d objects", got, n)
	}
}

// brokenRecords cannot be read.
type brokenRecords struct{ Records }

var errBroken = errors.New("the records cannot be read")

func (brokenRecords) Held(context.Context, pin.DAG) (pin.Attempt, bool, bool, error) {
	return 0, false, false, errBroken
}

// What is wrong here is not said of the cluster, and is not tried with one peer after the other.
func TestErrorsOfThisServer(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, nil)
	f.engine.records = brokenRecords{f.engine.records}
	_, err := f.engine.Check(t.Context(), true, func(d Difference) { t.Errorf("it finds %+v", d) })
	if _, away := errors.AsType[*pin.AwayError](err); away || !errors.Is(err, errBroken) {
		t.Errorf("a check ends with %v", err)
	}
	calls := 0
	err = f.engine.Claims(t.Context(), func(Claim) error { calls++; return errBroken })
	if !errors.Is(err, errBroken) || calls != 1 {
		t.Errorf("claims are read %d times, and end with %v", calls, err)
	}
}

// If nobody does what is asked, an operator learns why, and a user that it will go on.
func TestWhyNobodyAnswers(t *testing.T) {
	f := newFront(t, 2, nil)
	f.c.Put(clustertest.Pin{CID: "no CID", Min: 1, Max: 1})
	_, err := f.engine.Check(t.Context(), false, func(Difference) {})
	away, is := errors.AsType[*pin.AwayError](err)
	if !is || strings.Contains(away.Reason, "no CID") || !strings.Contains(err.Error(), `"no CID"`) {
		t.Errorf("a check ends with %v", err)
	}
}

// An answer about another CID, about nothing, or of another peer is none.
func TestAnswerAboutSomethingElse(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	r, j := f.pinned(alice, 1, nil)
	f.pinned(alice, 2, nil)
	p, c := f.engine.peers[0], j.DAG.CID()
	is := *f.c.Get(f.cid(1))
	other := is
	other.CID = f.cid(2)
	status := func(cid, peer string) any {
		return map[string]any{"cid": cid, "peer_map": map[string]any{peer: map[string]any{"status": "pinned"}}, "metadata": is.Metadata}
	}
	answers := func(v any) {
		f.c.Peer(0).Answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch {
			case r.URL.Path == "/id":
				_ = json.NewEncoder(w).Encode(map[string]any{"id": f.c.Peer(0).ID, "peername": "s1"})
			case v == nil:
				w.WriteHeader(http.StatusNoContent)
			default:
				_ = json.NewEncoder(w).Encode(v)
			}
		})
	}
	for name, v := range map[string]any{
		"nothing": nil, "an empty object": map[string]any{}, "another CID": other, "no CID": map[string]any{"cid": "x"},
	} {
		answers(v)
		if _, err := p.allocation(t.Context(), c); err == nil {
			t.Errorf("%s is a pin of the pinset", name)
		}
		if _, err := p.post(t.Context(), c, nil); err == nil {
			t.Errorf("%s is the answer to a pin", name)
		}
		if one := f.engine.askOne(t.Context(), p, f.c.Peer(0).ID, c); one.err == nil {
			t.Errorf("%s is a copy that is %q", name, one.status)
		}
	}
	for name, v := range map[string]any{
		"of another CID": status(f.cid(2), f.c.Peer(0).ID), "of another peer": status(f.cid(1), "12D3KooWother"),
	} {
		answers(v)
		if one := f.engine.askOne(t.Context(), p, f.c.Peer(0).ID, c); one.err == nil {
			t.Errorf("the status %s is a copy that is %q", name, one.status)
		}
	}
	// In particular, nothing is let go of by that.
	answers(map[string]any{})
	_, released, err := f.store.Remove(t.Context(), r.Account, r.ID)
	if err != nil || len(released) != 1 {
		t.Fatal(released, err)
	}
	if err := f.engine.Drop(t.Context(), released[0], j.DAG); err == nil {
		t.Error("it is let go of, and the pinset has it")
	}
	f.c.Peer(0).Answer(nil)
	eventually(t, "it answers", p.answers)
	if err := f.engine.Drop(t.Context(), released[0], j.DAG); err != nil || f.c.Get(f.cid(1)) != nil {
		t.Errorf("then it is not: %v", err)
	}
}

// A pin that the cluster cannot say anything about is told, and the others are mended.
func TestCheckGoesOn(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	for n := range 3 {
		f.pinned(alice, n, nil)
		f.engine.posts.forget(pin.DAGOf(f.dags[n].spec.Root)) // it is not recent
		f.c.Lose(f.cid(n))
	}
	ill := f.cid(1)
	real := f.c.Peer(0)
	real.Wrap(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if r.URL.Path != "/allocations/"+ill {
			next(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, `{"code":500,"message":"it cannot be decoded"}`)
	})
	got := strings.Join(f.differences(true), "; ")
	if !strings.Contains(got, "missing 0+") || !strings.Contains(got, "missing 2+") || !strings.Contains(got, "missing 1 ") || !strings.Contains(got, "cannot be decoded") {
		t.Errorf("it finds %q", got)
	}
}

// What others put into the pinset may leave no room for more in the URL of a pin. Then the name and
// metadata of requests stay out, and a peer that refuses a URL nevertheless is not away for that.
func TestURLIsTooLong(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	_, j := f.ask(alice, 1, func(s *pin.Spec) { s.Name = strings.Repeat("\U0001F4CC", 255) })
	put := func(n int) {
		f.c.Put(clustertest.Pin{CID: f.cid(1), Min: 1, Max: 1, Allocations: []string{f.c.Peer(0).ID}, Metadata: map[string]string{"theirs": strings.Repeat("x", n)}})
	}
	f.serve(1)
	longest := 0
	f.c.Peer(0).Wrap(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if longest = max(longest, len(r.URL.String())); len(r.URL.String()) > maxURL+1000 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
			_, _ = io.WriteString(w, "431 Request Header Fields Too Large")
			return
		}
		next(w, r)
	})
	put(maxURL + 2000)
	wait, _ := f.begin(j)
	if _, err := wait(); err == nil || !strings.Contains(err.Error(), "431") {
		t.Errorf("it ends with %v", err)
	}
	if err := f.engine.Reachable(); err != nil {
		t.Errorf("for the others the cluster is away: %v", err)
	}
	put(maxURL - 100)
	wait, _ = f.begin(j)
	if _, err := wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if is := f.c.Get(f.cid(1)); is.Metadata["theirs"] == "" || is.Metadata[attemptPrefix+instance] == "" {
		t.Errorf("the pinset has %v", is.Metadata)
	}
}

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newSizes is a node that answers pin/ls of some CIDs by ls. asked has how many CIDs each call names.
func newSizes(t *testing.T, ls func(cids []string) (status int, body string)) (n *nodeRPC, asked func() []int) {
	var mu sync.Mutex
	var all []int
	n = newNodeRPC("http://node", &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		cids := r.URL.Query()["arg"]
		mu.Lock()
		all = append(all, len(cids))
		mu.Unlock()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		status, body := ls(cids)
		return &http.Response{Status: fmt.Sprint(status), StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}, 5*time.Second)
	n.ctx, n.work, n.holdfast = t.Context(), new(sync.WaitGroup), true
	return n, func() []int { mu.Lock(); defer mu.Unlock(); return all }
}

// sizesOf asks for the sizes of n DAGs at the same time. It counts those that are known, and the errors.
func sizesOf(t *testing.T, of *nodeRPC, n int) (known, failed int64) {
	var good, bad atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c := dagtest.Raw(fmt.Sprintf("block %d", i)).Cid()
			totals, known, err := of.totals(t.Context(), c)
			switch {
			case err != nil:
				bad.Add(1)
			case known && totals == (pin.Totals{Blocks: 1, Bytes: uint64(len(c.String()))}):
				good.Add(1)
			case known:
				t.Errorf("%s has %+v", c, totals)
			}
		})
	}
	all.Wait()
	of.work.Wait()
	return good.Load(), bad.Load()
}

func sizeLines(cids []string) (body string) {
	for _, c := range cids {
		line, _ := json.Marshal(listed{Cid: c, Type: "recursive", Blocks: 1, Bytes: uint64(len(c))})
		body += string(line) + "\n"
	}
	return body
}

// Sizes of many DAGs take few calls.
func TestSizesGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, asked := newSizes(t, func(cids []string) (int, string) { return http.StatusOK, sizeLines(cids) })
		const n = 500
		if known, failed := sizesOf(t, node, n); known != n || failed != 0 {
			t.Errorf("%d of %d are known, and %d fail", known, n, failed)
		}
		if calls, most := asked(), 1+maxLookCalls+n/maxLook; len(calls) > most {
			t.Errorf("they take calls about %v", calls)
		}
	})
}

// A DAG that a node does not have, or says nothing about, leaves no other one without its size.
func TestSizesWithoutOne(t *testing.T) {
	ill := dagtest.Raw("block 7").Cid()
	without := func(cids []string) (rest []string, cut bool) {
		for _, text := range cids {
			if c, err := cid.Decode(text); err == nil && c.Equals(ill) {
				return rest, true
			}
			rest = append(rest, text)
		}
		return rest, false
	}
	for name, ls := range map[string]func(cids []string) (int, string){
		"refused": func(cids []string) (int, string) { // as a Holdfast does it
			if _, cut := without(cids); cut {
				return http.StatusInternalServerError, `{"Message":"path '` + ill.String() + `' is not pinned"}`
			}
			return http.StatusOK, sizeLines(cids)
		},
		"cut": func(cids []string) (int, string) { // as a Kubo does it, which has begun its answer
			rest, _ := without(cids)
			return http.StatusOK, sizeLines(rest)
		},
		"of another": func(cids []string) (int, string) {
			rest, cut := without(cids)
			if cut {
				rest = append(rest, dagtest.Raw("nobody asked").Cid().String())
			}
			return http.StatusOK, sizeLines(rest)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node, _ := newSizes(t, ls)
				const n = 100
				if known, failed := sizesOf(t, node, n); known != n-1 || failed > 1 {
					t.Errorf("%d of %d are known, and %d fail", known, n, failed)
				}
			})
		})
	}
}

// Those who wait for a node that hangs wait for one call, and not for each of those before theirs.
func TestSizesAtNodeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, _ := newSizes(t, nil)
		node.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, errors.New("it hangs")
		})
		began := time.Now()
		if known, failed := sizesOf(t, node, 1000); known != 0 || failed != 1000 {
			t.Errorf("%d are known, and %d fail", known, failed)
		}
		if took := time.Since(began); took > 2*node.limit {
			t.Errorf("they wait for %s", took)
		}
	})
}

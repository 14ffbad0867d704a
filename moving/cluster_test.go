package moving

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a cluster lists, as version 1.1.6 writes it, and two lines of older ones.
const allocations = `{"replication_factor_min":-1,"replication_factor_max":-1,"name":"one","mode":"recursive","shard_size":0,"user_allocations":null,"expire_at":"0001-01-01T00:00:00Z","metadata":{"a":"b"},"pin_update":null,"origins":["/ip4/9.9.9.1/tcp/1/p2p/` + peerID + `"],"cid":"CID1","type":"pin","allocations":[],"max_depth":-1,"reference":null,"timestamp":"2026-01-02T03:04:05Z"}
{"name":"","mode":"direct","expire_at":"0001-01-01T00:00:00Z","metadata":null,"origins":[],"cid":"CID2","type":"pin","allocations":["` + peerID + `"],"max_depth":0}
{"name":"dir","mode":"direct","cid":"` + dirCID + `","type":"pin","max_depth":0}
{"name":"old","cid":{"/":"CID3"},"type":2,"metadata":null,"expire_at":"1970-01-01T00:00:00Z"}
{"name":"gone","cid":"CID4","type":"pin","expire_at":"2025-12-31T23:59:59Z","max_depth":-1}
{"name":"going","cid":"CID5","type":"pin","expire_at":"2026-12-31T23:59:59Z","max_depth":-1}
{"name":"sharded","cid":"CID6","type":"meta-pin","max_depth":0}
{"name":"shallow","cid":"CID7","type":"pin","max_depth":2}
`

func realCIDs(s string) string {
	for i := range 10 {
		s = strings.ReplaceAll(s, fmt.Sprintf("CID%d", i), cidOf(i))
	}
	return s
}

func newCluster(t *testing.T, list func(http.ResponseWriter, *http.Request) bool) *Cluster {
	t.Helper()
	c, err := NewCluster(Server{URL: "http://127.0.0.1:9094/", Transport: direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /peers":
			fmt.Fprintln(w, `{"id":"`+peerID+`","addresses":[],"error":"","ipfs":{"id":"x","addresses":["/ip4/9.9.9.9/tcp/4001/p2p/`+peerID+`"]}}`)
			fmt.Fprintln(w, `{"id":"12D3other","error":"away","ipfs":{"addresses":null}}`)
		case "GET /allocations":
			list(w, r)
		default:
			http.NotFound(w, r)
		}
	})}})
	if err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	return c
}

func TestClusterPins(t *testing.T) {
	got, err := all(t, newCluster(t, body(realCIDs(allocations))))
	if err != nil || len(got) != 8 {
		t.Fatal(got, err)
	}
	for i, want := range []string{"", "", directOnly, "", "expired", "", "shards", directOnly} {
		if left := got[i].LeftOut; (left == "") != (want == "") || !strings.Contains(left, want) {
			t.Errorf("%s is left out %q, want %q", got[i].Name, left, want)
		}
	}
	if p := got[0]; p.Name != "one" || p.Meta["a"] != "b" || p.CID != cidOf(1) || len(p.Origins) != 2 || got[3].CID != cidOf(3) {
		t.Errorf("read %v", p)
	}
	if len(got[1].Origins) != 1 || got[5].Note == "" || got[0].Note+got[3].Note != "" {
		t.Errorf("read %v", got)
	}
}

func TestClusterFaults(t *testing.T) {
	for name, c := range map[string]struct {
		list func(http.ResponseWriter, *http.Request) bool
		err  string
	}{
		"none":    {status(204), ""},
		"refused": {status(401), "the token is refused"},
		"cut":     {cut(realCIDs(allocations)[:300]), "the list ends early"},
		"no JSON": {body("<html>\n"), "cannot be read"},
		"no CID":  {body("{}\n"), "has no CID"},
		"error": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"code":400,"message":"invalid filter value"}`)
			return true
		}, "invalid filter value"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := all(t, newCluster(t, c.list))
				if c.err != "" {
					wantErr(t, err, c.err)
				} else if err != nil || len(got) > 0 {
					t.Errorf("%v, %v", got, err)
				}
			})
		})
	}
}

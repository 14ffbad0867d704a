package psa

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// The forms in which clients write lists and maps mean what they say, alone and with the
// plain ones.
func TestQueryInBrackets(t *testing.T) {
	rawText := cidOf(cid.Raw, 0x12, 32)
	dag, raw := pin.DAGOf(cid.MustParse(cidV0)), pin.DAGOf(cid.MustParse(rawText))
	for _, tt := range []struct {
		query string
		want  pin.Query
	}{
		{"cid[]=" + cidV0, pin.Query{DAGs: []pin.DAG{dag}}},
		{"cid%5B%5D=" + cidV0 + "&cid%5B%5D=" + rawText, pin.Query{DAGs: []pin.DAG{dag, raw}}},
		{"cid[0]=" + cidV0 + "&cid%5B1%5D=" + rawText, pin.Query{DAGs: []pin.DAG{dag, raw}}},
		{"cid[]=" + rawText + "&cid=" + cidV0, pin.Query{DAGs: []pin.DAG{dag, raw}}},
		{"cid[]=" + cidV0 + "," + rawText, pin.Query{DAGs: []pin.DAG{dag, raw}}},
		{"status[]=failed", pin.Query{Statuses: []pin.Status{pin.Failed}}},
		{"status%5B0%5D=queued&status%5B1%5D=pinning", pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning}}},
		{"status[]=failed&status=queued,pinning", pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning, pin.Failed}}},
		{"meta[app]=nope", pin.Query{Meta: map[string]string{"app": "nope"}}},
		{"meta%5Bapp%5D=a+b&meta%5Bis+it%5D=", pin.Query{Meta: map[string]string{"app": "a b", "is it": ""}}},
		{"meta[a[b]]=c", pin.Query{Meta: map[string]string{"a[b]": "c"}}},
		{"meta[0]=x", pin.Query{Meta: map[string]string{"0": "x"}}},
		{"meta[app]=b&meta=" + url.QueryEscape(`{"k":"v"}`), pin.Query{Meta: map[string]string{"app": "b", "k": "v"}}},
		{"meta[app]=b&meta=" + url.QueryEscape(`map[k:v]`), pin.Query{Meta: map[string]string{"app": "b"}, PrintedMeta: "k:v"}},
		{"meta[a]=b&cid[]=" + cidV0 + "&status[]=failed&name=n", pin.Query{
			Meta: map[string]string{"a": "b"}, DAGs: []pin.DAG{dag}, Statuses: []pin.Status{pin.Failed}, Name: "n",
		}},
	} {
		tt.want.Limit = defaultLimit
		got, err := ParseQuery(tt.query)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.query, got, err, tt.want)
		}
	}
}

// A parameter that looks like a filter is never dropped, or the answer would have everything.
func TestQueryRefusesLookAlikes(t *testing.T) {
	for query, msg := range map[string]string{
		"cids=" + cidV0:           `"cids" is no parameter of this list: use cid, with a comma`,
		"CID=" + cidV0:            `"CID" is no parameter of this list: use cid, `,
		"Cid[]=" + cidV0:          "use cid, ",
		"cid[a]=" + cidV0:         "use cid, ",
		"cid[0][1]=" + cidV0:      "use cid, ",
		"cid[0=" + cidV0:          "use cid, ",
		"cid.0=" + cidV0:          "use cid, ",
		"+cid=" + cidV0:           "use cid, ",
		"Status=failed":           `"Status" is no parameter of this list: use status, `,
		"STATUS=failed":           "use status, ",
		"statuses=failed":         "use status, ",
		"status[eq]=failed":       "use status, ",
		"Meta={}":                 `use meta={"KEY":"VALUE"} or meta[KEY]=VALUE`,
		"metadata={}":             "use meta=",
		"meta[]=x":                "use meta=",
		"meta[a][b]=x":            "use meta=",
		"meta[a=x":                "use meta=",
		"meta.app=x":              "use meta=",
		"Meta[app]=x":             "use meta=",
		"names=n":                 "use name",
		"Name=n":                  "use name",
		"name[]=n":                "use name",
		"name%5B0%5D=n":           "use name",
		"matches=exact":           "use match",
		"Match=exact":             "use match",
		"Before=2020":             "use before",
		"AFTER=2020":              "use after",
		"Limit=0":                 "use limit",
		"limit[]=5":               "use limit",
		"filter[status]=failed":   "only cid, status and meta may have brackets",
		"foo[]=1":                 "only cid, status and meta may have brackets",
		"[]=1":                    "only cid, status and meta may have brackets",
		"requestid=" + someID:     "GET /pins/REQUESTID",
		"foo=1&limit=3&Status=ok": `"Status"`,
	} {
		t.Run(fmt.Sprintf("%.40s", query), func(t *testing.T) {
			_, err := ParseQuery(query)
			wantInvalid(t, err, "query", msg)
		})
	}
	_, err := ParseQuery("cids[" + strings.Repeat("x", 100_000) + "]=1")
	wantInvalid(t, err, "query", "use cid")
}

func TestQueryRefusesInBrackets(t *testing.T) {
	for _, tt := range []struct{ query, field, msg string }{
		{"cid[]=nonsense", "cid", "not a CID"},
		{"cid[]=", "cid", "empty item"},
		{"status[0]=pined", "status", "must be one of"},
		{"status[]=", "status", "empty item"},
		{"meta[a]=b&meta[a]=b", "meta", "give it once"},
		{"meta[a]=b&meta%5Ba%5D=c", "meta", "give it once"},
		{"meta[a]=b&meta=" + url.QueryEscape(`{"a":"c"}`), "meta", `"a" is given twice`},
		{"meta[a]=b&meta=", "meta", "is empty"},
		{"meta[%ff]=b", "meta", "UTF-8"},
		{"meta[a]=%ff", "meta", "UTF-8"},
		{"meta[a]=" + strings.Repeat("b", maxMeta), "meta", "16385 bytes"},
	} {
		t.Run(fmt.Sprintf("%.40s", tt.query), func(t *testing.T) {
			_, err := ParseQuery(tt.query)
			wantInvalid(t, err, tt.field, tt.msg)
		})
	}
	var many []string
	for i := range 11 {
		many = append(many, fmt.Sprintf("cid[%d]=%s", i, cidOf(cid.Raw, 0x12, 20+i)))
	}
	_, err := ParseQuery(strings.Join(many, "&"))
	wantInvalid(t, err, "cid", "more than 10")
}

// A filter in brackets leaves out what does not match, through the whole API.
func TestListInBrackets(t *testing.T) {
	svc := &stub{}
	s := newServer(t, svc)
	for query, want := range map[string]pin.Query{
		"meta%5Bapp%5D=nope":       {Meta: map[string]string{"app": "nope"}, Limit: defaultLimit},
		"cid%5B%5D=" + cidV0:       {DAGs: []pin.DAG{pin.DAGOf(cid.MustParse(cidV0))}, Limit: defaultLimit},
		"status%5B0%5D=failed&_=1": {Statuses: []pin.Status{pin.Failed}, Limit: defaultLimit},
	} {
		if r := s.call("GET", "/pins?"+query, ""); r.StatusCode != 200 || !reflect.DeepEqual(svc.query, want) {
			t.Errorf("%s: %d, asked for %+v, want %+v", query, r.StatusCode, svc.query, want)
		}
	}
}

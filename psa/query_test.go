package psa

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func ms(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestQuery(t *testing.T) {
	dag := pin.DAGOf(cid.MustParse(cidV0))
	raw := pin.DAGOf(cid.MustParse(cidOf(cid.Raw, 0x12, 32)))
	rawText := cidOf(cid.Raw, 0x12, 32)
	esc := url.QueryEscape
	for _, tt := range []struct {
		query string
		want  pin.Query // Limit 0 stands for the default
	}{
		{"", pin.Query{}},
		{"unknown=1&unknown=2&foo=1&_=1722&utm_source=&utm.term=x&statute=1&cidx=2&named=3", pin.Query{}},
		{"limit=1", pin.Query{Limit: 1}},
		{"limit=1000", pin.Query{Limit: 1000}},
		{"status=queued", pin.Query{Statuses: []pin.Status{pin.Queued}}},
		{"status=queued,pinning", pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning}}},
		{"status=queued%2Cpinning", pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning}}},
		{"status=queued&status=pinning", pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning}}},
		{"status=queued,pinning&status=failed,queued", pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning, pin.Failed}}},
		{"cid=" + cidV0, pin.Query{DAGs: []pin.DAG{dag}}},
		{"cid=" + cidV0 + "," + cidV1, pin.Query{DAGs: []pin.DAG{dag}}},
		{"cid=" + cidV1 + "&cid=" + rawText + "," + cidV0, pin.Query{DAGs: []pin.DAG{dag, raw}}},
		{"cid=" + strings.Repeat(cidV1+",", 50) + cidV1, pin.Query{DAGs: []pin.DAG{dag}}},
		{"cid=" + gitCID, pin.Query{DAGs: []pin.DAG{pin.DAGOf(cid.MustParse(gitCID))}}},
		{"name=a+b%20c%26", pin.Query{Name: "a b c&"}},
		{"name=a,b", pin.Query{Name: "a,b"}},
		{"name=", pin.Query{}},
		{"name=&match=ipartial", pin.Query{Match: pin.IPartial}},
		{"name=" + strings.Repeat(esc("😀"), 255), pin.Query{Name: strings.Repeat("😀", 255)}},
		{"match=exact", pin.Query{Match: pin.Exact}},
		{"match=iexact", pin.Query{Match: pin.IExact}},
		{"match=partial", pin.Query{Match: pin.Partial}},
		{"match=ipartial", pin.Query{Match: pin.IPartial}},
		{"meta=" + esc(`{"a":"b","c":""}`), pin.Query{Meta: map[string]string{"a": "b", "c": ""}}},
		{"meta=" + esc(`{}`), pin.Query{}},
		{"meta=" + esc(`map[]`), pin.Query{}},
		{"meta=" + esc(`map[a:b c:]`), pin.Query{PrintedMeta: "a:b c:"}},
		{"meta=" + esc(fmt.Sprint(map[string]string{"é": "[x]", "Z": "{\"", "": "0"})), pin.Query{PrintedMeta: ":0 Z:{\" é:[x]"}},
		{"meta=" + esc(fmt.Sprint(map[string]string{"a": "b  c", "d": "https://example.org"})), pin.Query{PrintedMeta: "a:b  c d:https://example.org"}},
		{"meta=map[a:" + strings.Repeat("b", pin.MaxPrintedMeta-2) + "]", pin.Query{PrintedMeta: "a:" + strings.Repeat("b", pin.MaxPrintedMeta-2)}},

		// Times come out in whole milliseconds that select the same requests.
		{"before=2020-07-27T17:32:28Z", pin.Query{Before: ms("2020-07-27T17:32:28Z")}},
		{"before=2020-07-27T17:32:28.276Z", pin.Query{Before: ms("2020-07-27T17:32:28.276Z")}},
		{"before=2020-07-27T17:32:28.2Z", pin.Query{Before: ms("2020-07-27T17:32:28.2Z")}},
		{"before=2020-07-27T17:32:28.276000Z", pin.Query{Before: ms("2020-07-27T17:32:28.276Z")}},
		{"before=2020-07-27T17:32:28.276000000000Z", pin.Query{Before: ms("2020-07-27T17:32:28.276Z")}},
		{"before=2020-07-27T17:32:28.2760001Z", pin.Query{Before: ms("2020-07-27T17:32:28.277Z")}},
		{"before=2020-07-27T17:32:28.276000000001Z", pin.Query{Before: ms("2020-07-27T17:32:28.277Z")}},
		{"before=2020-07-27T17:32:28.999999999Z", pin.Query{Before: ms("2020-07-27T17:32:29Z")}},
		{"after=2020-07-27T17:32:28.276Z", pin.Query{After: ms("2020-07-27T17:32:28.276Z")}},
		{"after=2020-07-27T17:32:28.2769999Z", pin.Query{After: ms("2020-07-27T17:32:28.276Z")}},
		{"after=2020-07-27T17:32:28.276000000001Z", pin.Query{After: ms("2020-07-27T17:32:28.276Z")}},
		{"after=2020-07-27T19:32:28.276%2B02:00", pin.Query{After: ms("2020-07-27T17:32:28.276Z")}},
		{"after=2020-07-27T19:32:28.276+02:00", pin.Query{After: ms("2020-07-27T17:32:28.276Z")}},
		{"before=2020-07-27T12:32:28.2765-05:00", pin.Query{Before: ms("2020-07-27T17:32:28.277Z")}},
		{"after=2020-07-27t17:32:28.276z", pin.Query{After: ms("2020-07-27T17:32:28.276Z")}},
		{"before=0001-01-01T00:00:00Z", pin.Query{Before: ms("1970-01-01T00:00:00Z")}},
		{"after=0000-01-01T00:00:00Z", pin.Query{After: ms("1970-01-01T00:00:00Z")}},
		{"before=1969-12-31T23:59:59.9Z", pin.Query{Before: ms("1970-01-01T00:00:00Z")}},
		{"before=9999-12-31T23:59:59.9999Z", pin.Query{Before: ms("9999-12-31T23:59:59.999Z")}},
	} {
		if tt.want.Limit == 0 {
			tt.want.Limit = 10
		}
		got, err := ParseQuery(tt.query)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%.120s: got %+v, %v; want %+v", tt.query, got, err, tt.want)
		}
	}
}

func TestQueryRefuses(t *testing.T) {
	esc := url.QueryEscape
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, cidOf(cid.Raw, 0x12, 20+i))
	}
	tests := []struct{ query, field, msg string }{
		{"limit=0", "limit", "from 1 to 1000"},
		{"limit=1001", "limit", "from 1 to 1000"},
		{"limit=-1", "limit", "from 1 to 1000"},
		{"limit=1.5", "limit", "whole number"},
		{"limit=1e2", "limit", "whole number"},
		{"limit=0x10", "limit", "whole number"},
		{"limit=%2B5", "limit", "whole number"},
		{"limit=4294967297", "limit", "whole number"},
		{"limit=99999999999999999999999", "limit", "whole number"},
		{"limit=ten", "limit", "whole number"},
		{"status=pined", "status", "queued, pinning, pinned, failed"},
		{"status=Pinned", "status", "queued, pinning, pinned, failed"},
		{"status=queued,", "status", "empty item"},
		{"status=", "status", "empty item"},
		{"status=queued&status=", "status", "empty item"},
		{"status=queued, pinning", "status", "must be one of"},
		{"cid=", "cid", "empty item"},
		{"cid=" + cidV0 + ",,", "cid", "empty item"},
		{"cid=nonsense", "cid", "not a CID"},
		{"cid=" + cidV1 + "%0A", "cid", "line break"},
		{"cid=" + cidV1[:9] + "%0D%0A" + cidV1[9:], "cid", "line break"},
		{"cid=" + cidV0 + "," + cidV1 + "%0D", "cid", "line break"},
		{"cid=z" + strings.Repeat("2", 100_000), "cid", "too long"},
		{"cid=" + strings.Join(eleven, ","), "cid", "more than 10"},
		{"cid=" + strings.Join(eleven[:6], ",") + "&cid=" + strings.Join(eleven[6:], ","), "cid", "more than 10"},
		{"name=" + strings.Repeat("x", 256), "name", "256 characters"},
		{"name=%ff", "name", "UTF-8"},
		{"match=fuzzy", "match", "exact, iexact, partial, ipartial"},
		{"match=Exact", "match", "exact, iexact, partial, ipartial"},
		{"before=yesterday", "before", "RFC 3339"},
		{"before=1595871148", "before", "RFC 3339"},
		{"before=2020-07-27", "before", "RFC 3339"},
		{"before=2020-07-27T17:32:28", "before", "RFC 3339"},
		{"before=2020-02-30T17:32:28Z", "before", "RFC 3339"},
		{"before=2020-07-27T17:32:28.Z", "before", "RFC 3339"},
		{"before=2020-07-27T17:32:28,5Z", "before", "RFC 3339"},
		{"before=2020-07-27T24:00:00Z", "before", "RFC 3339"},
		{"before=2020-07-27T17:32:28.5Zjunk", "before", "RFC 3339"},
		{"before=2020-07-27T7:32:28Z", "before", "RFC 3339"},
		{"after=2020-7-27T17:32:28Z", "after", "RFC 3339"},
		{"after=2020-07-27T17:32:28%2B25:00", "after", "RFC 3339"},
		{"meta=x", "meta", "not valid JSON"},
		{"meta=null", "meta", "must be a JSON object"},
		{"meta=" + esc(`["a"]`), "meta", "must be a JSON object"},
		{"meta=" + esc(`{"a":1}`), "meta", "must be a string"},
		{"meta=" + esc(`{"a":"b"}{}`), "meta", "not valid JSON"},
		{"meta=" + esc(`{"a":"b","a":"c"}`), "meta", "twice"},
		{"meta=" + esc(`{"a":"\ud800"}`), "meta", "surrogate"},
		{"meta=" + esc("{\"a\":\"\xff\"}"), "meta", "UTF-8"},
		{"meta=" + esc(`{"a":"`+strings.Repeat("b", 16<<10)+`"}`), "meta", "16385 bytes"},
		{"meta=" + esc("map[a:b"), "meta", "as Go prints it"},
		{"meta=" + esc("map[a]"), "meta", "as Go prints it"},
		{"meta=" + esc("map[a:\xff]"), "meta", "UTF-8"},
		{"meta=" + esc("map[a:"+strings.Repeat("b", pin.MaxPrintedMeta-1)+"]"), "meta", "2049 bytes"},
		{"name=%zz", "query", "cannot be read"},
		{"name=a;b", "query", "cannot be read"},
		{"unknown=%", "query", "cannot be read"},
	}
	for _, p := range []string{"limit", "before", "after", "match", "meta"} {
		tests = append(tests, struct{ query, field, msg string }{p + "=", p, "is empty"})
	}
	for _, p := range []string{"limit=5", "before=2020-07-27T17:32:28Z", "after=2020-07-27T17:32:28Z", "match=exact", "meta=%7B%7D", "name=a"} {
		field, _, _ := strings.Cut(p, "=")
		tests = append(tests, struct{ query, field, msg string }{p + "&" + p, field, "give it once"})
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.60s", tt.query), func(t *testing.T) {
			_, err := ParseQuery(tt.query)
			wantInvalid(t, err, tt.field, tt.msg)
		})
	}
}

// A query that is ten megabytes of one parameter costs no more than reading it.
func TestQueryOfManyItems(t *testing.T) {
	_, err := ParseQuery("status=" + strings.Repeat("pinned,", 1<<20) + "pinned")
	if err != nil {
		t.Error(err)
	}
}

// encodeQuery writes a query so that it reads back the same.
func encodeQuery(q pin.Query) string {
	v := url.Values{"limit": {fmt.Sprint(q.Limit)}}
	for _, s := range q.Statuses {
		v.Add("status", string(s))
	}
	for _, d := range q.DAGs {
		v.Add("cid", d.CID().String())
	}
	if q.Name != "" {
		v.Set("name", q.Name)
	}
	if q.Match != "" {
		v.Set("match", string(q.Match))
	}
	if !q.Before.IsZero() {
		v.Set("before", q.Before.Format(createdLayout))
	}
	if !q.After.IsZero() {
		v.Set("after", q.After.Format(createdLayout))
	}
	if q.Meta != nil {
		b, err := json.Marshal(q.Meta)
		if err != nil {
			panic(err)
		}
		v.Set("meta", string(b))
	}
	if q.PrintedMeta != "" {
		v.Set("meta", "map["+q.PrintedMeta+"]")
	}
	return v.Encode()
}

// FuzzQuery checks that an error names the field, and that a query without an error is within
// the limits and reads back the same.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "limit=1000&status=queued,pinning&status=failed&name=a&match=iexact",
		"cid=" + cidV0 + "," + cidV1 + "&before=2020-07-27T17:32:28.2765%2B02:00",
		"after=0000-01-01T00:00:00.0001Z&before=9999-12-31T23:59:59.99999-23:59",
		"meta=%7B%22app_id%22%3A%22UUID%22%7D&unknown=1&unknown=2", "name=%f0%9f%98%80&name=", "a=%zz",
		"meta=map%5Ba:b+c:d%5D", "meta[a]=b&meta[c[d]]=&cid[0]=" + cidV0 + "&status[]=failed", "cids=x", "filter[status]=failed",
		"before=2020-07-27T17:32:28.000000000000001Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ParseQuery(raw)
		if err != nil {
			var bad *pin.InvalidError
			if !errors.As(err, &bad) || bad.Field == "" || bad.Msg == "" {
				t.Fatalf("%q: error %T: %v", raw, err, err)
			}
			return
		}
		if q.Limit < 1 || q.Limit > 1000 || len(q.DAGs) > 10 || len(q.Statuses) > 4 || len([]rune(q.Name)) > 255 {
			t.Fatalf("%q: out of bounds: %+v", raw, q)
		}
		for _, at := range []time.Time{q.Before, q.After} {
			if at.Nanosecond()%1e6 != 0 || at.Location() != time.UTC {
				t.Fatalf("%q: time %v", raw, at)
			}
		}
		again, err := ParseQuery(encodeQuery(q))
		if err != nil || !reflect.DeepEqual(again, q) {
			t.Fatalf("%q: %+v read back as %+v, %v", raw, q, again, err)
		}
	})
}

package graph_test

import (
	"strings"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// The length of a value is known exactly, in the tree and in the value log, also where
// Badger's own guess is another.
func TestSizeOf(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	guessed := 0
	for _, key := range []string{"/k", "/" + strings.Repeat("k", 118), "/" + strings.Repeat("k", 119), "/" + strings.Repeat("k", 300)} {
		for _, size := range []int{0, 1, 127, 128, 1023, 1024, 1025, 16382, 16383, 16384, 16385, 1 << 20, 2<<20 - 1, 2 << 20, 2<<20 + 1} {
			roomtest.Set(t, s.Badger, []byte(key), make([]byte, size))
			must(t, s.KV.View(t.Context(), func(r *kv.Reader) error {
				item, err := reading.Find(r.Txn, []byte(key))
				must(t, err)
				if got := reading.SizeOf(item); got != size {
					t.Errorf("a value of %d bytes at a key of %d has %d", size, len(key), got)
				}
				if int(item.ValueSize()) != size {
					guessed++
				}
				return nil
			}))
			if n, err := s.Graph.Datastore().GetSize(t.Context(), datastore.RawKey(key)); err != nil || n != size {
				t.Errorf("a value of %d bytes at a key of %d has %d, %v", size, len(key), n, err)
			}
		}
	}
	if guessed == 0 {
		t.Error("Badger's guess is always right")
	}
}

// A query of the datastore is as go-datastore says.
func TestQuery(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	d := s.Graph.Datastore()
	const n = 3*holding.QueryPage + 7
	for i := range n {
		must(t, d.Put(t.Context(), datastore.NewKey("/q/a").ChildString(string(rune('a'+i%26))+strings.Repeat("x", i/26)), []byte{byte(i)}))
	}
	must(t, d.Put(t.Context(), datastore.NewKey("/qq/b"), nil))
	_, err := s.Requests.Add(t.Context(), roomtest.Account, pin.Spec{CID: roomtest.SomeBlocks(53, 1, 10)[0].Cid().String(), Root: roomtest.SomeBlocks(53, 1, 10)[0].Cid()})
	must(t, err)
	for name, c := range map[string]struct {
		q    query.Query
		want int
	}{
		"all":               {query.Query{}, n + 1},
		"a prefix":          {query.Query{Prefix: "/q"}, n},
		"keys":              {query.Query{Prefix: "q", KeysOnly: true}, n},
		"a filter":          {query.Query{Filters: []query.Filter{query.FilterKeyPrefix{Prefix: "/qq"}}}, 1},
		"a limit":           {query.Query{Limit: 600}, 600},
		"an offset":         {query.Query{Offset: n - 1}, 2},
		"backwards, by key": {query.Query{Orders: []query.Order{query.OrderByKeyDescending{}}, Limit: 3}, 3},
		"nothing":           {query.Query{Prefix: "/none"}, 0},
	} {
		res, err := d.Query(t.Context(), c.q)
		must(t, err)
		all, err := res.Rest()
		if err != nil || len(all) != c.want {
			t.Errorf("%s: %d entries, %v, want %d", name, len(all), err, c.want)
		}
		if name == "backwards, by key" && len(all) > 0 && all[0].Key != "/qq/b" {
			t.Errorf("%s: the first is %s", name, all[0].Key)
		}
	}
}

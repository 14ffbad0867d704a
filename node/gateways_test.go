package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// serveGateway serves blocks by HTTP, and lies about some; it gives the address that
// provider records have.
func serveGateway(t *testing.T, have []blocks.Block, lie func(cid.Cid) bool) (addr ma.Multiaddr, asked *atomic.Int64) {
	t.Helper()
	by := map[string]blocks.Block{}
	for _, b := range have {
		by[string(b.Cid().Hash())] = b
	}
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
		b, ok := by[string(c.Hash())]
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case !ok:
			http.NotFound(w, r)
		case lie(c):
			_, _ = w.Write([]byte("something else")) // the client sees that it is cut off
		default:
			_, _ = w.Write(b.RawData())
		}
	}))
	t.Cleanup(s.Close)
	host, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	return ma.StringCast("/ip4/" + host + "/tcp/" + port + "/http"), asked
}

// A DAG comes from a gateway alone, and a lie of it is never stored.
func TestFetchFromGateways(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(300, 200), 20)
	liar, lied := serveGateway(t, all, func(c cid.Cid) bool { return c.Type() == cid.Raw })
	good, asked := serveGateway(t, all, func(cid.Cid) bool { return false })
	for name, c := range map[string]struct {
		addrs []ma.Multiaddr
		wait  *atomic.Int64
	}{"good": {[]ma.Multiaddr{good}, asked}, "liar too": {[]ma.Multiaddr{liar, good}, lied}} {
		t.Run(name, func(t *testing.T) {
			store := walktest.NewStore(t)
			n := newTestNode(t, store, func(c *Config) { c.HTTPRetrieval = true })
			// What a router would give; routing is not what is tested.
			n.bitswap.exchange.Found(dagtest.Last(all), n.gateways.of(peer.AddrInfo{ID: "provider", Addrs: c.addrs}))
			job := newJob(dagtest.Last(all))
			done, result := start(t.Context(), n, job)
			eventually(t, "the root is wanted", func() bool { return n.bitswap.exchange.Stats().Wants > 0 })
			n.bitswap.exchange.Found(dagtest.Last(all), n.gateways.of(peer.AddrInfo{ID: "provider", Addrs: c.addrs}))
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
			store.CheckWhole(1, all)
			if c.wait.Load() == 0 {
				t.Error("it was not asked")
			}
			count, size := dagtest.Distinct(all)
			by := job.Progress.Delivered()
			var blocks, bytes uint64
			for _, s := range by.Sources {
				if !strings.HasPrefix(s.Name, "http://127.0.0.1:") {
					t.Errorf("it was delivered by %q", s.Name)
				}
				blocks, bytes = blocks+s.Blocks, bytes+s.Bytes
			}
			if blocks != uint64(count) || bytes != uint64(size) || by.Others != 0 {
				t.Errorf("it was delivered by %+v, want %d blocks and %d bytes", by, count, size)
			}
		})
	}
}

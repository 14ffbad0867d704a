package e2e

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestOriginOfTheSameHost: at default settings, what a Kubo on the same machine has is
// pinned from its private addresses, as the request came from there. A request by a proxy
// may be anybody's: then nothing private is dialled, and the pin says so.
func TestOriginOfTheSameHost(t *testing.T) {
	t.Parallel()
	ctx := within(t, 120*patience)
	kubo := startKubo(t, "kubo on the same host")
	s := serve(t, newData(t))
	direct := login(t, s)
	add := func(n uint64) string {
		t.Helper()
		return must(kubo.AddFile(ctx, bytes.NewReader(rig.RandomBytes(n, 100_000)), 16<<10))(t)
	}
	pinned(t, direct, rig.Pin{CID: add(701), Origins: kubo.Addrs}, 30*patience)
	check(t, kubo.Disconnect(ctx, "/p2p/"+s.PeerID))

	forwarded := byProxy(t, s, direct)
	waiting := must(forwarded.Add(ctx, rig.Pin{CID: add(702), Origins: kubo.Addrs}))(t)
	check(t, rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		now, err := forwarded.Get(ctx, waiting.RequestID)
		if err == nil && now.Status == "pinned" {
			err = errors.New("it is pinned, though the request came by a proxy")
		}
		return strings.Contains(now.Info["status_details"], "node.allow_private_addresses"), err
	}))
	connect(t, kubo, s) // which is welcome from anywhere
	must(direct.WaitStatus(ctx, waiting.RequestID, "pinned", 20*time.Millisecond))(t)
}

// byProxy is a client whose requests come to the server by a proxy that it does not trust.
func byProxy(t *testing.T, s *rig.Server, c *rig.Client) *rig.Client {
	t.Helper()
	target := must(url.Parse(s.HTTP))(t)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.SetXForwarded()
	}})
	t.Cleanup(proxy.Close)
	return rig.NewClient(proxy.URL, c.Token)
}

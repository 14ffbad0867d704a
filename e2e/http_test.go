package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestHTTPProvider pins from a Kubo whose Bitswap is off. A delegated router names its
// gateway and no other address, so every block comes over HTTP.
func TestHTTPProvider(t *testing.T) {
	t.Parallel()
	ctx := within(t, 120*patience)
	holder := must(suite.StartKubo(t.Context(), "HTTP-only holder", rig.KuboOptions{Config: map[string]any{
		"Addresses.Gateway":       []string{"/ip4/127.0.0.1/tcp/0"},
		"Gateway.NoFetch":         true,
		"Bitswap.Libp2pEnabled":   false,
		"Bitswap.ServerEnabled":   false,
		"HTTPRetrieval.Enabled":   true, // Kubo insists on one of them
		"HTTPRetrieval.Allowlist": []string{"nobody.invalid"},
	}}))(t)
	ends(t, holder.Process)
	var at []byte // Kubo writes it some time after its API answers
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		var err error
		if at, err = os.ReadFile(filepath.Join(holder.Repo, "gateway")); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return len(at) > 0, err
	}))
	gateway := must(url.Parse(strings.TrimSpace(string(at))))(t)
	cid := must(holder.AddFile(ctx, rig.Random(1001, 4<<20), 16<<10))(t)

	var asked atomic.Int32
	router := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !strings.HasPrefix(r.URL.Path, "/routing/v1/providers/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"Providers": []any{map[string]any{
			"Schema":    "peer",
			"ID":        holder.ID,
			"Addrs":     []string{"/ip4/127.0.0.1/tcp/" + gateway.Port() + "/http"},
			"Protocols": []string{"transport-ipfs-gateway-http"},
		}}})
	}))
	t.Cleanup(router.Close)

	serveWith := func(retrieval string) (*rig.Server, *rig.Client) {
		d := allowPrivate(newData(t))
		d.Env["HOLDFAST_NODE_ROUTING"] = "auto"
		d.Env["HOLDFAST_NODE_DELEGATED_ROUTERS"] = router.URL
		d.Env["HOLDFAST_NODE_HTTP_RETRIEVAL"] = retrieval
		s := serve(t, d)
		return s, login(t, s)
	}
	_, without := serveWith("false")
	waiting := must(without.Add(ctx, rig.Pin{CID: cid}))(t)

	s, c := serveWith("true")
	pinned(t, c, rig.Pin{CID: cid}, 60*patience)
	if asked.Load() == 0 {
		t.Error("the router was not asked")
	}
	if slices.Contains(must(holder.Peers(ctx))(t), s.PeerID) {
		t.Error("Holdfast is connected to the holder")
	}
	reader := startKubo(t, "reader")
	check(t, reader.Connect(ctx, s.Addrs[0]))
	check(t, reader.Fetch(ctx, cid))
	if got, want := carHash(t, ctx, reader, cid), carHash(t, ctx, holder, cid); got != want {
		t.Errorf("the DAG has the hash %s, want %s", got, want)
	}
	now := must(without.Get(ctx, waiting.RequestID))(t)
	if now.Status == "pinned" || number(t, now.Info, "blocks") > 0 {
		t.Errorf("with retrieval over HTTP off the pin is %s: %v", now.Status, now.Info)
	}
}

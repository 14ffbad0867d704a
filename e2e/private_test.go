package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestPrivateNetwork: the source is a Kubo with a swarm.key. A Holdfast with the same file
// pins from it; a Holdfast without it cannot connect.
func TestPrivateNetwork(t *testing.T) {
	t.Parallel()
	key := "/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("4e", 32) + "\n"
	k := must(suite.StartKubo(t.Context(), "private", rig.KuboOptions{SwarmKey: key, Env: []string{"LIBP2P_FORCE_PNET=1"}}))(t)
	ends(t, k.Process)
	cid := must(k.AddFile(t.Context(), rig.Random(901, 4<<20), 64<<10))(t)

	outsider := serve(t, allowPrivate(newData(t)))
	c := login(t, outsider)
	waiting := must(c.Add(t.Context(), rig.Pin{CID: cid, Origins: k.Addrs}))(t)

	d := allowPrivate(newData(t))
	check(t, os.WriteFile(filepath.Join(d.Dir, "swarm.key"), []byte(key), 0o600))
	d.Env["LIBP2P_FORCE_PNET"] = "1"
	member := serve(t, d)
	for _, a := range member.Addrs {
		if strings.Contains(a, "/quic") {
			t.Errorf("a member of a private network listens on %s", a)
		}
	}
	pinned(t, login(t, member), rig.Pin{CID: cid, Origins: k.Addrs}, 60*patience)

	now := must(c.Get(t.Context(), waiting.RequestID))(t)
	if now.Status == "pinned" || number(t, now.Info, "blocks") > 0 {
		t.Errorf("without the key the pin is %s: %v", now.Status, now.Info)
	}
	check(t, outsider.Stop())
	forced := newData(t)
	forced.Env["LIBP2P_FORCE_PNET"] = "1"
	if _, err := forced.Run(within(t, 60*patience), nil, "serve"); err == nil || !strings.Contains(err.Error(), "node.swarm_key") {
		t.Errorf("without the key that is forced, serve ends with %v", err)
	}
}

// TestMetrics reads the metrics of a server at the address in its run.json.
func TestMetrics(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, allowPrivate(newData(t)))
	cid := must(source.AddFile(t.Context(), rig.Random(902, 1<<20), 64<<10))(t)
	pinned(t, login(t, s), rig.Pin{CID: cid, Origins: source.Addrs}, 60*patience)
	req := must(http.NewRequestWithContext(within(t, 30*time.Second), http.MethodGet, s.Metrics+"/metrics", nil))(t)
	res := must(http.DefaultClient.Do(req))(t)
	defer res.Body.Close()
	var text strings.Builder
	check(t, res.Write(&text))
	for _, want := range []string{
		"holdfast_pins{status=\"pinned\"} 1\n", "holdfast_blocks_received_total 17\n", "holdfast_ready 1\n",
		"libp2p_swarm_connections_opened_total{", "badger_puts_total ", "go_goroutines ",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not told", want)
		}
	}
}

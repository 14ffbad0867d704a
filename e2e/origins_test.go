package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// A Kubo names each of its transports on each of its interfaces, which are more addresses
// than the PSA has room for. What it has is pinned, with and without --background.
func TestKuboOfManyAddresses(t *testing.T) {
	ctx := within(t, 60*patience)
	var listen []string
	for i := range 6 {
		ip := fmt.Sprintf("/ip4/127.0.0.%d", i+1)
		listen = append(listen, ip+"/tcp/0", ip+"/udp/0/quic-v1", ip+"/udp/0/quic-v1/webtransport", ip+"/udp/0/webrtc-direct")
	}
	k := must(suite.StartKubo(ctx, "many addresses", rig.KuboOptions{Config: map[string]any{"Addresses.Swarm": listen}}))(t)
	t.Cleanup(k.Kill)
	if len(k.Addrs) <= 20 {
		t.Fatalf("Kubo has only %d addresses", len(k.Addrs))
	}
	s := serve(t, newData(t))
	addService(t, k, s, "holdfast")
	one := must(k.AddFile(ctx, rig.Random(703, 100_000), 16<<10))(t)
	two := must(k.AddFile(ctx, strings.NewReader("two"), 1<<18))(t)
	must(k.Run(ctx, nil, "pin", "remote", "add", "--service=holdfast", "--name=one", one))(t)
	must(k.Run(ctx, nil, "pin", "remote", "add", "--service=holdfast", "--name=two", "--background", two))(t)
	c := login(t, s)
	var list rig.PinResults
	check(t, c.Do(ctx, http.MethodGet, "/api/psa/pins?status=queued,pinning,pinned", nil, http.StatusOK, &list))
	if list.Count != 2 {
		t.Fatalf("%d pins, want 2", list.Count)
	}
	for _, p := range list.Results {
		if n := len(p.Pin.Origins); n != 20 {
			t.Errorf("%s has %d origins", p.Pin.Name, n)
		}
		if p.Pin.Name == "one" && p.Status != "pinned" {
			t.Errorf("%s is %s, though Kubo waited for it", p.Pin.Name, p.Status)
		}
		for _, o := range p.Pin.Origins {
			if !slices.Contains(k.Addrs, o) {
				t.Errorf("%s has the origin %s, which is none of Kubo's", p.Pin.Name, o)
			}
		}
	}
}

// Origins that cannot be read, before and behind one that can, are named and do no harm.
func TestOriginsThatCannotBeRead(t *testing.T) {
	source := sharedSource(t)
	c := login(t, serve(t, allowPrivate(newData(t))))
	const id = "/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	bad := []string{"/ip4/127.0.0.1/udp/1/quic-v9" + id, "/newnet/abc" + id, "", "/ip4/127.0.0.1/tcp/1"}
	cid := must(source.AddFile(t.Context(), strings.NewReader("beside origins that cannot be read"), 1<<18))(t)
	made := pinned(t, c, rig.Pin{CID: cid, Origins: slices.Concat(bad[:3], source.Addrs, bad[3:])}, 20*patience)
	for _, o := range source.Addrs {
		if !slices.Contains(made.Pin.Origins, o) {
			t.Errorf("origins %q have not %s", made.Pin.Origins, o)
		}
	}
	for _, part := range []string{"quic-v9", "newnet", `"": it is empty`, "/ip4/127.0.0.1/tcp/1: it does not end"} {
		if !strings.Contains(made.Info["origins_ignored"], part) {
			t.Errorf("info says %q, and not %q", made.Info["origins_ignored"], part)
		}
	}
	// A list that is not of texts is the client's mistake.
	for _, origins := range []string{"[1]", "[null]"} {
		body := strings.NewReader(fmt.Sprintf(`{"cid":%q,"origins":%s}`, cid, origins))
		wantStatus(t, c.Do(t.Context(), http.MethodPost, "/api/psa/pins", body, http.StatusAccepted, nil), 400, "BAD_REQUEST")
	}
}

// An account that pins one CID many times has one pin, and room for what else it may have.
func TestSameCIDManyTimes(t *testing.T) {
	const limit, times = 40, 45
	k, d := sharedSource(t), newData(t)
	s := serve(t, d)
	must(d.Run(t.Context(), nil, "user", "quota", email, "--max-pins", fmt.Sprint(limit)))(t)
	addService(t, k, s, "limited")
	t.Cleanup(func() {
		must(k.Run(context.WithoutCancel(t.Context()), nil, "pin", "remote", "service", "rm", "limited"))(t)
	})
	ctx := within(t, 120*patience)
	cid := must(k.AddFile(ctx, strings.NewReader("many times"), 1<<18))(t)
	for range times {
		must(k.Run(ctx, nil, "pin", "remote", "add", "--service=limited", "--name=site", "--background", cid))(t)
	}
	c := login(t, s)
	for n := 1; n < limit; n++ {
		must(c.Add(ctx, rig.Pin{CID: nobodyHas(uint64(21_000 + n))}))(t)
	}
	_, err := c.Add(ctx, rig.Pin{CID: nobodyHas(22_000)})
	if e := wantStatus(t, err, http.StatusConflict, "INSUFFICIENT_FUNDS"); !strings.Contains(e.Details, "it has 40 of 40") {
		t.Errorf("details %q", e.Details)
	}
	must(c.Add(ctx, rig.Pin{CID: cid}))(t)
}

package e2e

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// dhtServers is about as many servers as Kubo's own tests of its sweep use.
const dhtServers = 20

// startInDHT starts a Kubo that joins a DHT by its bootstrap node.
func startInDHT(t *testing.T, name string, d *rig.DHT) *rig.Kubo {
	t.Helper()
	k := must(suite.StartKubo(t.Context(), name, rig.InDHT(d.Bootstrap)))(t)
	ends(t, k.Process)
	return k
}

// TestPrivateDHT: Holdfast finds content of which it knows only the CID, and others find
// the content at Holdfast. The same works after a restart, when the node by which everybody
// joined is gone.
func TestPrivateDHT(t *testing.T) {
	t.Parallel()
	ctx := within(t, 180*patience)
	network := must(rig.StartDHT(ctx, dhtServers))(t)
	t.Cleanup(func() { network.Close() })
	d := allowPrivate(newData(t))
	d.Env["HOLDFAST_NODE_ROUTING"] = "auto"
	d.Env["HOLDFAST_NODE_BOOTSTRAP"] = network.Bootstrap
	s := serve(t, d)
	c := login(t, s)
	first, second, reader := startInDHT(t, "first holder", network), startInDHT(t, "second holder", network), startInDHT(t, "reader", network)

	const size = 300_000
	found(t, ctx, network, s, c, first, reader, rig.RandomBytes(601, size))

	check(t, s.Stop())
	check(t, network.StopBootstrap())
	s = serve(t, d)
	c = login(t, s)
	found(t, ctx, network, s, c, second, reader, rig.RandomBytes(602, size))
}

// apart disconnects a Kubo from the server. In such a small DHT all nodes meet each other.
// The test is to show that a node is looked up, not that it is asked because it is
// connected. (This Kubo's Bitswap also does not see connections from the moment before it
// started.)
func apart(t *testing.T, ctx context.Context, k *rig.Kubo, s *rig.Server) {
	t.Helper()
	if slices.Contains(must(k.Peers(ctx))(t), s.PeerID) {
		check(t, k.Disconnect(ctx, "/p2p/"+s.PeerID))
	}
}

// found pins what one Kubo has. That Kubo stops, and another one gets the content.
func found(t *testing.T, ctx context.Context, network *rig.DHT, s *rig.Server, c *rig.Client, holder, reader *rig.Kubo, content []byte) {
	t.Helper()
	cid := must(holder.AddFile(ctx, bytes.NewReader(content), 16<<10))(t)
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		n, err := network.Knows(ctx, cid, holder.ID)
		return n > 0, err
	}))
	apart(t, ctx, holder, s)
	pinnedAs := pinned(t, c, rig.Pin{CID: cid}, 60*patience)
	check(t, holder.Stop())

	var announced string
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		now, err := c.Get(ctx, pinnedAs.RequestID)
		announced = now.Info["announced"]
		return announced != "not yet", err
	}))
	if _, err := time.Parse(time.RFC3339, announced); err != nil {
		t.Errorf("announced is %q", announced)
	}
	check(t, rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		providers, err := reader.Providers(ctx, cid, dhtServers)
		return slices.Contains(providers, s.PeerID), err
	}))
	apart(t, ctx, reader, s)
	body := must(reader.Cat(ctx, cid))(t)
	defer body.Close()
	if got := must(io.ReadAll(body))(t); !bytes.Equal(got, content) {
		t.Errorf("%d bytes come back, and are not those that were added", len(got))
	}
}

package node

import (
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// Who has a block is found in the DHT, and what is known of the peers that are connected is
// listed.
func TestProvidersAndConnections(t *testing.T) {
	server, addr := dhtServer(t)
	block := dagtest.Raw("somebody has it")
	src := newSource(t, block)
	provided(t, src, server.Host(), block.Cid())
	n := newTestNode(t, walktest.NewStore(t), auto(addr))
	var found []string
	for p := range n.Providers(t.Context(), block.Cid()) {
		if len(p.Addrs) == 0 {
			t.Errorf("%s has no address", p.ID)
		}
		found = append(found, p.ID.String())
	}
	if want := src.host.ID().String(); !slices.Contains(found, want) {
		t.Errorf("found are %v, want %s", found, want)
	}
	for p := range n.Providers(t.Context(), dagtest.Raw("nobody has it").Cid()) {
		t.Errorf("%s is said to have what nobody has", p.ID)
	}
	id := server.Host().ID().String()
	eventually(t, "the server of the DHT is known", func() bool {
		return slices.ContainsFunc(n.Connections(), func(c Connection) bool {
			return c.Peer == id && c.Direction == network.DirOutbound && strings.HasPrefix(c.Addr, "/ip4/127.0.0.1/") &&
				c.PublicKey != "" && c.Agent != "" && len(c.Protocols) > 0 &&
				slices.ContainsFunc(c.Addresses, func(a string) bool { return strings.HasSuffix(a, "/p2p/"+id) })
		})
	})
}

// Without routing nobody is found.
func TestProvidersWithoutRouting(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	for p := range n.Providers(t.Context(), dagtest.Raw("x").Cid()) {
		t.Errorf("%s is found", p.ID)
	}
	if all := n.Protocols(); !slices.Contains(all, "/ipfs/bitswap/1.2.0") || !slices.IsSorted(all) {
		t.Errorf("the protocols are %q", all)
	}
	if all := n.Connections(); len(all) != 0 {
		t.Errorf("connections are %+v", all)
	}
}

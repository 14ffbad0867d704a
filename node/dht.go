package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/amino"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/provide"
)

// dhts are the node's DHTs.
type dhts struct {
	wan *dht.IpfsDHT
	lan *dht.IpfsDHT // nil if private addresses are not dialled
}

// newDHTs joins the public DHT, as a server while the host is publicly reachable, else as a
// client. If private addresses are allowed it also joins the DHT of the local network,
// loopback included. As a server it keeps records of others in ds, or in memory if ds is
// nil; they are bounded ([dhtRecords]). The caller closes the result. ctx bounds only the
// start.
func newDHTs(ctx context.Context, h host.Host, private bool, ds datastore.Batching, log *slog.Logger) (dhts, error) {
	if ds == nil {
		ds = dssync.MutexWrap(datastore.NewMapDatastore())
	}
	common := []dht.Option{
		dht.Mode(dht.ModeAuto),
		dht.Concurrency(10), // requests of one lookup at the same time, as in Kubo
	}
	on := func(name string) ([]dht.Option, error) {
		r, err := newDHTRecords(ctx, namespace.Wrap(ds, datastore.NewKey("/dht/"+name)), h.ID(), log)
		return append(common[:len(common):len(common)], dht.Datastore(r)), err
	}
	onWAN, err := on("wan")
	if err != nil {
		return dhts{}, err
	}
	if private {
		onLAN, err := on("lan")
		if err != nil {
			return dhts{}, err
		}
		both, err := dual.New(h,
			dual.WanDHTOption(onWAN...),
			dual.LanDHTOption(onLAN...),
			dual.LanDHTOption(dht.AddressFilter(nil)), // else loopback is filtered out
		)
		if err != nil {
			return dhts{}, fmt.Errorf("start the DHT: %w", err)
		}
		return dhts{wan: both.WAN, lan: both.LAN}, nil
	}
	// The options with which dual.New makes the public one. It cannot make that one alone.
	wan, err := dht.New(h, append(onWAN,
		dht.QueryFilter(dht.PublicQueryFilter),
		dht.RoutingTableFilter(dht.PublicRoutingTableFilter),
		dht.RoutingTablePeerDiversityFilter(dht.NewRTPeerDiversityFilter(h,
			amino.DefaultMaxPeersPerIPGroupPerCpl, amino.DefaultMaxPeersPerIPGroup)),
		dht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return ma.FilterAddrs(addrs, manet.IsPublicAddr) }),
	)...)
	if err != nil {
		return dhts{}, fmt.Errorf("start the DHT: %w", err)
	}
	return dhts{wan: wan}, nil
}

// all lists the DHTs.
func (d dhts) all() (all []*dht.IpfsDHT) {
	for _, one := range []*dht.IpfsDHT{d.wan, d.lan} {
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

func (d dhts) close() error {
	var errs []error
	for _, one := range d.all() {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// peers is how many peers all routing tables have together.
func (d dhts) peers() (n int) {
	for _, one := range d.all() {
		n += one.RoutingTable().Size()
	}
	return n
}

// refresh has the DHTs fill their routing tables.
func (d dhts) refresh() {
	for _, one := range d.all() {
		if one.RoutingTable().Size() > 0 {
			one.RefreshRoutingTable()
		}
	}
}

// networks gives the DHTs to a provider. A root counts as announced once the public DHT has
// it. While the node knows no peer of that DHT, the local one is enough.
func (d dhts) networks() []provide.Network {
	network := func(name string, one *dht.IpfsDHT, counts func() bool) provide.Network {
		return provide.Network{
			Name:     name,
			Self:     one.PeerID(),
			Addrs:    one.FilteredAddrs,
			Closest:  one.GetClosestPeers,
			Sender:   one.MessageSender(),
			Replicas: one.BucketSize(),
			Keep: func(ctx context.Context, h multihash.Multihash) error {
				return one.Provide(ctx, cid.NewCidV1(cid.Raw, h), false)
			},
			Host:   one.Host(),
			Counts: counts,
		}
	}
	all := []provide.Network{network("wan", d.wan, nil)}
	if d.lan != nil {
		all = append(all, network("lan", d.lan, func() bool { return d.wan.RoutingTable().Size() == 0 }))
	}
	return all
}

// closestPeers gives the peers of the DHTs that are closest to a peer.
func (d dhts) closestPeers(ctx context.Context, p peer.ID) (closest []peer.ID) {
	for _, one := range d.all() {
		ids, err := one.GetClosestPeers(ctx, string(p))
		if err != nil {
			continue // it has no peers
		}
		closest = append(closest, ids...)
	}
	return closest
}

// dhtSource is a DHT in which providers and peers are looked up.
type dhtSource struct {
	dht *dht.IpfsDHT
	// tried is closed after the first attempt to join. A lookup before that would find
	// nothing, so it waits.
	tried <-chan struct{}
}

// FindProvidersAsync implements [routing.ContentDiscovery].
func (s dhtSource) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() { // ends with ctx
		defer close(out)
		select {
		case <-s.tried:
		case <-ctx.Done():
			return
		}
		for ai := range s.dht.FindProvidersAsync(ctx, c, count) {
			select {
			case out <- ai:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// findPeer is a [find.PeerSource].
func (s dhtSource) findPeer(ctx context.Context, p peer.ID) ([]ma.Multiaddr, error) {
	select {
	case <-s.tried:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ai, err := s.dht.FindPeer(ctx, p)
	return ai.Addrs, err
}

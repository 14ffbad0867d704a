package rig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
)

// DHT is a private DHT, as the nodes of a local network make one: small servers in this process,
// on loopback. Kubo's sweep needs some twenty of them.
type DHT struct {
	// Bootstrap is the multiaddr of the one server that nodes join by.
	Bootstrap string
	servers   []*dht.IpfsDHT
	closed    []bool
	mu        sync.Mutex
}

// StartDHT starts a DHT of n servers. The caller closes it.
func StartDHT(ctx context.Context, n int) (_ *DHT, err error) {
	d := new(DHT)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	for range n {
		h, err := libp2p.New(
			libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
			libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ForceReachabilityPrivate(),
		)
		if err != nil {
			return nil, fmt.Errorf("start a host for the DHT: %w", err)
		}
		server, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolExtension(dual.LanExtension))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start a server of the DHT: %w", err), h.Close())
		}
		d.servers, d.closed = append(d.servers, server), append(d.closed, false)
	}
	first := d.servers[0].Host()
	d.Bootstrap = first.Addrs()[0].String() + "/p2p/" + first.ID().String()
	for _, s := range d.servers[1:] {
		if err := s.Host().Connect(ctx, first.Peerstore().PeerInfo(first.ID())); err != nil {
			return nil, fmt.Errorf("join the DHT: %w", err)
		}
	}
	return d, d.settle(ctx)
}

// settle waits until every server knows most of the others.
func (d *DHT) settle(ctx context.Context) error {
	return Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		for _, s := range d.servers {
			if s.RoutingTable().Size() < len(d.servers)/2 {
				s.RefreshRoutingTable()
				return false, nil
			}
		}
		return true, nil
	})
}

// StopBootstrap stops the server that nodes join by.
func (d *DHT) StopBootstrap() error { return d.stop(0) }

func (d *DHT) stop(i int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed[i] {
		return nil
	}
	d.closed[i] = true
	return errors.Join(d.servers[i].Close(), d.servers[i].Host().Close())
}

// Close stops all servers. It may be called twice.
func (d *DHT) Close() error {
	var errs []error
	for i := range d.servers {
		errs = append(errs, d.stop(i))
	}
	return errors.Join(errs...)
}

// Knows is how many of the servers have a record that a peer has a block.
func (d *DHT) Knows(ctx context.Context, c, peerID string) (n int, err error) {
	key, err := cid.Decode(c)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, s := range d.servers {
		if d.closed[i] {
			continue
		}
		found, err := s.ProviderStore().GetProviders(ctx, key.Hash())
		if err != nil {
			return 0, fmt.Errorf("ask a server of the DHT: %w", err)
		}
		for _, ai := range found {
			if ai.ID.String() == peerID {
				n++
			}
		}
	}
	return n, nil
}

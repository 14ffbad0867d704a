#!/usr/bin/env bash
# go-libp2p-kad-dht v0.42.2: ProvideOnce answers nil while offline, and drops the keys
#
# The comment of the sweeping provider's ProvideOnce says that it gives an error when the
# node is offline, such as before it first met the network. It gives nil, as for keys that
# it took, and forgets them: when the network is there, later keys are told to peers, those
# are not. So a program that provides as it starts tells nobody, and does not learn of it.
#
# Seen (a network of 20 peers in memory, which cannot be reached at first):
#   while offline: <nil>; online, later keys: 20 and 20 peers told; the first key: 0
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require (
	github.com/libp2p/go-libp2p v0.51.0
	github.com/libp2p/go-libp2p-kad-dht v0.42.2
	github.com/multiformats/go-multiaddr v0.16.1
	github.com/multiformats/go-multihash v0.2.3
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

const replicas = 20

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func hash(text string) multihash.Multihash {
	h, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	try(err)
	return h
}

// swarm is a network in memory, in which the same peers are the closest to every key.
type swarm struct {
	peers []peer.ID
	up    atomic.Bool

	mu   sync.Mutex
	told map[string]map[peer.ID]bool
}

func (s *swarm) GetClosestPeers(context.Context, string) ([]peer.ID, error) {
	if !s.up.Load() {
		return nil, errors.New("the network cannot be reached")
	}
	return s.peers, nil
}

func (s *swarm) SendMessage(_ context.Context, to peer.ID, m *pb.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(m.GetKey())
	if s.told[key] == nil {
		s.told[key] = make(map[peer.ID]bool)
	}
	s.told[key][to] = true
	return nil
}

func (*swarm) SendRequest(context.Context, peer.ID, *pb.Message) (*pb.Message, error) {
	return nil, errors.New("nobody is asked")
}

// count says how many peers were told a key.
func (s *swarm) count(key multihash.Multihash) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.told[string(key)])
}

func main() {
	s := &swarm{told: make(map[string]map[peer.ID]bool)}
	for i := range replicas {
		s.peers = append(s.peers, peer.ID(hash(fmt.Sprint("peer ", i))))
	}
	p, err := provider.New(provider.WithPeerID(peer.ID(hash("provider"))), provider.WithRouter(s), provider.WithMessageSender(s),
		provider.WithSelfAddrs(func() []multiaddr.Multiaddr {
			return []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/4001")}
		}))
	try(err)
	defer p.Close()
	first := hash("first")
	offline := p.ProvideOnce(first)

	s.up.Store(true)
	// Two more, one after the other, until all are told: whatever was queued before them is done.
	later := []multihash.Multihash{hash("second"), hash("third")}
	for _, key := range later {
		for end := time.Now().Add(time.Minute); s.count(key) < replicas; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				try(errors.New("the provider does not come online"))
			}
			try(p.ProvideOnce(key))
		}
	}
	fmt.Printf("while offline: %v; online, later keys: %d and %d peers told; the first key: %d\n",
		offline, s.count(later[0]), s.count(later[1]), s.count(first))
	if offline != nil || s.count(first) > 0 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# go-libp2p-kad-dht v0.42.2: the sweeping provider tells peers that are not the closest
#
# A provider record belongs to the 20 peers that are closest to its key: there a lookup
# asks. The sweeping provider tells 20 peers for each key. For one or two keys they are the
# right ones. For three and more of a region, which is what it was made for, a third of
# them are others of the region, although it has met all of the closest ones: it shares
# out the keys beginning at another bit than the one at which its peers begin to differ.
#
# Seen (a network of 2,000 peers in memory, of which the router knows all):
#   1 key: 20.0 peers told, 20.0 of them of the 20 closest; 500 keys: 20.0 told, 13.2 of them of the 20 closest
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
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
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

func hash(format string, a ...any) multihash.Multihash {
	h, err := multihash.Sum(fmt.Appendf(nil, format, a...), multihash.SHA2_256, -1)
	try(err)
	return h
}

// swarm is a network in memory: a router that knows all, and a sender that remembers who was told what.
type swarm struct {
	peers map[peer.ID][32]byte

	mu   sync.Mutex
	told map[string]map[peer.ID]bool
}

// GetClosestPeers sorts all peers by their distance to the key: the xor of the hashes.
func (s *swarm) GetClosestPeers(_ context.Context, key string) ([]peer.ID, error) {
	at := sha256.Sum256([]byte(key))
	distance := func(id peer.ID) []byte {
		d := s.peers[id]
		for i := range d {
			d[i] ^= at[i]
		}
		return d[:]
	}
	all := make([]peer.ID, 0, len(s.peers))
	for id := range s.peers {
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b peer.ID) int { return bytes.Compare(distance(a), distance(b)) })
	return all[:replicas], nil
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

func (s *swarm) some() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.told) > 0
}

// provide provides keys and gives how many peers were told each, and how many of its closest, on average.
func provide(n int) (told, closest float64) {
	s := &swarm{peers: make(map[peer.ID][32]byte), told: make(map[string]map[peer.ID]bool)}
	for i := range 2000 {
		id := peer.ID(hash("peer %d", i))
		s.peers[id] = sha256.Sum256([]byte(id))
	}
	p, err := provider.New(provider.WithPeerID(peer.ID(hash("provider"))), provider.WithRouter(s), provider.WithMessageSender(s),
		provider.WithSelfAddrs(func() []multiaddr.Multiaddr {
			return []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/4001")}
		}))
	try(err)
	defer p.Close()
	var keys []multihash.Multihash
	for i := range n {
		keys = append(keys, hash("key %d", i))
	}
	// It takes keys once it has found out that it is online; whatever came before is dropped.
	for end := time.Now().Add(time.Minute); !s.some(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			try(errors.New("nothing is told"))
		}
		try(p.ProvideOnce(keys...))
	}
	all := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, key := range keys {
			if len(s.told[string(key)]) < replicas {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(2 * time.Minute); !all(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			try(errors.New("not every key was told to 20 peers"))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		right, err := s.GetClosestPeers(context.Background(), string(key))
		try(err)
		told += float64(len(s.told[string(key)])) / float64(n)
		for _, id := range right {
			if s.told[string(key)][id] {
				closest += 1 / float64(n)
			}
		}
	}
	return told, closest
}

func main() {
	oneTold, oneClosest := provide(1)
	told, closest := provide(500)
	fmt.Printf("1 key: %.1f peers told, %.1f of them of the 20 closest; 500 keys: %.1f told, %.1f of them of the 20 closest\n",
		oneTold, oneClosest, told, closest)
	if oneClosest < replicas-0.01 {
		try(errors.New("a single key is not told to the closest either"))
	}
	if closest > replicas-1 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

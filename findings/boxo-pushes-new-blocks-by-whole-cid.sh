#!/usr/bin/env bash
# boxo v0.43.0: a peer that waits for a CIDv1 is not sent the block when it comes as a CIDv0
#
# A peer asks for a block that the Bitswap server does not have yet, and waits. When the
# block is stored, NotifyNewBlocks of bitswap/server looks for those who wait by the whole
# CID, though blockstores and wants that come later go by the multihash alone. A peer that
# asked by the other version of the CID is sent nothing, until it asks anew.
#
# Seen:
#   waits for CIDv1, comes as CIDv0: sent: false, when asked anew: true
#   waits for CIDv0, comes as CIDv1: sent: false, when asked anew: true
#   waits for CIDv1, comes as CIDv1: sent: true
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
	github.com/ipfs/boxo v0.43.0
	github.com/ipfs/go-block-format v0.2.4
	github.com/ipfs/go-cid v0.6.2
	github.com/ipfs/go-datastore v0.9.2
	github.com/libp2p/go-libp2p v0.51.0
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
	"time"

	bsmsg "github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// data gives the CIDs of both versions for a block.
func data(text string) (data []byte, v0, v1 cid.Cid) {
	hash, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	try(err)
	return []byte(text), cid.NewCidV0(hash), cid.NewCidV1(cid.DagProtobuf, hash)
}

func block(data []byte, c cid.Cid) blocks.Block {
	b, err := blocks.NewBlockWithCid(data, c)
	try(err)
	return b
}

// client hands on the blocks that it is sent.
type client struct{ got chan blocks.Block }

func (c *client) ReceiveMessage(_ context.Context, _ peer.ID, m bsmsg.BitSwapMessage) {
	for _, b := range m.Blocks() {
		c.got <- b
	}
}
func (*client) ReceiveError(error)       {}
func (*client) PeerConnected(peer.ID)    {}
func (*client) PeerDisconnected(peer.ID) {}

// until collects what was sent, up to a block.
func (c *client) until(last cid.Cid) map[string]bool {
	sent := make(map[string]bool)
	timeout := time.After(time.Minute)
	for !sent[string(last.Hash())] {
		select {
		case b := <-c.got:
			sent[string(b.Cid().Hash())] = true
		case <-timeout:
			try(errors.New("a block did not come"))
		}
	}
	return sent
}

func newHost() host.Host {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	try(err)
	return h
}

func main() {
	ctx := context.Background()
	from, to := newHost(), newHost()
	defer from.Close()
	defer to.Close()
	store := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	serverNet, clientNet := bsnet.NewFromIpfsHost(from), bsnet.NewFromIpfsHost(to)
	s := server.New(ctx, serverNet, store)
	defer s.Close()
	serverNet.Start(s)
	defer serverNet.Stop()
	c := &client{got: make(chan blocks.Block, 10)}
	clientNet.Start(c)
	defer clientNet.Stop()
	try(to.Connect(ctx, peer.AddrInfo{ID: from.ID(), Addrs: from.Addrs()}))

	dataA, a0, a1 := data("a")
	dataB, b0, b1 := data("b")
	dataC, _, c1 := data("c")
	ask := func(cids ...cid.Cid) {
		wants := bsmsg.New(false)
		for i, wanted := range cids {
			// The first is the most urgent: it is not sent later than the others.
			wants.AddEntry(wanted, int32(10-i), pb.Message_Wantlist_Block, false)
		}
		try(clientNet.SendMessage(ctx, from.ID(), wants))
	}
	ask(a1, b0, c1)
	for end := time.Now().Add(time.Minute); len(s.WantlistForPeer(to.ID())) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			try(errors.New("the wants do not come"))
		}
	}

	added := []blocks.Block{block(dataA, a0), block(dataB, b1), block(dataC, c1)}
	try(store.PutMany(ctx, added))
	try(s.NotifyNewBlocks(ctx, added...))
	sent := c.until(c1)
	again := make(map[string]bool)
	for _, wanted := range []cid.Cid{a1, b0} {
		if !sent[string(wanted.Hash())] {
			ask(wanted)
			again[string(wanted.Hash())] = c.until(wanted)[string(wanted.Hash())]
		}
	}
	a, b := string(a1.Hash()), string(b0.Hash())
	fmt.Printf("waits for CIDv1, comes as CIDv0: sent: %v, when asked anew: %v\n", sent[a], again[a])
	fmt.Printf("waits for CIDv0, comes as CIDv1: sent: %v, when asked anew: %v\n", sent[b], again[b])
	fmt.Printf("waits for CIDv1, comes as CIDv1: sent: %v\n", sent[string(c1.Hash())])
	if sent[a] || sent[b] {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

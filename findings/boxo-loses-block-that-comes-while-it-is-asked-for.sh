#!/usr/bin/env bash
# boxo v0.43.0: a peer is never sent a block that comes while its want for it is taken in
#
# For each message of a peer, the Bitswap server first looks in the blockstore for what the
# message asks for, and only then notes what the peer waits for. A block that is stored, and
# given to NotifyNewBlocks, between these two is not sent: the look came too early, and
# NotifyNewBlocks too early as well. The server keeps the want, has the block, and sends nothing
# until the peer asks anew. It is seen here with a blockstore in which the block arrives at that moment.
#
# Seen:
#   the server has the block, and the want: true
#   sent within 5 s: false, when asked anew: true
#   a block that comes later is sent: true
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
	"fmt"
	"os"
	"sync"
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

func raw(text string) blocks.Block {
	hash, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	try(err)
	b, err := blocks.NewBlockWithCid([]byte(text), cid.NewCidV1(cid.Raw, hash))
	try(err)
	return b
}

// arriving is a blockstore into which something comes right after it was first looked for in vain.
type arriving struct {
	blockstore.Blockstore
	arrives func()
}

func (s arriving) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := s.Blockstore.GetSize(ctx, c)
	if err != nil {
		s.arrives()
	}
	return n, err
}

// reader takes in the blocks that come.
type reader struct{ came chan cid.Cid }

func (r reader) ReceiveMessage(_ context.Context, _ peer.ID, m bsmsg.BitSwapMessage) {
	for _, b := range m.Blocks() {
		r.came <- b.Cid()
	}
}
func (reader) ReceiveError(error)       {}
func (reader) PeerConnected(peer.ID)    {}
func (reader) PeerDisconnected(peer.ID) {}

func (r reader) gets(c cid.Cid, within time.Duration) bool {
	end := time.After(within)
	for {
		select {
		case got := <-r.came:
			if got == c {
				return true
			}
		case <-end:
			return false
		}
	}
}

func loopback() host.Host {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	try(err)
	return h
}

func main() {
	ctx := context.Background()
	serving, asking := loopback(), loopback()
	defer serving.Close()
	defer asking.Close()
	store := arriving{Blockstore: blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))}
	var s *server.Server
	add := func(b blocks.Block) {
		try(store.Put(ctx, b))
		try(s.NotifyNewBlocks(ctx, b))
	}
	early, late := raw("comes at once"), raw("comes later")
	store.arrives = sync.OnceFunc(func() { add(early) })
	network, client := bsnet.NewFromIpfsHost(serving), bsnet.NewFromIpfsHost(asking)
	s = server.New(ctx, network, store)
	defer s.Close()
	network.Start(s)
	defer network.Stop()
	r := reader{make(chan cid.Cid, 10)}
	client.Start(r)
	defer client.Stop()
	try(asking.Connect(ctx, peer.AddrInfo{ID: serving.ID(), Addrs: serving.Addrs()}))
	ask := func(c cid.Cid) {
		m := bsmsg.New(false)
		m.AddEntry(c, 1, pb.Message_Wantlist_Block, false)
		try(client.SendMessage(ctx, serving.ID(), m))
	}

	ask(early.Cid())
	sent := r.gets(early.Cid(), 5*time.Second)
	has, err := store.Has(ctx, early.Cid())
	try(err)
	wants := s.WantlistForPeer(asking.ID())
	fmt.Println("the server has the block, and the want:", has && len(wants) == 1 && wants[0] == early.Cid())
	anew := false
	if !sent {
		ask(early.Cid())
		anew = r.gets(early.Cid(), time.Minute)
	}
	fmt.Printf("sent within 5 s: %v, when asked anew: %v\n", sent, anew)

	ask(late.Cid())
	time.Sleep(time.Second)
	add(late)
	fmt.Println("a block that comes later is sent:", r.gets(late.Cid(), time.Minute))
	if sent {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

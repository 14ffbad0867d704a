#!/usr/bin/env bash
# boxo v0.43.0, go-libp2p v0.51.0: blocks sent faster than they are taken are lost, unseen
#
# boxo's Bitswap server sends each message by a stream of its own, does not wait until the
# other side has taken it, and has no bound on how many are open. go-libp2p's resource
# manager lets a peer have a limited number of streams of a protocol, and resets the rest.
# By then SendMessage has answered nil: the server counts the blocks as sent, takes the
# wants off its list, and nothing tells either side, until the client asks anew.
#
# Seen (the client has the limits for 8 GiB, 68 streams, and takes its first message only
# after many were refused; the numbers vary):
#   wanted: 400, sent as the server counts: 400, received: 158
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
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

const wanted = 400

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// client takes no message before it may.
type client struct {
	may chan struct{}

	mu  sync.Mutex
	got map[cid.Cid]bool
}

func (c *client) ReceiveMessage(_ context.Context, _ peer.ID, m bsmsg.BitSwapMessage) {
	<-c.may
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range m.Blocks() {
		c.got[b.Cid()] = true
	}
}

func (c *client) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}
func (*client) ReceiveError(error)       {}
func (*client) PeerConnected(peer.ID)    {}
func (*client) PeerDisconnected(peer.ID) {}

// refusals counts the streams that the client's limits refuse.
type refusals struct{ atomic.Int64 }

func (r *refusals) ConsumeEvent(e rcmgr.TraceEvt) {
	if e.Type == rcmgr.TraceBlockAddStreamEvt {
		r.Add(1)
	}
}

func newHost(limits network.ResourceManager) host.Host {
	h, err := libp2p.New(libp2p.ResourceManager(limits), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	try(err)
	return h
}

// open says whether a stream of others is open.
func open(h host.Host) bool {
	for _, conn := range h.Network().Conns() {
		for _, stream := range conn.GetStreams() {
			if stream.Stat().Direction == network.DirInbound {
				return true
			}
		}
	}
	return false
}

func main() {
	ctx := context.Background()
	store := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	wants := bsmsg.New(false)
	for i := range wanted {
		b := blocks.NewBlock(binary.BigEndian.AppendUint32(make([]byte, 16<<10), uint32(i)))
		try(store.Put(ctx, b))
		wants.AddEntry(b.Cid(), int32(wanted-i), pb.Message_Wantlist_Block, true)
	}
	var refused refusals
	// What go-libp2p takes by itself on a machine with 8 GiB: an eighth of the memory.
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.DefaultLimits.Scale(1<<30, 1024)), rcmgr.WithTraceReporter(&refused))
	try(err)
	// The server has no limits, so that what is lost is lost by those of the client.
	from, to := newHost(&network.NullResourceManager{}), newHost(limits)
	defer from.Close()
	defer to.Close()
	serverNet, clientNet := bsnet.NewFromIpfsHost(from), bsnet.NewFromIpfsHost(to)
	s := server.New(ctx, serverNet, store)
	defer s.Close()
	serverNet.Start(s)
	defer serverNet.Stop()
	c := &client{may: make(chan struct{}), got: make(map[cid.Cid]bool)}
	clientNet.Start(c)
	defer clientNet.Stop()

	try(to.Connect(ctx, peer.AddrInfo{ID: from.ID(), Addrs: from.Addrs()}))
	try(clientNet.SendMessage(ctx, from.ID(), wants))
	// A server that waited for the client would come to a halt here.
	for end := time.Now().Add(time.Minute); refused.Load() < wanted/2 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	close(c.may)
	// What was sent has come or was reset once no stream was open for a while.
	received, idle := 0, 0
	for end := time.Now().Add(time.Minute); received < wanted && idle < 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			try(errors.New("the streams do not end"))
		}
		if idle++; open(to) {
			idle = 0
		}
		received = c.received()
	}
	stat, err := s.Stat()
	try(err)
	fmt.Printf("wanted: %d, sent as the server counts: %d, received: %d\n", wanted, stat.BlocksSent, received)
	if received >= int(stat.BlocksSent) {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

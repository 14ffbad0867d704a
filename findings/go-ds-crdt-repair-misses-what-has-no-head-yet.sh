#!/usr/bin/env bash
# go-ds-crdt v0.6.8: a repair ends with "clean" and leaves out a branch that a crash cut off
#
# A replica that hears of a new head walks down from it, and notes each node as processed before
# the node's children are. If the process ends in between, the rest of the branch is missing. The
# documented remedy is to mark the store dirty: then it repairs itself when it starts. But a repair
# walks down from the replica's own heads, and the head that was being walked is no head yet. So the
# repair finds nothing, and the store is clean. When the same head is heard of again it counts as
# processed. The next head that is built on it becomes a head, and nothing looks below it any more.
# From then on both replicas have the same heads, and one of them lacks entries for good. A second
# repair, after that, brings them.
#
# Here the second replica's process ends while it waits for a node, which is tried by going on
# with a copy of its store.
#
# Seen:
#   before the crash the first has 1 of 1, the second 1 of 1
#   after the crash, marked dirty: dirty false once it is repaired, entries 2 of 11
#   after one more entry of each, and 5 s: same heads true, dirty false, entries 4 of 13
#   marked dirty again and started again: dirty false once it is repaired, entries 13 of 13
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
	github.com/ipfs/boxo v0.36.0
	github.com/ipfs/go-cid v0.6.0
	github.com/ipfs/go-datastore v0.9.0
	github.com/ipfs/go-ds-crdt v0.6.8
	github.com/ipfs/go-ipld-format v0.6.3
	github.com/ipfs/go-log/v2 v2.9.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	crdt "github.com/ipfs/go-ds-crdt"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/ipfs/go-log/v2"
)

var ctx = context.Background()

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// until waits for something.
func until(what string, is func() bool) {
	for range 600 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	try(fmt.Errorf("%s did not come", what))
}

// network passes what one replica says on to the other.
type network struct{ out, in chan []byte }

func (n network) Broadcast(_ context.Context, b []byte) error {
	select {
	case n.out <- b:
	default:
	}
	return nil
}

func (n network) Next(ctx context.Context) ([]byte, error) {
	select {
	case b := <-n.in:
		return b, nil
	case <-ctx.Done():
		return nil, crdt.ErrNoMoreBroadcast
	}
}

// oneNode gives one node and then waits, as for a peer that is slow.
type oneNode struct {
	ipld.DAGService
	root cid.Cid
}

func (d *oneNode) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	if !d.root.Defined() {
		d.root = c
	}
	if c == d.root {
		return d.DAGService.Get(ctx, c)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (d *oneNode) GetMany(ctx context.Context, all []cid.Cid) <-chan *ipld.NodeOption {
	if !slices.Contains(all, d.root) {
		none := make(chan *ipld.NodeOption)
		go func() { <-ctx.Done(); close(none) }()
		return none
	}
	return d.DAGService.GetMany(ctx, all)
}

func open(store datastore.Datastore, nodes ipld.DAGService, n crdt.Broadcaster) *crdt.Datastore {
	o := crdt.DefaultOptions()
	o.RebroadcastInterval = 200 * time.Millisecond
	d, err := crdt.New(store, datastore.NewKey("/crdt"), nodes, n, o)
	try(err)
	return d
}

func memory() datastore.Batching { return dssync.MutexWrap(datastore.NewMapDatastore()) }

func copied(from datastore.Datastore) datastore.Batching {
	to := memory()
	all, err := from.Query(ctx, query.Query{})
	try(err)
	entries, err := all.Rest()
	try(err)
	for _, e := range entries {
		try(to.Put(ctx, datastore.NewKey(e.Key), e.Value))
	}
	return to
}

func entries(d *crdt.Datastore) int {
	all, err := d.Query(ctx, query.Query{KeysOnly: true})
	try(err)
	e, err := all.Rest()
	try(err)
	return len(e)
}

var written int

func write(d *crdt.Datastore) datastore.Key {
	written++
	k := datastore.NewKey(fmt.Sprint("entry-", written))
	try(d.Put(ctx, k, []byte("value")))
	return k
}

func has(d *crdt.Datastore, k datastore.Key) func() bool {
	return func() bool {
		ok, err := d.Has(ctx, k)
		try(err)
		return ok
	}
}

// restart marks a store dirty, as `ipfs-cluster-service state crdt mark-dirty` does, and opens it.
func restart(store datastore.Datastore, nodes ipld.DAGService, n crdt.Broadcaster) *crdt.Datastore {
	o := crdt.DefaultOptions()
	o.RepairInterval = 0
	d, err := crdt.New(store, datastore.NewKey("/crdt"), nodes, nil, o)
	try(err)
	d.MarkDirty(ctx)
	try(d.Close())
	d = open(store, nodes, n)
	until("a repair", func() bool { return !d.IsDirty(ctx) })
	return d
}

func main() {
	try(log.SetLogLevel("crdt", "fatal"))
	// All nodes of the DAG are where both replicas find them.
	blocks := blockstore.NewBlockstore(memory())
	nodes := merkledag.NewDAGService(blockservice.New(blocks, offline.Exchange(blocks)))
	ab, ba := make(chan []byte, 1000), make(chan []byte, 1000)
	one := open(memory(), nodes, network{ab, ba})
	store := memory()
	two := open(store, nodes, network{ba, ab})
	until("the first entry", has(two, write(one)))
	fmt.Printf("before the crash the first has %d of %d, the second %d of %d\n", entries(one), written, entries(two), written)

	// The second is away for a while, then hears of the newest head, and ends in the middle.
	try(two.Close())
	for range 10 {
		write(one)
	}
	newest := datastore.NewKey("entry-11")
	for len(ab) > 1 { // it hears of the newest head alone
		<-ab
	}
	two = open(store, &oneNode{DAGService: nodes}, network{ba, ab})
	until("the newest entry", has(two, newest))
	time.Sleep(500 * time.Millisecond)
	store = copied(store)

	two = restart(store, nodes, network{ba, ab})
	time.Sleep(2 * time.Second)
	fmt.Printf("after the crash, marked dirty: dirty %v once it is repaired, entries %d of %d\n", two.IsDirty(ctx), entries(two), written)
	until("the next entry", has(two, write(one)))
	until("the entry after it", has(one, write(two)))
	time.Sleep(5 * time.Second)
	same := slices.Equal(one.InternalStats(ctx).Heads, two.InternalStats(ctx).Heads)
	lacks := written - entries(two)
	fmt.Printf("after one more entry of each, and 5 s: same heads %v, dirty %v, entries %d of %d\n", same, two.IsDirty(ctx), entries(two), written)

	try(two.Close())
	two = restart(store, nodes, network{ba, ab})
	until("what was missing", func() bool { return entries(two) == written })
	fmt.Printf("marked dirty again and started again: dirty %v once it is repaired, entries %d of %d\n", two.IsDirty(ctx), entries(two), written)
	if lacks == 0 || !same {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

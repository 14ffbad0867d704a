package graph_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// dirs pins a root over a node over n directories, each of which links to a node: one
// of its own, or the same one as all others.
func dirs(t *testing.T, s *roomtest.Store, seed, n int, common bool) *roomtest.Pinned {
	t.Helper()
	p := roomtest.BeginPin(t, s, seed)
	hash := func(a ...any) multihash.Multihash {
		sum := sha256.Sum256([]byte(fmt.Sprint(a...)))
		h, err := multihash.Encode(sum[:], multihash.SHA2_256)
		must(t, err)
		return h
	}
	node := func(id graph.Holder, h multihash.Multihash) graph.Node {
		return graph.Node{ID: id, DAG: pin.DAGOf(cid.NewCidV1(cid.DagProtobuf, h)), Attempt: p.Attempt}
	}
	link := func(from graph.Holder, h multihash.Multihash) graph.Link {
		return graph.Link{Holder: from, Ref: graph.Ref{Hash: h, Size: 50}, Codec: cid.DagProtobuf}
	}
	const atATime = 500
	first, err := s.Graph.NewHolders(t.Context(), 1)
	must(t, err)
	root := hash("root", seed)
	must(t, s.Graph.Write(t.Context(), graph.Batch{Links: []graph.Link{link(graph.HolderOf(p.Attempt), root)}, Nodes: []graph.Node{node(first, root)}}))
	for at := 0; at < n; at += atATime {
		id, err := s.Graph.NewHolders(t.Context(), atATime)
		must(t, err)
		var b graph.Batch
		for i := range graph.Holder(atATime) {
			dir, leaf := hash("dir", seed, id+i), hash("leaf", seed, id+i)
			if common {
				leaf = hash("the same in all")
			}
			b.Links = append(b.Links, link(first, dir), link(id+i, leaf))
			b.Nodes = append(b.Nodes, node(id+i, dir))
		}
		must(t, s.Graph.Write(t.Context(), b))
	}
	p.Complete(t, s, 2*n)
	return p
}

// Unpinning reads as many links as the DAG has, and not for each link to a node all
// others to it.
func TestDropOfAPopularNode(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	const n = holding.DropsPerBatch + 1000
	read, most := 0, 0
	*s.Graph.AfterLinks() = func(n int) { read += n; most = max(most, n) }
	for _, common := range []bool{false, true} {
		t.Run(fmt.Sprint("in common ", common), func(t *testing.T) {
			one, two := dirs(t, s, 1, n, common), dirs(t, s, 2, n, common)
			for _, p := range []*roomtest.Pinned{one, two} {
				read = 0
				p.Remove(t, s)
				if read > 3*n {
					t.Errorf("%d links were read to drop %d", read, 2*n)
				}
			}
			left, err := s.KV.CountKeys(t.Context(), []byte{roomtest.KLinkTo})
			must(t, err)
			marks, err := s.KV.CountKeys(t.Context(), []byte{roomtest.KReleased})
			must(t, err)
			nodes, err := s.KV.CountKeys(t.Context(), []byte{roomtest.KNode})
			must(t, err)
			if left+marks+nodes > 0 {
				t.Errorf("%d links, %d marks and %d nodes are left", left, marks, nodes)
			}
		})
	}
}

// A node that is linked to from elsewhere is looked for where it was found the last
// time, and found again wherever it is.
func TestDropRemembersWhoHolds(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	link := graph.Link{Ref: roomtest.RefOf(roomtest.SomeBlocks(1, 1, 10)[0]), Codec: cid.DagProtobuf}
	key := func(n int) string {
		l := link
		l.Holder = graph.Holder(n)
		return string(roomtest.LinkTo(l))
	}
	to := []byte(key(0)[:len(key(0))-8])
	set := func(there bool, keys ...int) {
		for _, n := range keys {
			value := []byte{1}
			if !there {
				value = nil
			}
			roomtest.Set(t, s.Badger, []byte(key(n)), value)
		}
	}
	read := 0
	*s.Graph.AfterLinks() = func(n int) { read = n }
	held := func(want bool, atMost int, going ...int) {
		t.Helper()
		out := map[string]struct{}{}
		for _, n := range going {
			out[key(n)] = struct{}{}
		}
		must(t, s.KV.View(t.Context(), func(r *kv.Reader) error {
			got, err := s.IsHeld(r, to, out)
			if got != want || read > atMost {
				t.Errorf("held: %v, want %v; %d links were read, want %d", got, want, read, atMost)
			}
			return err
		}))
	}
	set(true, 1, 2, 3, 4, 5, 6)
	held(true, 4, 1, 2, 3) // by 4
	set(false, 1, 2, 3)
	held(true, 1, 5)    // by 4 still
	held(true, 4, 4, 5) // by 6
	set(false, 4, 5)
	set(true, 1)
	held(true, 3, 6) // by 1, which is before what was remembered
	set(false, 6)
	held(false, 2, 1)
	set(false, 1)
	held(false, 1)
	set(true, 9)
	held(true, 1)
}

// A Drop reads the marks of what is released only if something may have been left: at
// first, and after one that failed.
func TestDropsReadMarksOnce(t *testing.T) {
	const n = 50
	released := func(s *roomtest.Store, from int) (all []pin.Attempt) {
		for i := range n {
			p := roomtest.BeginPin(t, s, from+i)
			must(t, roomtest.ClaimTo(s, t.Context(), p.Attempt, []graph.Ref{roomtest.RefOf(roomtest.SomeBlocks(uint64(i), 1, 10)[0])}))
			p.Complete(t, s, 1)
			_, some, err := s.Requests.Remove(t.Context(), roomtest.Account, p.Request.ID)
			must(t, err)
			all = append(all, some...)
		}
		return all
	}
	s := roomtest.OpenSmall(t, t.TempDir(), roomtest.Config{})
	scans, marks := 0, 0
	*s.Graph.AfterMarks() = func(n int) { scans++; marks += n }
	for _, a := range released(s, 0) {
		must(t, s.Graph.Drop(t.Context(), a))
	}
	if scans != 1 || marks > n {
		t.Errorf("%d Drops read %d marks, in %d times", n, marks, scans)
	}
	// One that failed leaves a node that only its mark tells of.
	p := dirs(t, s, 1000, 2*holding.DropsPerBatch, false)
	_, some, err := s.Requests.Remove(t.Context(), roomtest.Account, p.Request.ID)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	*s.Graph.BeforeRelease() = func(nodes []graph.Node) {
		if len(nodes) > 1 {
			cancel()
		}
	}
	if err := s.Graph.Drop(ctx, some[0]); err == nil {
		t.Fatal("it was not interrupted")
	}
	*s.Graph.BeforeRelease() = nil
	scans, marks = 0, 0
	all := released(s, 2000)
	for _, a := range all {
		must(t, s.Graph.Drop(t.Context(), a))
	}
	if scans != 1 {
		t.Errorf("marks were read %d times after a failure", scans)
	}
	if nodes, err := s.KV.CountKeys(t.Context(), []byte{roomtest.KLinkFrom}); err != nil || nodes > 0 {
		t.Errorf("%d links are left, %v", nodes, err)
	}
	must(t, s.Graph.Drop(t.Context(), some[0]))
	if left, err := s.Graph.Released(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

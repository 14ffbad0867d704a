package rpc

import (
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

const (
	// maxSeen is how many CIDs a call remembers, in about 25 MiB.
	maxSeen = 250_000
	// maxHeld is how many links a walk holds that it has not followed yet, in about as
	// much; a long name counts as several. A file of 1 TiB in blocks of 4 KiB, read in order, has 20,000; a chain of the
	// largest blocks there are would take gigabytes.
	maxHeld = 400_000
)

// edge is a link of a block.
type edge struct {
	name string // of dag-pb; "" where it does not matter
	size uint64 // as the link says; 0 where it does not matter
	cid  cid.Cid
}

// held is what the link counts of maxHeld.
func (e edge) held() int { return 1 + len(e.name)/64 }

// walk is a way through a DAG: each block before what it links to, in the order of links.
type walk struct {
	// links lists the links of a block.
	links func(blocks.Block) ([]edge, error)
	// enter says whether to go on to what a link leads to, which is that far below the root.
	enter func(from cid.Cid, e edge, depth int) (bool, error)
	// got is called with each block, before its links are entered. Nil is not.
	got func(blocks.Block) error
}

// run walks from a root. It stops at the first error.
func (w walk) run(q *call, root cid.Cid) error {
	type level struct {
		from  cid.Cid
		depth int    // of what its links lead to
		links []edge // those that are left, one at least
	}
	var (
		path []level // from the root down, without those whose links were all followed
		held int
		room = high{share: q.share}
	)
	open := func(c cid.Cid, depth int) error {
		b, err := q.block(q.ctx, c)
		if err != nil {
			return err
		}
		if w.got != nil {
			if err := w.got(b); err != nil {
				return err
			}
		}
		links, err := w.links(b)
		if err != nil {
			return err
		}
		for _, e := range links {
			held += e.held()
		}
		if held > maxHeld {
			return cannot("what is below %s is too deep and wide at once: more than %d links are open, or fewer with long names", root, maxHeld)
		}
		if err := room.to(held * heldMemory); err != nil {
			return err
		}
		if len(links) > 0 {
			path = append(path, level{c, depth, links})
		}
		return nil
	}
	defer func() { _ = q.share.Grow(-room.bytes) }() // what is given back is taken
	if err := open(root, 1); err != nil {
		return err
	}
	for len(path) > 0 {
		if err := q.ctx.Err(); err != nil {
			return err
		}
		top := &path[len(path)-1]
		from, depth, next := top.from, top.depth, top.links[0]
		top.links[0] = edge{} // its name is not held any more
		if top.links = top.links[1:]; len(top.links) == 0 {
			path = path[:len(path)-1]
		}
		held -= next.held()
		deeper, err := w.enter(from, next, depth)
		if err != nil {
			return err
		}
		if deeper {
			if err := open(next.cid, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// linksOf is walk.links for every codec that can be pinned.
func (q *call) linksOf(b blocks.Block) ([]edge, error) {
	cids, err := q.Links(b.Cid(), b.RawData())
	edges := make([]edge, len(cids))
	for i, c := range cids {
		edges[i].cid = c
	}
	return edges, err
}

// namedLinks is walk.links with the names of the links.
func (q *call) namedLinks(b blocks.Block) ([]edge, error) {
	nd, err := q.dag.Get(q.ctx, b.Cid())
	if err != nil {
		return nil, content(err)
	}
	links := nd.Links()
	edges := make([]edge, len(links))
	for i, l := range links {
		edges[i] = edge{name: l.Name, cid: l.Cid}
	}
	return edges, nil
}

package rpc

import (
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

const (
	// maxSeen is how many CIDs a call remembers, in about 25 MiB.
	maxSeen = 250_000
	// maxHeld is how many links a walk holds that it has not followed yet, in about as
	// much. A file of 1 TiB in blocks of 4 KiB, read in order, has 20,000; a chain of the
	// largest blocks there are would take gigabytes.
	maxHeld = 400_000
)

// edge is a link of a block.
type edge struct {
	name string // of dag-pb; "" where it does not matter
	size uint64 // as the link says; 0 where it does not matter
	cid  cid.Cid
}

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
		links []edge
	}
	var (
		path []level // from the root down, with the links that are left
		held int
	)
	open := func(c cid.Cid) error {
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
		if held += len(links); held > maxHeld {
			return cannot("what is below %s is too deep and wide at once: more than %d links are open", root, maxHeld)
		}
		path = append(path, level{c, links})
		return nil
	}
	if err := open(root); err != nil {
		return err
	}
	for len(path) > 0 {
		if err := q.ctx.Err(); err != nil {
			return err
		}
		top := &path[len(path)-1]
		if len(top.links) == 0 {
			path = path[:len(path)-1]
			continue
		}
		next := top.links[0]
		top.links = top.links[1:]
		held--
		deeper, err := w.enter(top.from, next, len(path))
		if err != nil {
			return err
		}
		if deeper {
			if err := open(next.cid); err != nil {
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

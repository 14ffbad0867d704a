package rpc

import (
	"bytes"
	"errors"
	"time"

	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipldlegacy "github.com/ipfs/go-ipld-legacy"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/multicodec"
	"github.com/ipld/go-ipld-prime/traversal"
	code "github.com/multiformats/go-multicodec"

	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const typeCAR = "application/vnd.ipld.car"

// dagExport sends a DAG as a CARv1. Its blocks are in the order in which the links of the DAG
// have them, each once.
func dagExport(q *call) (err error) {
	f, err := q.findBlock(q.args[0])
	if err != nil {
		return err
	}
	seen := q.Seen()
	defer func() { err = errors.Join(err, seen.Close()) }()
	cfg := dagcar.Config{Source: q.Below, Links: q.carLinks, Seen: seen, Share: q.share}
	if cfg.Source == nil {
		cfg.Source = dagcar.From(q.Blocks)
	}
	raw := q.out.raw(typeCAR, -1)
	if err := dagcar.Write(q.ctx, raw, dagcar.Link{CID: f.cid}, cfg); err != nil {
		return err
	}
	raw.end()
	return nil
}

func (q *call) carLinks(from dagcar.Link, data []byte) ([]dagcar.Link, error) {
	cids, err := q.Links(from.CID, data)
	links := make([]dagcar.Link, len(cids))
	for i, c := range cids {
		links[i].CID = c
	}
	return links, err
}

// dagGet sends a node, or a part of one, under another codec.
func dagGet(q *call) error {
	codec := code.DagJson
	if name, given := q.values["output-codec"]; given {
		if err := codec.Set(name); err != nil {
			return refuse("parameter \"output-codec\": %v", err)
		}
	}
	encode, err := multicodec.LookupEncoder(uint64(codec))
	if err != nil {
		return refuse("invalid encoding: %s - %v", codec, err)
	}
	f, err := q.find(q.args[0])
	if err != nil {
		return err
	}
	nd, err := q.dag.Get(q.ctx, f.cid)
	if err != nil {
		return content(err)
	}
	universal, ok := nd.(ipldlegacy.UniversalNode)
	if !ok {
		return cannot("%T is not a valid IPLD node", nd)
	}
	final := universal.(datamodel.Node)
	if len(f.rest) > 0 {
		if final, err = traversal.Get(final, datamodel.ParsePath(path.SegmentsToString(f.rest...))); err != nil {
			return content(err)
		}
	}
	// The node takes far more memory than its text, so it is not held while the client reads.
	var text bytes.Buffer
	if err := encode(final, &text); err != nil {
		return content(err)
	}
	nd, universal, final = nil, nil, nil
	q.share.Only(int64(text.Cap()))
	raw := q.out.raw(textPlain, -1)
	if _, err := raw.Write(text.Bytes()); err != nil {
		return err
	}
	raw.end()
	return nil
}

type dagStats struct {
	Cid       string
	Size      uint64 `json:",omitempty"`
	NumBlocks uint64 `json:",omitempty"`
}

type dagSummary struct {
	redundant    uint64
	UniqueBlocks uint64      `json:",omitempty"`
	TotalSize    uint64      `json:",omitempty"`
	SharedSize   uint64      `json:",omitempty"`
	Ratio        float32     `json:",omitempty"`
	DagStats     []*dagStats `json:",omitempty"`
}

// progressEvery is how often dag/stat tells how far it is.
const progressEvery = 200 * time.Millisecond

// dagStat tells how many blocks and bytes DAGs have. Of the root of a pin that is known.
func dagStat(q *call) error {
	var (
		sum   dagSummary
		all   = map[cid.Cid]struct{}{} // of all roots
		told  = time.Now()
		sums  = high{share: q.share}
		shows = q.values.is("progress", true)
	)
	for _, arg := range q.args {
		f, err := q.findBlock(arg)
		if err != nil {
			return err
		}
		stats := &dagStats{Cid: q.cids.Encode(f.cid)}
		sum.DagStats = append(sum.DagStats, stats)
		owned := f.pin
		if q.local != nil { // where reading asks for no pin
			if owned, err = q.pinOf(pin.DAGOf(f.cid)); err != nil {
				return err
			}
		}
		if len(q.args) == 1 && owned != nil && owned.Totals.Blocks > 0 {
			stats.NumBlocks, stats.Size = owned.Totals.Blocks, owned.Totals.Bytes
			sum.UniqueBlocks, sum.TotalSize, sum.redundant = stats.NumBlocks, stats.Size, stats.Size
			break
		}
		own := map[cid.Cid]struct{}{f.cid: {}}
		err = walk{
			links: q.linksOf,
			enter: func(_ cid.Cid, e edge, _ int) (bool, error) {
				if _, again := own[e.cid]; again {
					return false, nil
				}
				own[e.cid] = struct{}{}
				if len(own)+len(all) > maxSeen {
					return false, cannot("more than %d blocks are not counted, other than for the root of one pin", maxSeen)
				}
				return true, sums.to((len(own) + len(all)) * seenMemory)
			},
			got: func(b blocks.Block) error {
				size := uint64(len(b.RawData()))
				stats.NumBlocks++
				stats.Size += size
				sum.redundant += size
				if _, again := all[b.Cid()]; !again {
					sum.UniqueBlocks++
					sum.TotalSize += size
					all[b.Cid()] = struct{}{}
				}
				if !shows || time.Since(told) < progressEvery {
					return nil
				}
				told = time.Now()
				return q.out.emit(dagSummary{TotalSize: sum.TotalSize, DagStats: sum.DagStats})
			},
		}.run(q, f.cid)
		if err != nil {
			return err
		}
	}
	sum.SharedSize = sum.redundant - sum.TotalSize
	sum.Ratio = 1
	if sum.TotalSize > 0 {
		sum.Ratio = float32(sum.redundant) / float32(sum.TotalSize)
	}
	if err := q.out.emit(sum); err != nil {
		return err
	}
	q.out.end()
	return nil
}

package rpc

import (
	"math"
	"strings"

	"github.com/ipfs/go-cid"
)

type ref struct{ Ref, Err string }

// linkName stands for the name of a link in a format. A format may have it hundreds of times, and a name
// may be as long as a block: so what all of them have in a line is bounded by one of the longest.
const linkName = "<linkname>"

// refs lists what blocks link to.
func refs(q *call) error {
	format, given := q.values["format"]
	if !given {
		format = "<dst>"
	}
	if q.values.is("edges", false) {
		if format != "<dst>" {
			return refuse("using format argument with edges is not allowed")
		}
		format = "<src> -> <dst>"
	}
	named := strings.Count(format, linkName)
	depth := q.values.number("max-depth", -1)
	if depth < 0 {
		depth = math.MaxInt64
	}
	if !q.values.is("recursive", false) {
		depth = 1
	}
	roots := make([]cid.Cid, len(q.args))
	for i, arg := range q.args {
		f, err := q.findBlock(arg)
		if err != nil {
			return err
		}
		roots[i] = f.cid
	}
	var seen map[cid.Cid]int64 // how far below a root; nil if none are left out
	if q.values.is("unique", false) {
		seen = map[cid.Cid]int64{}
	}
	remembered := high{share: q.share}
	list := walk{links: q.namedLinks, enter: func(from cid.Cid, e edge, level int) (bool, error) {
		at := int64(level)
		if at > depth {
			return false, nil
		}
		before, again := seen[e.cid]
		if again && (depth == math.MaxInt64 || before <= at) {
			return false, nil
		}
		if seen != nil {
			if seen[e.cid] = at; len(seen) > maxSeen {
				return false, cannot("more than %d refs cannot be told apart: leave out unique", maxSeen)
			}
			if err := remembered.to(len(seen) * seenMemory); err != nil {
				return false, err
			}
		}
		if again { // it was listed, and was too far down to be followed to the end
			return at < depth, nil
		}
		if named*len(e.name) > maxBlock {
			return false, cannot("the name %q of a link is too long to be listed %d times in a line", shorten(e.name), named)
		}
		line := strings.NewReplacer("<src>", q.cids.Encode(from), "<dst>", q.cids.Encode(e.cid), linkName, e.name).Replace(format)
		return at < depth, q.out.emit(ref{Ref: line})
	}}
	for _, root := range roots {
		if err := list.run(q, root); err != nil {
			return err
		}
	}
	q.out.end()
	return nil
}

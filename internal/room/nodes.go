package room

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"weak"
)

const (
	// MaxOpen is what one call may hold in memory of nodes that have links. Who reads a file or a
	// directory holds those on the way to the place where it reads, and some beside them. With 16,384
	// links in each, the most that can be uploaded, that is 40 MiB.
	MaxOpen = 64 << 20
	// linkMemory is what a link takes in memory beside its bytes in the block.
	linkMemory = 128
)

// Nodes are the nodes with links that a call holds of a DAG. The maker of a DAG chooses how deep it is, and
// boxo's readers hold all nodes on the way down. Its methods may be called concurrently.
type Nodes struct {
	share *Share
	max   int

	mu      sync.Mutex
	nodes   []openNode
	bytes   int // of nodes
	charged int // bytes of those that were held at the last look
}

// openNode is a node that was read.
type openNode struct {
	gone  func() bool
	bytes int
}

// NewNodes begins a call, which may hold max bytes of nodes, of its share. They count for that
// beyond what it needs for other things.
func NewNodes(s *Share, max int) *Nodes { return &Nodes{share: s, max: max} }

// TooDeepError says that a DAG is too deep and wide to be read.
type TooDeepError struct{ Max int }

func (e *TooDeepError) Error() string {
	return fmt.Sprintf("what is read is too deep and wide at once: the nodes on the way to it take more than %d bytes of memory", e.Max)
}

// step is how many bytes of nodes are read between two looks at which of them are held.
const step = 2 << 20

// NodeMemory is what a node of dag-pb takes in memory, of a block with so many bytes and links.
func NodeMemory(bytes, links int) int64 { return int64(bytes) + int64(links)*linkMemory }

// Gone is for [Nodes.Open]: whether what p points to is not held any more.
func Gone[T any](p *T) func() bool {
	w := weak.Make(p)
	return func() bool { return w.Value() == nil }
}

// Open notes a node, of a block with so many bytes and links. gone reports whether it is not held any more, which
// is known after a collection of garbage. There are many by themselves; one is asked for when it seems that too much
// is held. Errors: *TooDeepError; ErrFull.
func (o *Nodes) Open(gone func() bool, bytes, links int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := openNode{gone, int(NodeMemory(bytes, links))}
	o.nodes = append(o.nodes, n)
	if o.bytes += n.bytes; o.bytes < o.charged+step {
		return nil
	}
	if o.look() == nil {
		return nil
	}
	runtime.GC()
	return o.look()
}

// look forgets the nodes that are not held any more, and charges the others.
func (o *Nodes) look() error {
	o.nodes = slices.DeleteFunc(o.nodes, func(n openNode) bool {
		gone := n.gone()
		if gone {
			o.bytes -= n.bytes
		}
		return gone
	})
	if o.bytes > o.max {
		return &TooDeepError{o.max}
	}
	if err := o.share.Grow(int64(o.bytes - o.charged)); err != nil {
		return err
	}
	o.charged = o.bytes
	return nil
}

// Package dagcar writes DAGs as CARs (https://ipld.io/specs/transport/car/carv1/): each block
// before what it links to, in the order of the links. It reads ahead of the client, many blocks
// in one look at the store, in bounded memory.
//
// What a stream holds is two pieces of [pieceSize] or a block each, the links on the way down
// that it has not followed, up to [maxHeld] of them, and what the caller's [Seen] takes.
package dagcar

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/multiformats/go-multihash"
)

const (
	// pieceSize is how much is read, and then written, at once. Larger pieces are no faster.
	pieceSize = 256 << 10
	// maxHeld is how many links are kept that were not followed yet, in about 40 MiB. A file of
	// 1 TiB in blocks of 4 KiB has 20,000 of them. Of further ones only the place is kept, and
	// their block is read again.
	maxHeld = 400_000
	// maxDepth is how many blocks may be above a block that have further links. A file or a
	// directory has some tens.
	maxDepth = 100_000
	// maxAgain is how many blocks are entered that may have been before. A part of a file has
	// two on each level, those at its ends.
	maxAgain = 2 * maxDepth
)

// Source calls use once with read, which gives the bytes of blocks of the DAG of root. read puts
// them into the memory that room gives for their number, from its beginning, if its capacity is
// large enough. It is for one goroutine, and until use returns. The error is read's or use's.
type Source func(ctx context.Context, root cid.Cid, use func(read func(c cid.Cid, room func(size int) []byte) ([]byte, error)) error) error

// From is a Source that reads one block after the other.
func From(b blockstore.Blockstore) Source {
	return func(ctx context.Context, _ cid.Cid, use func(func(cid.Cid, func(int) []byte) ([]byte, error)) error) error {
		return use(func(c cid.Cid, room func(int) []byte) ([]byte, error) {
			block, err := b.Get(ctx, c)
			if err != nil {
				return nil, err
			}
			data := block.RawData()
			return append(room(len(data))[:0], data...), nil
		})
	}
}

// Seen is a map from multihashes to numbers. 0 means that one is not there.
type Seen interface {
	Get(multihash.Multihash) (uint64, error)
	Put(multihash.Multihash, uint64) error
	Close() error
}

// Link is a link to follow.
type Link struct {
	CID cid.Cid
	// At is for Config.Links alone, such as the place of the block in a file.
	At int64
	// Again is for a block of which Config.Links lists other links at another place. It is
	// entered however often it was, and does not count as entered. It is for Config.ByHash
	// alone, and for few links: [Write] enters maxAgain of them at most.
	Again bool
}

// Block is a block that was read.
type Block struct {
	CID  cid.Cid
	Data []byte
}

// Config is which blocks are written.
type Config struct {
	Source Source
	// Links lists the links of a block that are to be followed, in order. It may be called
	// again for a block, and must not keep its bytes.
	Links func(from Link, data []byte) ([]Link, error)
	// Seen remembers what was written, so that a block is written once under each CID. It is
	// for one stream, and the caller closes it. Nil writes a block each time that a link leads
	// to it.
	Seen Seen
	// ByHash is the way of gateways: a block is written once under whatever CID, if Seen is not
	// nil, and none that is within its CID is written.
	ByHash bool
	// As gives the CID that a block of the DAG is written under, and whether it is written at all; its
	// links are followed whatever it says. Nil writes each under its own.
	As func(c cid.Cid) (as cid.Cid, write bool)
	// Share is what the links that are kept count for. If there is no room for them, fewer are kept. Nil is
	// without a limit.
	Share interface{ Grow(bytes int64) error }
	// Before are blocks that come before those of the DAG.
	Before []Block
}

// Write writes the DAG of root as a CARv1 with that root. Nothing is written before the root was
// read. An error may come behind any part of the CAR: what was written may then look like a
// shorter one, so the caller must tell its client. Write uses nothing of cfg any more when it
// returns. It panics with what a function of cfg panics with.
func Write(ctx context.Context, w io.Writer, root Link, cfg Config) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{Config: cfg, ctx: ctx, root: root, maxHeld: maxHeld, full: make(chan piece), free: make(chan []byte, 2)}
	s.free <- nil
	s.free <- nil
	go s.read()
	defer func() {
		cancel()
		for p := range s.full { // read ends
			if p.panicked != nil {
				panic(p.panicked)
			}
		}
	}()
	for p := range s.full {
		if p.panicked != nil {
			panic(p.panicked)
		}
		if len(p.data) > 0 {
			if _, err := w.Write(p.data); err != nil {
				return err
			}
		}
		if p.err != nil {
			return p.err
		}
		s.free <- p.data[:0]
	}
	return ctx.Err()
}

// piece is a part of the CAR.
type piece struct {
	data     []byte
	err      error // it came after the data
	panicked error
}

// stream is a CAR that is being written.
type stream struct {
	Config
	ctx     context.Context
	root    Link
	maxHeld int
	full    chan piece  // closed at the end
	free    chan []byte // memory for pieces

	buf    []byte // the piece that is being filled
	path   []level
	held   int      // links in path
	share  int64    // bytes of Config.Share
	again  int      // blocks that were entered as Link.Again
	codecs []uint64 // that were seen; the place of each is its bit in a number of Seen
}

// level is a block on the way down, and the links of it that are left.
type level struct {
	from  Link
	links []Link
	next  int  // of the links of the block, the first that is left
	away  bool // links were let go of
}

// read fills pieces until the end. If Write does not want any more, ctx has ended.
func (s *stream) read() {
	defer close(s.full)
	var last piece
	defer func() {
		if p := recover(); p != nil {
			last = piece{panicked: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
		if last.err != nil || last.panicked != nil {
			s.full <- last // Write takes all that comes
		}
	}()
	s.path = []level{{links: []Link{s.root}}}
	s.held = 1
	begun := false
	for len(s.path) > 0 {
		select {
		case s.buf = <-s.free:
		case <-s.ctx.Done():
			last.err = s.ctx.Err()
			return
		}
		var err error
		if !begun {
			err = s.begin()
		}
		if err == nil {
			err = s.Source(s.ctx, s.root.CID, s.fill)
		}
		if err != nil && !begun {
			s.buf = s.buf[:0] // the root was not read
		}
		begun = true
		if err != nil {
			last = piece{data: s.buf, err: err}
			return
		}
		s.full <- piece{data: s.buf}
	}
}

// begin writes what comes before the DAG.
func (s *stream) begin() error {
	nd, err := qp.BuildMap(basicnode.Prototype.Any, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "roots", qp.List(1, func(l datamodel.ListAssembler) { qp.ListEntry(l, qp.Link(cidlink.Link{Cid: s.root.CID})) }))
		qp.MapEntry(m, "version", qp.Int(1))
	})
	if err != nil {
		return err
	}
	header, err := ipld.Encode(nd, dagcbor.Encode)
	if err != nil {
		return err
	}
	s.buf = append(binary.AppendUvarint(s.buf, uint64(len(header))), header...)
	for _, b := range s.Before {
		write, _, err := s.isNew(Link{CID: b.CID}, true)
		if err != nil {
			return err
		}
		if write {
			s.buf = append(section(s.buf, b.CID, len(b.Data)), b.Data...)
		}
	}
	return nil
}

// section begins a section of the CAR, for a block of size bytes that are to be appended.
func section(buf []byte, c cid.Cid, size int) []byte {
	id := c.Bytes()
	buf = slices.Grow(buf, binary.MaxVarintLen64+len(id)+size)
	return append(binary.AppendUvarint(buf, uint64(len(id)+size)), id...)
}

// fill reads blocks until the piece is full.
func (s *stream) fill(read func(cid.Cid, func(int) []byte) ([]byte, error)) error {
	for len(s.path) > 0 && len(s.buf) < pieceSize {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		top := &s.path[len(s.path)-1]
		if top.away {
			if err := s.readAgain(read, top); err != nil {
				return err
			}
		}
		if len(top.links) == 0 {
			s.path = s.path[:len(s.path)-1]
			continue
		}
		link := top.links[0]
		top.links = top.links[1:]
		top.next++
		s.held--
		if len(top.links) == 0 { // a chain of blocks takes no memory
			s.path = s.path[:len(s.path)-1]
		}
		if err := s.visit(read, link); err != nil {
			return err
		}
	}
	return s.charge() // links were followed since
}

// visit writes a block and opens its links.
func (s *stream) visit(read func(cid.Cid, func(int) []byte) ([]byte, error), link Link) error {
	write, enter, err := s.isNew(link, false)
	if err != nil || !write && !enter {
		return err
	}
	as := link.CID
	if s.As != nil {
		ok := false
		as, ok = s.As(link.CID)
		write = write && ok
	}
	// The bytes come to where they belong, behind the head of their section.
	data, err := read(link.CID, func(size int) []byte {
		head := section(s.buf, as, size)
		s.buf = head[:len(s.buf)]
		return head[len(head):]
	})
	if err != nil {
		return fmt.Errorf("read block %s: %w", link.CID, err)
	}
	if write {
		s.buf = section(s.buf, as, len(data))
		if n := len(s.buf); len(data) > 0 && cap(s.buf) > n && &s.buf[:n+1][n] == &data[0] { // as it should be
			s.buf = s.buf[:n+len(data)]
		} else {
			s.buf = append(s.buf, data...)
		}
	}
	if !enter {
		return nil
	}
	links, err := s.Links(link, data)
	if err != nil || len(links) == 0 {
		return err
	}
	if len(s.path) >= maxDepth {
		return fmt.Errorf("block %s is deeper in the DAG than can be followed", link.CID)
	}
	s.path = append(s.path, level{from: link, links: links})
	if s.held += len(links); s.held <= s.maxHeld && s.charge() == nil {
		return nil
	}
	s.letGo()
	return s.charge()
}

// linkMemory is what a link takes in memory.
const linkMemory = 100

// charge counts the links that are kept. The error is Config.Share's: there is no room.
func (s *stream) charge() error {
	if s.Share == nil {
		return nil
	}
	more := int64(s.held)*linkMemory - s.share
	err := s.Share.Grow(more)
	if err == nil {
		s.share += more
	}
	return err
}

// letGo lets go of the links of the levels that are needed last, all but those of the last two.
func (s *stream) letGo() {
	for i := range s.path[:max(0, len(s.path)-2)] {
		l := &s.path[i]
		if l.away {
			continue
		}
		s.held -= len(l.links)
		l.links, l.away = nil, true
	}
}

// readAgain gives a level its links back.
func (s *stream) readAgain(read func(cid.Cid, func(int) []byte) ([]byte, error), l *level) error {
	data, err := read(l.from.CID, func(size int) []byte { return make([]byte, 0, size) })
	if err != nil {
		return fmt.Errorf("read block %s: %w", l.from.CID, err)
	}
	links, err := s.Links(l.from, data)
	if err != nil {
		return err
	}
	if l.next > len(links) {
		return fmt.Errorf("block %s has other links than before", l.from.CID)
	}
	l.links, l.away = links[l.next:], false
	s.held += len(l.links)
	return s.charge()
}

// maxCodecs is how many codecs and versions of CIDs a DAG may have: each is a bit, and one more
// says that a block was written without being entered, or without counting as entered.
const maxCodecs = 63

// isNew reports whether a block is to be written, and whether its links are to be followed. It
// remembers that this was done. A block that comes before the DAG is only written.
func (s *stream) isNew(link Link, before bool) (write, enter bool, err error) {
	c := link.CID
	inline := s.ByHash && c.Prefix().MhType == multihash.IDENTITY
	if s.Seen == nil {
		return !inline, !before, nil
	}
	bit := uint64(1) << maxCodecs
	if link.Again {
		if s.again++; s.again > maxAgain {
			return false, false, fmt.Errorf("the part of the file has more than %d blocks at its ends", maxAgain)
		}
	} else if !before {
		codec := c.Type()<<1 | c.Version()
		i := slices.Index(s.codecs, codec)
		if i < 0 {
			if i = len(s.codecs); i == maxCodecs {
				return false, false, errors.New("the DAG has too many codecs to be followed")
			}
			s.codecs = append(s.codecs, codec)
		}
		bit = 1 << i
	}
	seen, err := s.Seen.Get(c.Hash())
	if err != nil || seen&bit != 0 {
		return false, err == nil && link.Again, err
	}
	write = !inline && (seen == 0 || !s.ByHash)
	return write, !before, s.Seen.Put(c.Hash(), seen|bit)
}

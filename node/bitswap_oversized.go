package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/encoding/protowire"
)

// Anybody may claim that a block is too large to be sent. So a message that is too large is
// read through without being kept, and the block in it is hashed: what has the hash of the
// CID is that block, and then its size is known for sure.

const (
	// Of longer messages nothing is read: 64 MiB take some 10 s on a usual line.
	oversizedMost = 64 << 20
	// What a message has around one block is less than this, by far.
	envelopeMost = 1 << 10
	// The fields of a message and of the blocks in it:
	// https://specs.ipfs.tech/bitswap-protocol/#bitswap-1-1-0-wire-format
	fieldPayload, fieldData = 3, 2
)

var errNotProven = errors.New("the message is not one block that is too large")

// provenSize reads a message of so many bytes, and gives the size of the wanted block if
// the message is that block and little else.
func provenSize(r io.Reader, length uint64, want cid.Cid) (size uint64, err error) {
	if length > oversizedMost {
		return 0, errNotProven
	}
	in := bufio.NewReaderSize(io.LimitReader(r, int64(length)), readPiece)
	for {
		field, n, err := nextBytes(in)
		switch {
		case errors.Is(err, io.EOF):
			return 0, errNotProven
		case err != nil:
			return 0, err
		}
		if field != fieldPayload || n+envelopeMost < length {
			if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
				return 0, err
			}
			continue
		}
		return blockSize(bufio.NewReader(io.LimitReader(in, int64(n))), want)
	}
}

// blockSize reads a block of a message.
func blockSize(in *bufio.Reader, want cid.Cid) (size uint64, err error) {
	prefix := want.Prefix()
	hasher, err := multihash.GetHasher(prefix.MhType)
	if err != nil {
		return 0, err
	}
	for {
		field, n, err := nextBytes(in)
		if err != nil {
			return 0, err
		}
		if field != fieldData {
			if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
				return 0, err
			}
			continue
		}
		if _, err := io.CopyN(hasher, in, int64(n)); err != nil {
			return 0, err
		}
		digest, err := multihash.Decode(want.Hash())
		if err != nil {
			return 0, err
		}
		if sum := hasher.Sum(nil); len(digest.Digest) == 0 || !bytes.HasPrefix(sum, digest.Digest) {
			return 0, errNotProven
		}
		return n, nil
	}
}

// nextBytes reads up to the next field that is bytes, and gives its number and length.
func nextBytes(in *bufio.Reader) (field protowire.Number, n uint64, err error) {
	for {
		tag, err := binary.ReadUvarint(in)
		if err != nil {
			return 0, 0, err
		}
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return 0, 0, fmt.Errorf("read field %d of a message: %w", tag, err)
		}
		switch field, kind := protowire.DecodeTag(tag); kind {
		case protowire.BytesType:
			if n > oversizedMost {
				return 0, 0, errNotProven
			}
			return field, n, nil
		case protowire.VarintType:
		default:
			return 0, 0, errNotProven
		}
	}
}

// tooLarge takes note of a message that is longer than any may be, and is not read as one.
func (s *meteredStream) tooLarge(length uint64) {
	if s.reads.tooLarge == nil {
		return
	}
	want := s.reads.tooLarge(s.peer, length)
	if !want.Defined() {
		return
	}
	if size, err := provenSize(&punctual{stream: s}, length, want); err == nil {
		s.reads.proven(s.peer, want, size)
	}
}

// punctual reads a stream of which something has to go on coming.
type punctual struct {
	stream *meteredStream
	piece  int // what may come before the deadline is put off
}

func (p *punctual) Read(b []byte) (int, error) {
	if p.piece <= 0 {
		p.piece = readPiece
		p.stream.deadline(time.Now().Add(readStall))
	}
	n, err := p.stream.Stream.Read(b)
	p.piece -= n
	return n, err
}

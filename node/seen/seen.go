// Package seen remembers what a walk has seen: for each multihash a small number, exactly, in
// bounded memory. It is a log-structured merge tree without deletions, which lasts as long as
// the walk. What does not fit in memory is in sorted runs in files. Each run has a Bloom
// filter in memory. When there are many runs, they are merged.
//
// A multihash is kept as 16 bytes of its hash under a key, which is new for each set. Among 5
// million multihashes the chance that two look the same is 2^-85, and nobody can choose
// blocks so that they do.
package seen

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
)

const (
	keySize   = 16
	entrySize = keySize + 8

	// A lookup asks each run, so runs are merged when there are this many.
	mostRuns = 8

	// Bits of a Bloom filter for each entry, and how many of them an entry sets: one look in a
	// hundred is in vain.
	bloomBits   = 10
	bloomHashes = 7
)

type key [keySize]byte

// Set is a map from multihashes to numbers. It is for one goroutine. The caller
// closes it.
type Set struct {
	dir      string
	room     tempfile.Room
	most     func() int
	secret   [16]byte
	fresh    map[key]uint64
	runs     []*run // the newest last
	len      int
	onSpill  func() // called before a run is written, in tests; nil does nothing
	hashable []byte
}

// New makes an empty set. It keeps as many entries in memory, of about 45 bytes each, as most
// says at the time. Others are in files in dir, which go with the process.
func New(dir string, most func() int) *Set {
	s := &Set{dir: dir, most: most, fresh: make(map[key]uint64)}
	_, _ = rand.Read(s.secret[:]) // never fails
	return s
}

// Within has the files grow only while there is room for them. It returns the set, and is called before
// any other method. Put fails with the error of room.
func (s *Set) Within(room tempfile.Room) *Set {
	s.room = room
	return s
}

// Len is how many multihashes the set has.
func (s *Set) Len() int { return s.len }

// Get gives the number of a multihash; 0 if it is not there.
func (s *Set) Get(h multihash.Multihash) (uint64, error) {
	v, _, err := s.get(s.key(h))
	return v, err
}

// Put sets the number of a multihash.
func (s *Set) Put(h multihash.Multihash, v uint64) error {
	k := s.key(h)
	if _, ok := s.fresh[k]; !ok && len(s.runs) > 0 {
		_, found, err := s.get(k)
		if err != nil {
			return err
		}
		if !found {
			s.len++
		}
	} else if !ok {
		s.len++
	}
	s.fresh[k] = v
	if len(s.fresh) < s.most() {
		return nil
	}
	return s.spill()
}

// Close frees the memory and the disk space of the set.
func (s *Set) Close() error {
	var errs []error
	for _, r := range s.runs {
		errs = append(errs, r.file.Close())
	}
	s.runs, s.fresh = nil, nil
	return errors.Join(errs...)
}

func (s *Set) key(h multihash.Multihash) (k key) {
	s.hashable = append(append(s.hashable[:0], s.secret[:]...), h...)
	sum := sha256.Sum256(s.hashable)
	copy(k[:], sum[:])
	return k
}

func (s *Set) get(k key) (v uint64, found bool, err error) {
	if v, found := s.fresh[k]; found {
		return v, true, nil
	}
	for _, r := range slices.Backward(s.runs) {
		if v, found, err = r.get(k); found || err != nil {
			return v, found, err
		}
	}
	return 0, false, nil
}

// spill writes the entries in memory to a run, and merges runs if there are many.
func (s *Set) spill() error {
	if s.onSpill != nil {
		s.onSpill()
	}
	keys := make([]key, 0, len(s.fresh))
	for k := range s.fresh {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	r, err := s.write(len(keys), func(add func(key, uint64) error) error {
		for _, k := range keys {
			if err := add(k, s.fresh[k]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	clear(s.fresh)
	if len(s.runs) > mostRuns {
		return s.merge()
	}
	return nil
}

// merge makes one run of all.
func (s *Set) merge() error {
	most := 0
	from := make([]*cursor, len(s.runs))
	for i, r := range s.runs {
		most += r.len
		from[i] = &cursor{in: bufio.NewReaderSize(io.NewSectionReader(r.file, 0, int64(r.len)*entrySize), 256<<10), left: r.len}
		if err := from[i].next(); err != nil {
			return err
		}
	}
	merged, err := s.write(most, func(add func(key, uint64) error) error {
		for {
			var least *cursor
			for _, c := range from { // of equal keys the newest run's counts, which is the last
				if !c.done && (least == nil || compare(c.key, least.key) <= 0) {
					least = c
				}
			}
			if least == nil {
				return nil
			}
			k, v := least.key, least.value
			for _, c := range from {
				if !c.done && c.key == k {
					if err := c.next(); err != nil {
						return err
					}
				}
			}
			if err := add(k, v); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range s.runs {
		errs = append(errs, r.file.Close())
	}
	s.runs = []*run{merged}
	return errors.Join(errs...)
}

func compare(a, b key) int { return slices.Compare(a[:], b[:]) }

// cursor reads a run from its beginning.
type cursor struct {
	in    *bufio.Reader
	left  int
	done  bool
	key   key
	value uint64
}

func (c *cursor) next() error {
	if c.left == 0 {
		c.done = true
		return nil
	}
	c.left--
	var b [entrySize]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return fmt.Errorf("read what a walk has seen: %w", err)
	}
	copy(c.key[:], b[:])
	c.value = binary.BigEndian.Uint64(b[keySize:])
	return nil
}

// write makes a run of the entries that fill adds, at most n, in order.
func (s *Set) write(n int, fill func(add func(key, uint64) error) error) (_ *run, err error) {
	f, err := tempfile.Create(s.dir, "seen-*", s.room)
	if err != nil {
		return nil, fmt.Errorf("remember what a walk has seen: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	r := &run{file: f, filter: newBloom(n)}
	out := bufio.NewWriterSize(f, 256<<10)
	err = fill(func(k key, v uint64) error {
		r.len++
		r.filter.add(k)
		b := binary.BigEndian.AppendUint64(k[:], v)
		_, err := out.Write(b)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("write what a walk has seen: %w", err)
	}
	return r, nil
}

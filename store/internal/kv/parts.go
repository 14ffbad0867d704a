package kv

import (
	"bytes"
	"errors"
	"sync"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

const (
	// chunkSize is how many bytes of keys and values a goroutine that reads a part hands over at once.
	chunkSize = 32 << 10
	// partChunks is how many chunks of a part wait. A part has fewer, so that one goroutine can read the
	// next part while the chunks of this one are used.
	partChunks = 12
	// PartKeys is how many keys a part should have: 200 to 300 KiB.
	PartKeys = 4096
)

// chunk is some keys with their values, one after the other in buf.
type chunk struct {
	buf   []byte
	pairs []reading.Pair
}

// unread is in Pair.Value for a value that cannot be read.
const unread = -1

// part is the keys from one on, up to another; nil is the beginning and the end.
type part struct {
	from, to []byte
	chunks   chan *chunk // it is closed at the end
	err      error       // set before that
}

// Keys says about how many keys the database has: those in memory are not counted.
func (d *DB) Keys() (n int) {
	for _, t := range d.db.Tables() {
		n += int(t.KeyCount)
	}
	return n
}

// partScan is a ScanParts.
type partScan struct {
	r      *Reader
	prefix []byte
	jobs   chan *part
	free   chan *chunk
	quit   chan struct{}
}

// ScanParts is ScanEach of the keys with a prefix, of a view or a snapshot. The keys at cuts divide them into
// parts, and up to so many goroutines read one part each. A goroutine but the first ends before its next part
// if alone reports true. fn is called by the caller's goroutine.
func (r *Reader) ScanParts(prefix []byte, cuts [][]byte, readers int, alone func() bool, fn func(key, value []byte) (bool, error)) error {
	readers = min(readers, len(cuts)+1)
	ahead := 2 * readers
	s := &partScan{r, prefix, make(chan *part, ahead), make(chan *chunk, ahead*partChunks), make(chan struct{})}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(s.quit)
	for i := range readers {
		wg.Go(func() {
			for p := range s.jobs {
				p.err = s.read(p)
				close(p.chunks)
				if i > 0 && alone() {
					return
				}
			}
		})
	}
	defer close(s.jobs)
	var queue []*part
	for next := 0; ; {
		for ; len(queue) < ahead && next <= len(cuts); next++ {
			p := &part{chunks: make(chan *chunk, partChunks)}
			if next > 0 {
				p.from = cuts[next-1]
			}
			if next < len(cuts) {
				p.to = cuts[next]
			}
			queue = append(queue, p)
			s.jobs <- p // it has room
		}
		if len(queue) == 0 {
			return nil
		}
		for c := range queue[0].chunks {
			if more, err := c.each(fn); err != nil || !more {
				return err
			}
			select {
			case s.free <- c:
			default:
			}
		}
		if err := queue[0].err; err != nil {
			return err
		}
		queue = queue[1:]
	}
}

func (c *chunk) each(fn func(key, value []byte) (bool, error)) (more bool, err error) {
	for _, p := range c.pairs {
		end := keyEnd(p)
		key, value := c.buf[p.Key:end:end], []byte(nil)
		if p.Value != unread {
			value = c.buf[p.Value:p.End:p.End]
		}
		if more, err = fn(key, value); err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// take gives a chunk to fill.
func (s *partScan) take() *chunk {
	select {
	case c := <-s.free:
		c.buf, c.pairs = c.buf[:0], c.pairs[:0]
		return c
	default:
		return &chunk{buf: make([]byte, 0, chunkSize+chunkSize/2)}
	}
}

// read reads a part.
func (s *partScan) read(p *part) error {
	c := s.take()
	var last []byte // the key up to which all was read
	send := func() bool {
		if len(c.pairs) == 0 {
			return true
		}
		end := c.pairs[len(c.pairs)-1]
		last = append(last[:0], c.buf[end.Key:keyEnd(end)]...)
		select {
		case p.chunks <- c:
			c = s.take()
			return true
		case <-s.quit:
			return false
		}
	}
	from := p.from
	if from == nil {
		from = s.prefix
	}
	err := reading.AppendRange(s.r.Txn, s.prefix, from, p.to, c.buf, func(buf []byte, pairs []reading.Pair) ([]byte, bool) {
		c.buf, c.pairs = buf, append(c.pairs, pairs...)
		if len(c.buf) < chunkSize {
			return c.buf, true
		}
		more := send()
		return c.buf, more
	})
	if !send() || err == nil {
		return nil
	}
	if !errors.Is(err, diskerr.ErrUnreadable) {
		return err
	}
	// The rest as ScanEach does it, which goes on after values that cannot be read.
	sp, done := Span{Prefix: s.prefix, From: p.from}, bytes.Clone(last)
	if done != nil {
		sp.From = done
	}
	err = s.r.ScanEach(sp, func(key, value []byte) (bool, error) {
		if p.to != nil && bytes.Compare(key, p.to) >= 0 {
			return false, nil
		}
		if done != nil && bytes.Equal(key, done) {
			return true, nil
		}
		pair := reading.Pair{Key: len(c.buf), Value: unread}
		c.buf = append(c.buf, key...)
		if value != nil {
			pair.Value = len(c.buf)
			c.buf = append(c.buf, value...)
		}
		pair.End = len(c.buf)
		c.pairs = append(c.pairs, pair)
		return len(c.buf) < chunkSize || send(), nil
	})
	send()
	return err
}

// keyEnd is where the key of a pair ends.
func keyEnd(p reading.Pair) int {
	if p.Value == unread {
		return p.End
	}
	return p.Value
}

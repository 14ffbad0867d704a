package space

import (
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Badger writes a batch by copying it into the newest file of the value log, which is mapped, and by
// syncing that. For a batch of much data two things are done around it. Neither promises anything: the
// sync of the batch does that as before.
//
// Before the batch is copied, zeros are written to where it will be. Without that every few copied
// pages would be a fault, for which Linux fills a piece of the file with zeros. Such a piece may go on
// for a MiB behind the end of the batch, and would be written with this batch and again with the next.
//
// While it is copied, a goroutine has the system begin to write to disk what was copied so far. Else
// the disk would do nothing while a batch is copied, and the processor nothing while it is synced.

const (
	// earlyPiece is how much the system is told to write at a time. Linux keeps a file in pieces
	// of up to 2 MiB, and writes each as a whole. If it began with one that is not full yet, it
	// would write it twice.
	earlyPiece = 2 << 20
	// earlyLook is the time between two looks. A piece is copied in some two milliseconds.
	earlyLook = time.Millisecond
	// earlyStill is how many looks in a row find nothing new before nobody looks any more: the
	// batch is copied, and is being synced.
	earlyStill = 4
	// entryRoom is the maximum that an entry of the value log has beside key and value: a header,
	// the version, a checksum.
	entryRoom = reading.EntryHeader + 8 + crc32.Size
)

// early knows of the batches of much data, and has the goroutine.
type early struct {
	dir     string
	end     func() (file uint32, end int64) // of the value log
	bytes   atomic.Int64                    // that the batches take there that are being written
	wake    chan struct{}                   // holds one token when one is about to be copied
	quit    chan struct{}
	stopped sync.Once
	ended   chan struct{}
	start   func(f *os.File, from, n int64)
}

func newEarly(dir string, end func() (uint32, int64)) *early {
	e := &early{
		dir: dir, end: end, start: startWriting,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go e.run()
	return e
}

// begin says that a batch of so many long values is being written, of so many bytes with their keys,
// until done is called.
func (e *early) begin(values, bytes int) (done func()) {
	room := int64(bytes) + int64(values)*entryRoom
	e.bytes.Add(room)
	return func() { e.bytes.Add(-room) }
}

// makeRoom writes zeros to where the batches of much data will be that are being written. Badger's
// goroutine that writes calls it, so nothing else is written to the value log meanwhile.
func (s *Space) makeRoom() {
	if s.early != nil {
		s.early.makeRoom()
	}
}

func (e *early) makeRoom() {
	bytes := e.bytes.Load()
	if bytes == 0 {
		return
	}
	file, end := e.end()
	f, err := os.OpenFile(filepath.Join(e.dir, logName(file)), os.O_RDWR, 0)
	if err != nil {
		return // the write, or its sync, says what is wrong
	}
	defer f.Close()
	writeZeros(f, end, end+bytes)
	e.look()
}

// look has the goroutine look at what is copied.
func (e *early) look() {
	select {
	case e.wake <- struct{}{}:
	default: // it will
	}
}

// stop ends the goroutine. It may be called twice.
func (e *early) stop() {
	e.stopped.Do(func() { close(e.quit) })
	<-e.ended
}

func (e *early) run() {
	defer close(e.ended)
	for {
		select {
		case <-e.wake:
			e.follow()
		case <-e.quit:
			return
		}
	}
}

// follow has the system write what is copied, until nothing more is.
func (e *early) follow() {
	var f *os.File // the newest, by a descriptor of its own
	defer func() { f.Close() }()
	file, seen := e.end()
	from := seen - seen%earlyPiece
	look := time.NewTicker(earlyLook)
	defer look.Stop()
	for still := 0; still < earlyStill; still++ {
		now, end := e.end()
		if f == nil || now != file {
			if now != file {
				file, from, seen = now, 0, 0
			}
			f.Close()
			var err error
			if f, err = os.Open(filepath.Join(e.dir, logName(file))); err != nil {
				return
			}
		}
		if end != seen {
			// Badger moves the end on and then copies an entry to there. So all before the end
			// that was seen last is copied.
			if n := (seen - from) / earlyPiece * earlyPiece; n > 0 {
				e.start(f, from, n)
				from += n
			}
			seen, still = end, 0
		}
		select {
		case <-look.C:
		case <-e.quit:
			return
		}
	}
}

package space

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4/skl"

	"github.com/holdfast-ipfs/holdfast/internal/direct"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Badger copies each value twice, the second time to a mapped file, and then waits until it is on
// disk. So where much is written to a database that nobody else uses, long values go past it: to files
// of the value log that are written here, straight to the disk, one piece while the next is filled. Where
// they are is written last, as a log of Badger's memory, which Badger replays when it opens.

const (
	// BulkLeast is the length of the shortest value that is worth it. With blocks of 4 KiB a restore
	// takes four fifths of the time; of shorter ones the keys are most of the work.
	BulkLeast = 4 << 10
	// bulkPiece is how much is written to the disk at once. bulkPieces of them are in memory.
	bulkPiece, bulkPieces = 8 << 20, 2

	// bulkMemories is how many of Badger's memories the keys fill: when it opens, all of them are in memory.
	bulkMemories = 4

	// bulkFile is how the name of a file ends that Badger has not got yet. The rest is its name there, if
	// that is known.
	bulkFile = ".bulk"
	// bulkReady is the end of the last log of memory. When it is there, all else is, durably.
	bulkReady = ".mem.ready"
)

// Bulk is long values on their way into the database. It is for one goroutine.
type Bulk struct {
	s       *Space
	version uint64 // of the keys: none of them is in the database
	// What Badger is opened with.
	fileSize, memtable int64
	values             []bulkValue
	memory             int64 // that their keys will take in Badger's
	files              int   // that were begun
	end                int64 // of the last one; 0 if that is complete
	cut                error // why that ends in the middle of a value, so that nothing can be sealed any more
	file               *os.File
	buf                []byte // what is next

	pieces [][]byte // the memory
	free   chan []byte
	out    chan bulkOut
	failed chan struct{} // closed after err was set
	ended  chan struct{} // closed when nothing is written any more
	err    error
}

// bulkValue is where a value is.
type bulkValue struct {
	key               []byte
	file, length, off uint32
}

// bulkOut is a piece of a file. last says that it is the last one.
type bulkOut struct {
	f    *os.File
	b    []byte
	last bool
}

// NewBulk begins to write past Badger. The caller ends it with Cancel, also after Seal.
func (s *Space) NewBulk() (*Bulk, error) {
	opts := s.db.Opts()
	b := &Bulk{
		s: s, version: max(s.db.MaxVersion(), 1), fileSize: opts.ValueLogFileSize, memtable: opts.MemTableSize,
		free: make(chan []byte, bulkPieces), out: make(chan bulkOut, bulkPieces),
		failed: make(chan struct{}), ended: make(chan struct{}),
	}
	for range bulkPieces {
		m, err := direct.Memory(bulkPiece)
		if err != nil {
			close(b.ended)
			b.Cancel()
			return nil, err
		}
		b.pieces = append(b.pieces, m)
		b.free <- m[:0]
	}
	go b.write(b.out)
	return b, nil
}

// Full reports whether no more values should be added before Seal.
func (b *Bulk) Full() bool { return b.memory >= bulkMemories*b.memtable }

// Empty reports whether there are no values.
func (b *Bulk) Empty() bool { return len(b.values) == 0 }

// Add writes a value under a key that is not there. Errors: pin.ErrDiskFull; the disk's, maybe those of
// earlier values.
func (b *Bulk) Add(key, value []byte) error {
	if b.end == 0 {
		if err := b.begin(); err != nil {
			return err
		}
	}
	key = versioned(key, b.version)
	at := b.end
	if err := b.entry(0, key, value); err != nil {
		b.cut = fmt.Errorf("a value was not written to its end: %w", err)
		return err
	}
	b.values = append(b.values, bulkValue{key, uint32(b.files - 1), uint32(b.end - at), uint32(at)})
	b.memory += inMemory(key)
	if b.end > b.fileSize {
		return b.send(true)
	}
	return nil
}

// inMemory is how much of Badger's memory a key with the place of its value takes at most: a node, the
// place, marks, and what lies between.
func inMemory(key []byte) int64 { return int64(skl.MaxNodeSize + len(key) + 12 + 3 + 8) }

// versioned gives a key as Badger has it in its files.
func versioned(key []byte, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, len(key)+8), key...), math.MaxUint64-version)
}

// appendHead appends the header of an entry.
func appendHead(to []byte, marks byte, key, value []byte) []byte {
	to = append(to, marks, 0)
	to = binary.AppendUvarint(to, uint64(len(key)))
	to = binary.AppendUvarint(to, uint64(len(value)))
	return binary.AppendUvarint(to, 0) // it never expires
}

// logHead is how a file of either log begins.
func logHead() []byte {
	head := make([]byte, reading.LogHeader)
	_, _ = rand.Read(head[reading.LogKeyID:]) // it never fails
	return head
}

// begin begins a file.
func (b *Bulk) begin() (err error) {
	b.file, err = os.OpenFile(b.path(b.files), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	b.files++
	return b.add(logHead())
}

// path is where a file is until it has its number.
func (b *Bulk) path(file int) string {
	return filepath.Join(b.s.dbDir, fmt.Sprintf("%06d%s", file, bulkFile))
}

// entry writes an entry to the file.
func (b *Bulk) entry(marks byte, key, value []byte) error {
	var head [reading.EntryHeader]byte
	h := appendHead(head[:0], marks, key, value)
	sum := crc32.Update(crc32.Update(crc32.Checksum(h, reading.Castagnoli), reading.Castagnoli, key), reading.Castagnoli, value)
	for _, p := range [][]byte{h, key, value, binary.BigEndian.AppendUint32(nil, sum)} {
		if err := b.add(p); err != nil {
			return err
		}
	}
	return nil
}

// add writes bytes to the file.
func (b *Bulk) add(p []byte) error {
	b.end += int64(len(p))
	for len(p) > 0 {
		if b.buf == nil {
			select {
			case b.buf = <-b.free:
			case <-b.failed:
				return b.err
			}
		}
		n := copy(b.buf[len(b.buf):cap(b.buf)], p)
		b.buf, p = b.buf[:len(b.buf)+n], p[n:]
		if len(b.buf) == cap(b.buf) {
			if err := b.send(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// send has what is next written, and the file ended if it is the last of it.
func (b *Bulk) send(last bool) error {
	if err := b.s.RoomFor(uint64(len(b.buf))); err != nil {
		return err
	}
	b.out <- bulkOut{b.file, b.buf, last} // there is room for all pieces, and one
	b.buf = nil
	if last {
		b.file, b.end = nil, 0
	}
	return nil
}

// write writes what is sent, until the first error.
func (b *Bulk) write(out <-chan bulkOut) {
	defer close(b.ended)
	for o := range out {
		if b.err == nil {
			if _, b.err = (direct.Writer{File: o.f}).Write(o.b); b.err == nil && o.last {
				b.err = o.f.Sync()
			}
			if b.err != nil {
				b.err = fmt.Errorf("write values: %w", b.err)
				close(b.failed)
			}
		}
		if o.last {
			_ = o.f.Close() // it is synced, or of no use
		}
		if o.b != nil {
			b.free <- o.b[:0]
		}
	}
}

// stop waits until all that was sent is written.
func (b *Bulk) stop() error {
	if b.out != nil {
		close(b.out)
		b.out = nil
	}
	<-b.ended
	return b.err
}

// Seal has the database, which must be closed, get the values when it opens next. After an error it gets
// all of them or none.
func (b *Bulk) Seal() error {
	if err := b.seal(); err != nil {
		return err
	}
	return adoptBulk(b.s.dbDir)
}

// seal makes the values durable, and says so last.
func (b *Bulk) seal() error {
	if b.cut != nil {
		return b.cut
	}
	if b.end > 0 {
		if err := b.send(true); err != nil {
			return err
		}
	}
	if err := b.stop(); err != nil {
		return err
	}
	if b.Empty() {
		return nil
	}
	logs, err := logFiles(b.s.dbDir)
	if err != nil {
		return err
	}
	first := uint32(1)
	if len(logs) > 0 {
		first = logs[len(logs)-1].id + 1
	}
	for i := range b.files {
		if err := os.Rename(b.path(i), filepath.Join(b.s.dbDir, fmt.Sprintf("%06d.vlog%s", first+uint32(i), bulkFile))); err != nil {
			return err
		}
	}
	number, err := nextMemory(b.s.dbDir)
	if err == nil {
		err = durable.SyncDir(b.s.dbDir)
	}
	if err != nil {
		return err
	}
	for values := b.values; ; number++ {
		var log []byte
		log, values = b.places(values, first)
		name := fmt.Sprintf("%05d", number)
		temp := name + bulkFile
		if len(values) == 0 { // all else is durable by now, its names too
			name += bulkReady
		} else {
			name += ".mem" + bulkFile
		}
		if err := durable.WriteFile(filepath.Join(b.s.dbDir, name), temp, log, 0o600); err != nil || len(values) == 0 {
			return err
		}
	}
}

// places gives a log of Badger's memory with the places of values, and those that do not fit in.
func (b *Bulk) places(values []bulkValue, first uint32) (log []byte, rest []bulkValue) {
	const inLog = 1 << 1
	log = logHead()
	for room := b.memtable; len(values) > 0; values = values[1:] {
		v := values[0]
		if room -= inMemory(v.key); room < 0 {
			break
		}
		at := len(log)
		place := binary.NativeEndian.AppendUint32(nil, first+v.file)
		place = binary.NativeEndian.AppendUint32(place, v.length)
		place = binary.NativeEndian.AppendUint32(place, v.off)
		log = append(append(appendHead(log, inLog, v.key, place), v.key...), place...)
		log = binary.BigEndian.AppendUint32(log, crc32.Checksum(log[at:], reading.Castagnoli))
	}
	return log, values
}

// nextMemory gives the number of the next log of memory.
func nextMemory(dir string) (next uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		number, is := strings.CutSuffix(e.Name(), ".mem")
		if n, err := strconv.ParseUint(number, 10, 32); is && err == nil {
			next = max(next, n)
		}
	}
	return next + 1, nil
}

// Cancel ends it, and removes what was not sealed.
func (b *Bulk) Cancel() {
	_ = b.stop()
	if b.file != nil {
		_ = b.file.Close()
	}
	for i := range b.files {
		_ = os.Remove(b.path(i)) // sealed ones have another name; the next start removes what stays
	}
	for _, m := range b.pieces {
		_ = direct.Free(m) // it is memory of ours
	}
	b.file, b.files, b.pieces = nil, 0, nil
}

// adoptBulk puts the values that were sealed where Badger looks for them, and removes others. The
// database must be closed.
func adoptBulk(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	ready := ""
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), bulkReady) {
			ready = e.Name()
		}
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		to, is := strings.CutSuffix(name, bulkFile)
		switch {
		case !is:
		case ready != "" && filepath.Ext(to) != "":
			err = os.Rename(path, filepath.Join(dir, to))
		default:
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	if ready == "" {
		return nil
	}
	logs, err := logFiles(dir)
	if err != nil {
		return err
	}
	if len(logs) == 0 {
		return errors.New("values that were written are gone")
	}
	// Badger reads all of the newest file when it opens.
	if err := writeEmptyLog(dir, logs[len(logs)-1].id+1); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, ready), filepath.Join(dir, strings.TrimSuffix(ready, ".ready"))); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

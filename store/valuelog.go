package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ipfs/boxo/blockstore"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
)

// Badger reads a file of the value log from its beginning when it collects it, and the
// newest one when it opens, and takes the first entry whose checksum is wrong for the
// end: collecting then deletes the file, and opening cuts it off there. After a crash
// that is the end. But where a bit has flipped it is not, and all that is alive behind
// it would be lost. So such files are looked for first, and kept from Badger.

const (
	// A file begins with the number of its key, 0 is none, and a nonce.
	logKeyID, logHeader = 8, 8 + 12
	// An entry is a header, its key, its value and a checksum. The header is two
	// bytes of marks, then the lengths of the two, and a time, as varints.
	entryMarks, entryHeader = 2, 22
	entryKeyMost            = 1 << 16
	// No entry of a value log has the marks of transactions.
	entryTxn = 1<<6 | 1<<7
	logBuf   = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errEntry: what there is of an entry is none, or has another checksum.
var errEntry = errors.New("an entry is not as it was written")

// logFile is a file of the value log.
type logFile struct {
	id   uint32
	name string
	size int64
}

// logFiles lists the files of the value log, the newest last, which is the one that is
// written while the database is open.
func logFiles(dir string) (all []logFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for the value log: %w", err)
	}
	for _, e := range entries {
		number, is := strings.CutSuffix(e.Name(), ".vlog")
		id, err := strconv.ParseUint(number, 10, 32)
		if !is || err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // collected just now
		}
		if err != nil {
			return nil, fmt.Errorf("look for the value log: %w", err)
		}
		f := logFile{uint32(id), e.Name(), info.Size()}
		at := len(all) // names may have different lengths, and so be out of order
		for at > 0 && all[at-1].id > f.id {
			at--
		}
		all = append(all[:at], append([]logFile{f}, all[at:]...)...)
	}
	return all, nil
}

// entrySizes reads a header. ok is false if it is none.
func entrySizes(b []byte) (header, body int64, ok bool) {
	if len(b) < entryMarks || b[0]&entryTxn != 0 {
		return 0, 0, false
	}
	var n [3]uint64
	at := entryMarks
	for i := range n {
		v, w := binary.Uvarint(b[at:])
		if w <= 0 {
			return 0, 0, false
		}
		n[i] = v
		at += w
	}
	key, value := n[0], n[1]
	if key == 0 || key > entryKeyMost || value > 1<<32 {
		return 0, 0, false
	}
	return int64(at), int64(key + value), true
}

// readEntry reads one entry, and gives how long it is. Errors: errEntry; io.EOF if
// nothing is left; whatever the disk says.
func readEntry(r *bufio.Reader, left int64) (n int64, err error) {
	head, err := r.Peek(entryHeader)
	if len(head) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	header, body, ok := entrySizes(head)
	if !ok || header+body+crc32.Size > left {
		return 0, errEntry
	}
	sum := crc32.New(castagnoli)
	if _, err := io.CopyN(sum, r, header+body); err != nil {
		return 0, noEOF(err)
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(r, want[:]); err != nil {
		return 0, noEOF(err)
	}
	if binary.BigEndian.Uint32(want[:]) != sum.Sum32() {
		return 0, errEntry
	}
	return header + body + crc32.Size, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEntry
	}
	return err
}

// readable gives how far a file of the value log can be read from an offset on. err is
// nil if that is its end, which zeros may follow.
func readable(ctx context.Context, f *os.File, from, size int64) (end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), logBuf)
	for end = from; ; {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		n, err := readEntry(r, size-end)
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case errors.Is(err, errEntry):
			if zero, err := zeros(f, end, size); err != nil || zero {
				return end, err
			}
			return end, errEntry
		case err != nil:
			return end, err
		}
		end += n
	}
}

// zeros reports whether there is nothing but zeros in a part of a file.
func zeros(f *os.File, from, to int64) (bool, error) {
	buf := make([]byte, logBuf)
	zero := make([]byte, logBuf)
	for r := io.NewSectionReader(f, from, to-from); ; {
		n, err := r.Read(buf)
		if !bytes.Equal(buf[:n], zero[:n]) {
			return false, nil
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// checkLog says what is wrong with a file of the value log: nil if all of it can be
// read. It reads all of it.
func checkLog(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= logHeader {
		return err
	}
	end, err := readable(ctx, f, logHeader, info.Size())
	if err != nil {
		return fmt.Errorf("%w, at %d of %d bytes", err, end, info.Size())
	}
	return nil
}

// goesOn reports whether there is an entry behind one that cannot be read. A crash
// leaves none: entries are written one after the other.
func goesOn(f *os.File, bad, size int64) (bool, error) {
	entryAt := func(at int64) bool {
		_, err := readEntry(bufio.NewReaderSize(io.NewSectionReader(f, at, size-at), entryHeader), size-at)
		return err == nil
	}
	// Its header may be right; if not, a block is told by how its key begins.
	var head [entryHeader]byte
	n, err := f.ReadAt(head[:], bad)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if header, body, ok := entrySizes(head[:n]); ok && entryAt(bad+header+body+crc32.Size) {
		return true, nil
	}
	key := append(blockstore.BlockPrefix.Bytes(), '/')
	buf := make([]byte, logBuf)
	for at := bad; at < size; {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		for i := 0; ; i++ {
			next := bytes.Index(buf[i:n], key)
			if next < 0 {
				break
			}
			i += next
			for header := int64(entryMarks + 3); header <= entryHeader; header++ {
				if begin := at + int64(i) - header; begin > bad && entryAt(begin) {
					return true, nil
				}
			}
		}
		if n < len(buf) {
			break
		}
		at += int64(n - len(key)) // one may lie across
	}
	return false, nil
}

// keepNewestLog keeps Badger from cutting off the newest file where it cannot be read
// although more follows: it has a newer one, which is empty.
func (s *Store) keepNewestLog(ctx context.Context) error {
	all, err := logFiles(s.dbDir)
	if err != nil || len(all) == 0 {
		return err
	}
	last := all[len(all)-1]
	f, err := os.Open(filepath.Join(s.dbDir, last.name))
	if err != nil {
		return err
	}
	defer f.Close()
	if last.size <= logHeader {
		return nil
	}
	end, err := readable(ctx, f, logHeader, last.size)
	if err == nil || !errors.Is(err, errEntry) {
		return err
	}
	more, err := goesOn(f, end, last.size)
	if err != nil || !more {
		return err
	}
	// First, as the file is looked at no more once it is not the newest.
	if err := s.noteDamagedLog(last.name, errEntry); err != nil {
		return err
	}
	return writeEmptyLog(s.dbDir, last.id+1)
}

// writeEmptyLog makes a file of the value log without an entry, all of it or nothing.
func writeEmptyLog(dir string, id uint32) error {
	var header [logHeader]byte
	if _, err := rand.Read(header[logKeyID:]); err != nil {
		return err
	}
	name := fmt.Sprintf("%06d.vlog", id)
	return durable.WriteFile(filepath.Join(dir, name), name+".new", header[:], 0o600)
}

// noteDamagedLog marks a file that is kept from Badger, and says so once.
func (s *Store) noteDamagedLog(name string, why error) error {
	path := filepath.Join(s.dbDir, name)
	if marked(path, damagedLog) {
		return nil
	}
	s.log.Error("a file of the value log is damaged, and is kept, so that what can be read of it is not lost",
		"file", path, "err", why,
		"hint", "run holdfast store verify --repair, and look at the disk; the file goes with a start after a later reclaim")
	return mark(path, damagedLog)
}

// damagedLogs counts the files of the value log that are known to be damaged, and those
// of them that nothing is left in.
func (s *Store) damagedLogs() (damaged, emptied int, err error) {
	all, err := logFiles(s.dbDir)
	if err != nil {
		return 0, 0, err
	}
	for _, f := range all {
		path := filepath.Join(s.dbDir, f.name)
		if !marked(path, damagedLog) {
			continue
		}
		damaged++
		if marked(path, deadLog) {
			emptied++
		}
	}
	return damaged, emptied, nil
}

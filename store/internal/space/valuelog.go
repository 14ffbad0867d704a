package space

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
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
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Badger reads a file of the value log from its beginning when it collects it, and the
// newest one when it opens, and takes the first entry whose checksum is wrong for the
// end: collecting then deletes the file, and opening cuts it off there. After a crash
// that is the end. But where a bit has flipped it is not, and all that is alive behind
// it would be lost. So such files are looked for first, and kept from Badger.

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

// readable gives how far a file of the value log can be read from an offset on. err is
// nil if that is its end, which zeros may follow.
func readable(ctx context.Context, f *os.File, from, size int64) (end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), reading.LogBuf)
	for end = from; ; {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		n, err := reading.ReadEntry(r, size-end)
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case errors.Is(err, reading.ErrEntry):
			if zero, err := zeros(f, end, size); err != nil || zero {
				return end, err
			}
			return end, reading.ErrEntry
		case err != nil:
			return end, err
		}
		end += n
	}
}

// zeros reports whether there is nothing but zeros in a part of a file.
func zeros(f *os.File, from, to int64) (bool, error) {
	buf := make([]byte, reading.LogBuf)
	zero := make([]byte, reading.LogBuf)
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
	if err != nil || info.Size() <= reading.LogHeader {
		return err
	}
	end, err := readable(ctx, f, reading.LogHeader, info.Size())
	if err != nil {
		return fmt.Errorf("%w, at %d of %d bytes", err, end, info.Size())
	}
	return nil
}

// goesOn reports whether there is an entry behind one that cannot be read. A crash
// leaves none: entries are written one after the other.
func goesOn(f *os.File, bad, size int64) (bool, error) {
	entryAt := func(at int64) bool {
		_, err := reading.ReadEntry(bufio.NewReaderSize(io.NewSectionReader(f, at, size-at), reading.EntryHeader), size-at)
		return err == nil
	}
	// Its header may be right; if not, a block is told by how its key begins.
	var head [reading.EntryHeader]byte
	n, err := f.ReadAt(head[:], bad)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if header, body, ok := reading.EntrySizes(head[:n]); ok && entryAt(bad+header+body+crc32.Size) {
		return true, nil
	}
	key := append(blockstore.BlockPrefix.Bytes(), '/')
	buf := make([]byte, reading.LogBuf)
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
			for header := int64(reading.EntryMarks + 3); header <= reading.EntryHeader; header++ {
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
func (s *Space) keepNewestLog(ctx context.Context) error {
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
	if last.size <= reading.LogHeader {
		return nil
	}
	end, err := readable(ctx, f, reading.LogHeader, last.size)
	if err == nil || !errors.Is(err, reading.ErrEntry) {
		return err
	}
	more, err := goesOn(f, end, last.size)
	if err != nil || !more {
		return err
	}
	// First, as the file is looked at no more once it is not the newest.
	if err := s.noteDamagedLog(last.name, reading.ErrEntry); err != nil {
		return err
	}
	return writeEmptyLog(s.dbDir, last.id+1)
}

// writeEmptyLog makes a file of the value log without an entry, all of it or nothing.
func writeEmptyLog(dir string, id uint32) error {
	var header [reading.LogHeader]byte
	if _, err := rand.Read(header[reading.LogKeyID:]); err != nil {
		return err
	}
	name := fmt.Sprintf("%06d.vlog", id)
	return durable.WriteFile(filepath.Join(dir, name), name+".new", header[:], 0o600)
}

// noteDamagedLog marks a file that is kept from Badger, and says so once.
func (s *Space) noteDamagedLog(name string, why error) error {
	path := filepath.Join(s.dbDir, name)
	if marked(path, damagedLog) {
		return nil
	}
	s.log.Error("a file of the value log is damaged, and is kept, so that what can be read of it is not lost",
		"file", path, "err", why,
		"hint", "run holdfast store verify --repair, and look at the disk; the file goes with a start after a later reclaim")
	return mark(path, damagedLog)
}

// DamagedLogs counts the files of the value log that are known to be damaged, and those
// of them that nothing is left in.
func (s *Space) DamagedLogs() (damaged, emptied int, err error) {
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

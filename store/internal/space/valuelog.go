package space

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/boxo/blockstore"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// When Badger collects a file of the value log it reads it from the beginning, and when it opens it
// reads the newest file. In both cases it takes the first entry with a wrong checksum for the end.
// Then it deletes the file it collected, and cuts off the newest file. After a crash that is right.
// But if a bit has flipped, all that is alive after it would be lost. So we look for such files
// first, and keep them from Badger.

// logFile is a file of the value log.
type logFile struct {
	id   uint32
	name string
	size int64
}

// logFiles lists the files of the value log. The newest comes last: while the database is open, it is
// the one that is written.
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
		all = append(all, f)
	}
	// Names may have different lengths, and so be out of order.
	slices.SortFunc(all, func(a, b logFile) int { return cmp.Compare(a.id, b.id) })
	return all, nil
}

// readable gives the offset up to which a file of the value log can be read, from one on. err is nil
// if only zeros follow. Errors: reading.ErrEntry.
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

// zeros reports whether a part of a file is zeros.
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

// checkLog reads all of a file of the value log, and fails if a part of it cannot be read.
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

// goesOn reports whether there is an entry after one that cannot be read. A crash leaves none, since
// entries are written one after the other.
func goesOn(f *os.File, bad, size int64) (bool, error) {
	entryAt := func(at int64) bool {
		_, err := reading.ReadEntry(bufio.NewReaderSize(io.NewSectionReader(f, at, size-at), reading.EntryHeader), size-at)
		return err == nil
	}
	// If the header of the bad entry is right, it says where the next one begins. If not, we
	// search for how the key of a block begins.
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
		at += int64(n - len(key)) // a key may lie across two pieces
	}
	return false, nil
}

// keepNewestLog keeps Badger from cutting off the newest file at an entry that cannot be read, if more
// entries follow. It makes a newer file, which is empty.
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
	// Mark the damage first: once there is a newer file, nothing would look at this one again.
	if err := s.noteDamagedLog(last.name, reading.ErrEntry); err != nil {
		return err
	}
	return writeEmptyLog(s.dbDir, last.id+1)
}

// writeEmptyLog makes a file of the value log without entries, whole or not at all.
func writeEmptyLog(dir string, id uint32) error {
	var header [reading.LogHeader]byte
	if _, err := rand.Read(header[reading.LogKeyID:]); err != nil {
		return err
	}
	name := fmt.Sprintf("%06d.vlog", id)
	return durable.WriteFile(filepath.Join(dir, name), name+".new", header[:], 0o600)
}

// noteDamagedLog marks a file as damaged, and logs that once.
func (s *Space) noteDamagedLog(name string, why error) error {
	path := filepath.Join(s.dbDir, name)
	if marked(path, damagedLog) {
		return nil
	}
	s.log.Error("a file of the value log is damaged, and is kept, so that what can be read of it is not lost",
		"file", path, "err", why,
		"hint", "run holdfast store verify --repair, and check the disk; a start after a later reclaim removes the file")
	return mark(path, damagedLog)
}

// DamagedLogs counts the files of the value log that are known to be damaged, and those of them in
// which nothing is left.
func (s *Space) DamagedLogs() (damaged, emptied int, err error) { return damagedLogs(s.dbDir) }

// damagedLogs is DamagedLogs of a database that may be open or not.
func damagedLogs(dir string) (damaged, emptied int, err error) {
	all, err := logFiles(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, f := range all {
		path := filepath.Join(dir, f.name)
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

package space

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// A table of the tree of keys is a row of blocks of some 4 KiB and an index of them. Each block and
// the index have checksums. All of them are checked before Badger opens, and when the store is
// verified: Badger compacts by itself, and would lose what it cannot read then.

// BadTable is a table that is not as it was written.
type BadTable struct {
	File  string
	Parts int      // how many parts are damaged; 0 means all of it
	Of    int      // how many parts it has; 0 means that this is not known
	Hurt  []string // what may be in the damaged parts, in words
}

func (b BadTable) String() string {
	if b.Parts == 0 {
		return fmt.Sprintf("table %s cannot be read at all", b.File)
	}
	return fmt.Sprintf("table %s: %d of %d parts are damaged, with %s in them", b.File, b.Parts, b.Of, strings.Join(b.Hurt, ", "))
}

// DamagedTablesError is an ErrDamaged that names the tables.
type DamagedTablesError struct{ Tables []BadTable }

// maxNamed is how many damaged tables an error names.
const maxNamed = 5

func (e *DamagedTablesError) Error() string {
	names := make([]string, 0, maxNamed)
	for _, b := range e.Tables[:min(len(e.Tables), maxNamed)] {
		names = append(names, b.String())
	}
	more := ""
	if n := len(e.Tables) - len(names); n > 0 {
		more = fmt.Sprintf("; and %d more tables", n)
	}
	return fmt.Sprintf("%v: %s%s", ErrDamaged, strings.Join(names, "; "), more)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedTablesError) Is(target error) bool { return target == ErrDamaged }

// checkTables refuses a database with a damaged table. It changes nothing. The database must not be
// open. Errors: [*DamagedTablesError]; the context's; the system's, when a file does not open.
func checkTables(ctx context.Context, dir string) error {
	ids, err := tablesOf(dir)
	if err != nil {
		return err
	}
	bad, err := badAmong(ctx, dir, ids)
	if err == nil && len(bad) > 0 {
		err = &DamagedTablesError{bad}
	}
	return err
}

// tablesOf lists the tables of a database. Other tables in its directory are left from a crash, and
// Badger deletes them when it opens. If the MANIFEST is damaged the list is empty: Badger does not
// open then, and says why.
func tablesOf(dir string) (ids []uint64, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a new database
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil {
		return nil, nil
	}
	for id := range m.Tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// LiveBadTables checks the tables of the open database, but for those that are compacted meanwhile.
func (s *Space) LiveBadTables(ctx context.Context) ([]BadTable, error) {
	ids, err := s.liveTables()
	if err != nil {
		return nil, err
	}
	return s.liveBadAmong(ctx, ids)
}

// liveBadAmong checks some tables, but for those that are compacted meanwhile: before Badger deletes
// a file it cuts it to length 0.
func (s *Space) liveBadAmong(ctx context.Context, ids []uint64) ([]BadTable, error) {
	bad, err := badAmong(ctx, s.dbDir, ids)
	if err != nil || len(bad) == 0 {
		return nil, err
	}
	now, err := s.liveTables()
	if err != nil {
		return nil, err
	}
	bad = slices.DeleteFunc(bad, func(b BadTable) bool {
		return !slices.ContainsFunc(now, func(id uint64) bool { return table.IDToFilename(id) == b.File })
	})
	if len(bad) > 0 {
		s.soundness.found.Store(&DamagedTablesError{bad})
	}
	return bad, nil
}

// liveTables lists the tables of the open database.
func (s *Space) liveTables() (ids []uint64, err error) {
	err = reading.Guarded(func() error {
		for _, t := range s.db.Tables() {
			ids = append(ids, t.ID)
		}
		return nil
	})
	return ids, err
}

// soundness is whether a table was found damaged since the store was opened.
type soundness struct {
	before uint64 // the count of damage that was found in other databases of the process
	found  atomic.Pointer[DamagedTablesError]
}

// Sound fails with an ErrDamaged once any read has found a damaged table. It reads nothing itself.
// Everything else can still be read. But the next start refuses the database, with all that was
// written since.
func (s *Space) Sound() error {
	if e := s.soundness.found.Load(); e != nil {
		return e
	}
	if reading.BadTables.Count() > s.soundness.before {
		return fmt.Errorf("%w: a table has damaged parts", ErrDamaged)
	}
	return nil
}

func badAmong(ctx context.Context, dir string, ids []uint64) (bad []BadTable, err error) {
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, is, err := checkTable(table.NewFilename(id, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was compacted; or it is missing, and Badger reports that
		}
		if err != nil {
			return nil, err
		}
		if is {
			bad = append(bad, b)
		}
	}
	return bad, nil
}

// checkTable reads a table. bad reports whether it is damaged.
func checkTable(path string) (b BadTable, bad bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return b, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return b, false, err
	}
	b.File = filepath.Base(path)
	// Wrong lengths make the parser of an index panic.
	var index []tablePart
	if err := reading.Guarded(func() (err error) { index, err = readIndex(f, info.Size()); return err }); err != nil {
		return b, true, nil
	}
	b.Of = len(index)
	r := bufio.NewReaderSize(f, reading.LogBuf)
	at := int64(0)
	var buf []byte
	for i, part := range index {
		if part.offset != at { // there are no gaps between parts
			return BadTable{File: b.File}, true, nil
		}
		buf = slices.Grow(buf[:0], int(part.length))[:part.length]
		n, err := io.ReadFull(r, buf)
		if at += int64(n); err != nil { // the disk does not read it, or the file ends
			at = part.offset + int64(part.length)
			if _, err := f.Seek(at, io.SeekStart); err != nil {
				return b, false, err
			}
			r.Reset(f)
		}
		if err == nil && partIsGood(buf) {
			continue
		}
		b.Parts++
		var next []byte
		if i+1 < len(index) {
			next = index[i+1].key
		}
		b.hurts(part.key, next)
	}
	return b, b.Parts > 0, nil
}

// tablePart is a block of a table, and its first key.
type tablePart struct {
	key    []byte
	offset int64
	length uint32
}

// readIndex reads the end of a table: the index, the length of the index, its checksum, and the length
// of the checksum.
func readIndex(f io.ReaderAt, size int64) (parts []tablePart, err error) {
	end := size
	read := func(n int64) []byte {
		if err != nil || n > end {
			err = errors.Join(err, reading.ErrEntry)
			return nil
		}
		b := make([]byte, n)
		end -= n
		_, err = f.ReadAt(b, end)
		return b
	}
	number := func() int64 {
		b := read(4)
		if err != nil {
			return 0
		}
		return int64(binary.BigEndian.Uint32(b))
	}
	sum := read(number())
	data := read(number())
	if err != nil {
		return nil, err
	}
	if !sumIsGood(data, sum) {
		return nil, reading.ErrEntry
	}
	index := fb.GetRootAsTableIndex(data, 0)
	for i := range index.OffsetsLength() {
		var o fb.BlockOffset
		if !index.Offsets(&o, i) || int64(o.Offset())+int64(o.Len()) > end {
			return nil, reading.ErrEntry
		}
		parts = append(parts, tablePart{key: y.ParseKey(o.KeyBytes()), offset: int64(o.Offset()), length: o.Len()})
	}
	return parts, nil
}

// partIsGood checks a block of a table, which ends with its checksum and the length of that.
func partIsGood(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	end := len(b) - 4
	n := int64(binary.BigEndian.Uint32(b[end:]))
	if n > int64(end) {
		return false
	}
	return sumIsGood(b[:int64(end)-n], b[int64(end)-n:end])
}

func sumIsGood(data, sum []byte) bool {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil || want.Algo != pb.Checksum_CRC32C {
		return false // Badger writes no other kind
	}
	return y.CalculateChecksum(data, want.Algo) == want.Sum
}

// hurts adds the names of what may be between two keys. to may be nil.
func (b *BadTable) hurts(from, to []byte) {
	for _, k := range kindsOfKeys {
		if to != nil && bytes.Compare(to, []byte(k.from)) < 0 || bytes.Compare(from, []byte(k.below)) >= 0 {
			continue
		}
		if to == nil && bytes.Compare(from, []byte(k.from)) < 0 {
			continue // the last part most likely has keys of one kind only
		}
		if !slices.Contains(b.Hurt, k.name) {
			b.Hurt = append(b.Hurt, k.name)
		}
	}
}

// kindsOfKeys names the kinds of keys in the comment of package store, in order.
var kindsOfKeys = []struct{ from, below, name string }{
	{"\x00", "\x10", "what the store keeps for itself"},
	{"\x10", "\x20", "requests and lists of them"},
	{"\x20", "/", "links between DAGs and blocks"},
	{"/", "/blocks/", "the node's own state"},
	{"/blocks/", "/blocks0", "blocks"},
	{"/blocks0", "0", "the node's own state"},
	{"0", "\xff", "accounts, tokens and the audit record"},
}

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

// A table of the tree of keys is a row of blocks of some 4 KiB, each with a checksum, and
// an index of them with one of its own. All of them are read before Badger opens, and by
// a check of the store: Badger compacts by itself, and would then lose what it cannot read.

// BadTable is a table that is not as it was written.
type BadTable struct {
	File  string
	Parts int      // of it that are damaged; 0 is the table as a whole
	Of    int      // how many parts it has; 0 is not known
	Hurt  []string // what may be in those parts, in words
}

func (b BadTable) String() string {
	if b.Parts == 0 {
		return fmt.Sprintf("table %s cannot be read at all", b.File)
	}
	return fmt.Sprintf("table %s: %d of %d parts are damaged, which have %s", b.File, b.Parts, b.Of, strings.Join(b.Hurt, ", "))
}

// DamagedTablesError is an ErrDamaged that says which tables are at fault.
type DamagedTablesError struct{ Tables []BadTable }

// tablesNamed bounds how many damaged tables an error names.
const tablesNamed = 5

func (e *DamagedTablesError) Error() string {
	names := make([]string, 0, tablesNamed)
	for _, b := range e.Tables[:min(len(e.Tables), tablesNamed)] {
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

// checkTables refuses a database of which a table is damaged. Nothing is changed. The
// database must not be open. Errors: [*DamagedTablesError]; the context's; what the
// system says when a file does not open.
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

// tablesOf lists the tables that a database has. Others in its directory are what a crash
// left, and go when it opens. It gives none if the MANIFEST is not as it should be: Badger
// does not open it then, and says why.
func tablesOf(dir string) (ids []uint64, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a new one
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

// LiveBadTables looks at the tables of a database that is open. What is compacted
// meanwhile is not looked at.
func (s *Space) LiveBadTables(ctx context.Context) ([]BadTable, error) {
	ids, err := s.liveTables()
	if err != nil {
		return nil, err
	}
	return s.liveBadAmong(ctx, ids)
}

// liveBadAmong looks at those tables that are not compacted meanwhile: Badger cuts a file
// that it deletes to no length first.
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

// liveTables lists the tables of a database that is open.
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
	before uint64 // what was noted of other stores
	found  atomic.Pointer[DamagedTablesError]
}

// Sound fails with an ErrDamaged once a table was found damaged, by whatever read it.
// It reads nothing itself. What else can be read still is, but the next start refuses
// the database, with all that came to it since.
func (s *Space) Sound() error {
	if e := s.soundness.found.Load(); e != nil {
		return e
	}
	if reading.BadTables.Count() > s.soundness.before {
		return fmt.Errorf("%w: a table has parts that are not as they were written", ErrDamaged)
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
			continue // compacted, or Badger tells of it
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

// checkTable reads a table, and says whether it is damaged.
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
	// Lengths that make no sense make the parsers of an index panic.
	var index []tablePart
	if err := reading.Guarded(func() (err error) { index, err = readIndex(f, info.Size()); return err }); err != nil {
		return b, true, nil
	}
	b.Of = len(index)
	r := bufio.NewReaderSize(f, reading.LogBuf)
	at := int64(0)
	var buf []byte
	for i, part := range index {
		if part.offset != at { // they lie one behind the other
			return BadTable{File: b.File}, true, nil
		}
		buf = slices.Grow(buf[:0], int(part.length))[:part.length]
		n, err := io.ReadFull(r, buf)
		if at += int64(n); err != nil { // a disk that does not read it, or a file that ends
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

// readIndex reads the end of a table: the index, its length, its checksum and the length
// of that.
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
		return false // all of ours are of that kind
	}
	return y.CalculateChecksum(data, want.Algo) == want.Sum
}

// hurts adds what may be between two keys, of which the second may be nil.
func (b *BadTable) hurts(from, to []byte) {
	for _, k := range kindsOfKeys {
		if to != nil && bytes.Compare(to, []byte(k.from)) < 0 || bytes.Compare(from, []byte(k.below)) >= 0 {
			continue
		}
		if to == nil && bytes.Compare(from, []byte(k.from)) < 0 {
			continue // it is the last part: most likely it is all of one kind
		}
		if !slices.Contains(b.Hurt, k.name) {
			b.Hurt = append(b.Hurt, k.name)
		}
	}
}

// kindsOfKeys names what the key table in the comment of package store has, in order.
var kindsOfKeys = []struct{ from, below, name string }{
	{"\x00", "\x10", "what the store keeps for itself"},
	{"\x10", "\x20", "requests and lists of them"},
	{"\x20", "/", "links between DAGs and blocks"},
	{"/", "/blocks/", "the node's own state"},
	{"/blocks/", "/blocks0", "blocks"},
	{"/blocks0", "0", "the node's own state"},
	{"0", "\xff", "accounts, tokens and the audit record"},
}

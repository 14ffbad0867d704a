package reading

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"
	"unsafe"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// All that is read from Badger is read here, and nowhere else: a test sees to that. What
// Badger does with what it cannot read is of three kinds, and each is here made an error
// that is an [diskerr.ErrUnreadable]:
//
//   - a value in the value log comes as no bytes, without an error;
//   - a table whose checksum is wrong is passed over, as if it did not have the key;
//   - lengths that are wrong, and pages that the disk does not give, make it panic.

const (
	// readTries is how often a value is read. Badger finds its place first and reads it
	// then; in between, collecting the value log may have moved it and removed the file.
	// The next try finds the new place. The third is for a store that is collected
	// without a pause.
	readTries = 3
	// headerGuess is what Badger takes for the length of every header in the value log,
	// and logSlack what its EstimatedSize counts beyond key and value only there: the 8
	// bytes of the version, the header, and 4 of the checksum.
	headerGuess = 6
	logSlack    = 8 + headerGuess + 4
)

// Find looks a key up. The item is good as long as the transaction. Errors:
// badger.ErrKeyNotFound; diskerr.ErrUnreadable if a table may have it, and cannot be read.
func Find(txn *badger.Txn, key []byte) (item *badger.Item, err error) {
	err = sound(func() error {
		item, err = txn.Get(key)
		return err
	})
	return item, err
}

// Fetch reads the value of a key into buf, or into memory of its own if that is too
// small. Errors are those of find; also diskerr.ErrUnreadable if the value cannot be read.
func Fetch(txn *badger.Txn, key, buf []byte) (value []byte, err error) {
	for range readTries {
		var item *badger.Item
		if item, err = Find(txn, key); err == nil {
			value, err = ValueOf(item, buf)
		}
		if !errors.Is(err, diskerr.ErrUnreadable) {
			return value, err
		}
	}
	return nil, err
}

// ValueOf reads the value of an item into buf, or into memory of its own. It is never
// nil without an error. Errors: diskerr.ErrUnreadable. [fetch] is for who has no item.
func ValueOf(item *badger.Item, buf []byte) (value []byte, err error) {
	want, came := SizeOf(item), 0
	err = Guarded(func() error {
		return item.Value(func(v []byte) error {
			if came = len(v); came != want {
				return nil
			}
			value = append(buf[:0], v...)
			if isInLog(item) && !isAsWritten(v, value, item.EstimatedSize()) {
				return fmt.Errorf("%w: it has another checksum", diskerr.ErrUnreadable)
			}
			return nil
		})
	})
	if err == nil && came != want {
		err = fmt.Errorf("%w: %d bytes came of %d", diskerr.ErrUnreadable, came, want)
	}
	if err != nil {
		return nil, err
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

// isInLog reports whether the value of an item is in the value log.
func isInLog(item *badger.Item) bool {
	return item.EstimatedSize()-item.KeySize()-item.ValueSize() == logSlack
}

// isAsWritten looks at the checksum of an entry of the value log, of which copied is a copy
// of the value: that is in the cache, so that it costs less than when Badger does it, which
// goes through the file once more. The value lies in the file as Badger maps it,
// between the header and the key, and the checksum.
func isAsWritten(v, copied []byte, entry int64) bool {
	before := entry - int64(len(v)) - crc32.Size
	if len(v) == 0 || before <= 0 || before > EntryHeader+entryKeyMost || cap(v) < len(v)+crc32.Size {
		return false
	}
	head := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), -before)), before)
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, copied)
	return sum == binary.BigEndian.Uint32(v[len(v):len(v)+crc32.Size])
}

// SizeOf gives the length of an item's value, without reading it. Badger's ValueSize is
// that of a value in the tree; for one in the value log it takes all headers to be as
// long, though lengths in them take more bytes the larger they are.
func SizeOf(item *badger.Item) int {
	guess := item.ValueSize()
	if !isInLog(item) {
		return int(guess)
	}
	// A header has two bytes of marks, then three numbers: the length of the key with its
	// version, that of the value, and when it expires.
	both := guess + headerGuess - 2 - uvarintLen(uint64(item.KeySize()+8)) - uvarintLen(item.ExpiresAt())
	for n := int64(1); ; n++ {
		if size := both - n; size <= 0 || uvarintLen(uint64(size)) <= n {
			return int(size)
		}
	}
}

func uvarintLen(v uint64) (n int64) {
	for n = 1; v >= 0x80; n++ {
		v >>= 7
	}
	return n
}

// Guarded runs a call of Badger's that reads files. A panic of it is an error then, and so
// is a page of a file that cannot be read, be it of a disk that fails or of a file
// that is shorter than it was. What Badger had locked it may keep: see closeDatabase.
func Guarded(call func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if _, is := p.(interface{ Addr() uintptr }); is {
			err = fmt.Errorf("%w: a file is shorter than it was, or the disk does not read it", diskerr.ErrUnreadable)
		} else if p != nil {
			err = fmt.Errorf("%w: %.200v", diskerr.ErrUnreadable, p)
		}
	}()
	return call()
}

// errTable: what a table has cannot be told.
var errTable = fmt.Errorf("%w: a table of the database is damaged", diskerr.ErrUnreadable)

// sound is guarded for calls that look through tables: their answer is good only if they
// found none damaged.
func sound(call func() error) error {
	before := BadTables.Count()
	err := Guarded(call)
	if BadTables.since(before) {
		return errTable
	}
	return err
}

// NewestVersion gives the version of a key that was written last, also if that deleted it;
// 0 if the key was never there. It reads no value. Errors: ErrUnreadable.
func NewestVersion(txn *badger.Txn, key []byte) (version uint64, err error) {
	opt := badger.DefaultIteratorOptions
	opt.AllVersions, opt.PrefetchValues = true, false
	err = sound(func() error {
		it := txn.NewKeyIterator(key, opt)
		defer it.Close()
		if it.Rewind(); it.Valid() {
			version = it.Item().Version()
		}
		return nil
	})
	return version, err
}

// iterator goes through keys. One goroutine uses it, and closes it.
type iterator struct {
	it  *badger.Iterator
	err error
}

// Iterate begins to go through keys; values are read by valueOf.
func Iterate(txn *badger.Txn, opt badger.IteratorOptions) *iterator {
	opt.PrefetchValues = false // goroutines would read them, and no errors be told
	i := &iterator{}
	i.move(func() { i.it = txn.NewIterator(opt) })
	return i
}

func (i *iterator) Close() {
	if i.it != nil {
		_ = Guarded(func() error { i.it.Close(); return nil })
	}
}

// Seek goes to a key or, if that is not there, to the next one.
func (i *iterator) Seek(key []byte) { i.move(func() { i.it.Seek(key) }) }

func (i *iterator) Next() { i.move(i.it.Next) }

func (i *iterator) move(how func()) {
	if i.err == nil {
		i.err = sound(func() error { how(); return nil })
	}
}

// At gives the item that the iterator is at, if its key has a prefix. There is none
// at the end, nor once it failed.
func (i *iterator) At(prefix []byte) (item *badger.Item, ok bool) {
	if i.err != nil || !i.it.ValidForPrefix(prefix) {
		return nil, false
	}
	return i.it.Item(), true
}

// Failed says why it does not go on, if that is not the end. Errors: diskerr.ErrUnreadable.
func (i *iterator) Failed() error { return i.err }

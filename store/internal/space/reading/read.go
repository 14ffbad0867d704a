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

// Everything that is read from Badger is read here, and a test checks that. When Badger cannot read
// something it does one of three things. Each of them becomes a [diskerr.ErrUnreadable] here:
//
//   - For a value in the value log it returns no bytes, and no error.
//   - It skips a table whose checksum is wrong, as if the table did not have the key.
//   - It panics at wrong lengths, and at pages that the disk does not read.

const (
	// readTries is how often a value is read. Badger first finds the value's place, and then
	// reads it. In between a collection may have moved the value and removed the file. The
	// second try finds the new place. The third is for a store that is collected all the time.
	readTries = 3
	// headerGuess is the length that Badger assumes for every header in the value log.
	// logSlack is what its EstimatedSize adds to key and value for a value in the value log,
	// and for no other: 8 bytes of the version, the header, and 4 bytes of the checksum.
	headerGuess = 6
	logSlack    = 8 + headerGuess + 4
)

// Find looks a key up. The item is valid as long as the transaction. Errors: badger.ErrKeyNotFound;
// diskerr.ErrUnreadable, if a table that may have the key cannot be read.
func Find(txn *badger.Txn, key []byte) (item *badger.Item, err error) {
	err = sound(func() error {
		item, err = txn.Get(key)
		return err
	})
	return item, err
}

// Fetch reads the value of a key into buf, or into new memory if buf is too small. Errors: those of
// Find; diskerr.ErrUnreadable, if the value cannot be read.
func Fetch(txn *badger.Txn, key, buf []byte) (value []byte, err error) {
	return FetchInto(txn, key, func(int) []byte { return buf })
}

// FetchInto is Fetch into what room gives for the size of the value. It may be asked again.
func FetchInto(txn *badger.Txn, key []byte, room func(size int) []byte) (value []byte, err error) {
	for range readTries {
		var item *badger.Item
		if item, err = Find(txn, key); err == nil {
			value, err = ValueOf(item, room(SizeOf(item)))
		}
		if !errors.Is(err, diskerr.ErrUnreadable) {
			return value, err
		}
	}
	return nil, err
}

// ValueOf reads the value of an item into buf, or into new memory if buf is too small. Without an
// error the value is never nil. Errors: diskerr.ErrUnreadable.
func ValueOf(item *badger.Item, buf []byte) (value []byte, err error) {
	err = Guarded(func() error {
		value, err = appendValue(item, buf[:0])
		return err
	})
	if err != nil {
		return nil, err
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

// appendValue appends the value of an item to buf. It must be guarded. Errors: diskerr.ErrUnreadable.
func appendValue(item *badger.Item, buf []byte) (value []byte, err error) {
	want, came := SizeOf(item), 0
	value = buf
	err = item.Value(func(v []byte) error {
		if came = len(v); came != want {
			return nil
		}
		value = append(buf, v...)
		if isInLog(item) && !isAsWritten(v, value[len(buf):], item.EstimatedSize()) {
			return fmt.Errorf("%w: it has another checksum", diskerr.ErrUnreadable)
		}
		return nil
	})
	if err == nil && came != want {
		err = fmt.Errorf("%w: %d bytes came of %d", diskerr.ErrUnreadable, came, want)
	}
	return value, err
}

// isInLog reports whether the value of an item is in the value log.
func isInLog(item *badger.Item) bool {
	return item.EstimatedSize()-item.KeySize()-item.ValueSize() == logSlack
}

// isAsWritten checks the checksum of an entry of the value log. v is the value in the file, as Badger
// maps it; header and key come before it, and the checksum after it. copied is a copy of v. It is in
// the cache, so this costs less than Badger's own check, which reads the file once more.
func isAsWritten(v, copied []byte, entry int64) bool {
	before := entry - int64(len(v)) - crc32.Size
	if len(v) == 0 || before <= 0 || before > EntryHeader+maxEntryKey || cap(v) < len(v)+crc32.Size {
		return false
	}
	head := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), -before)), before)
	sum := crc32.Update(crc32.Checksum(head, Castagnoli), Castagnoli, copied)
	return sum == binary.BigEndian.Uint32(v[len(v):len(v)+crc32.Size])
}

// SizeOf gives the length of an item's value, without reading it. Badger's ValueSize is right for a
// value in the tree. For one in the value log it assumes that all headers have one length, but
// larger numbers in a header take more bytes.
func SizeOf(item *badger.Item) int {
	guess := item.ValueSize()
	if !isInLog(item) {
		return int(guess)
	}
	// A header has two bytes of marks, then three numbers: the length of the key with its
	// version, the length of the value, and when it expires.
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

// Guarded runs a call of Badger's that reads files. It makes an error of a panic, and of a page that
// cannot be read because the disk fails or the file became shorter. Badger may keep locks after
// that: see Close of package space.
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

// errTable: a damaged table may have had the key.
var errTable = fmt.Errorf("%w: a table of the database is damaged", diskerr.ErrUnreadable)

// sound is Guarded for calls that search tables. Their answer counts only if they found no damaged
// table.
func sound(call func() error) error {
	before := BadTables.Count()
	err := Guarded(call)
	if BadTables.since(before) {
		return errTable
	}
	return err
}

// NewestVersion gives the version of a key's last write, also if that deleted the key; 0 if the key was
// never there. It reads no value. Errors: diskerr.ErrUnreadable.
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

// iterator goes through keys. Only one goroutine may use it. It must be closed.
type iterator struct {
	it  *badger.Iterator
	err error
}

// Iterate begins to go through keys. ValueOf reads their values.
func Iterate(txn *badger.Txn, opt badger.IteratorOptions) *iterator {
	opt.PrefetchValues = false // Badger's goroutines would read them, and report no errors
	i := &iterator{}
	i.move(func() error { i.it = txn.NewIterator(opt); return nil })
	return i
}

func (i *iterator) Close() {
	if i.it != nil {
		_ = Guarded(func() error { i.it.Close(); return nil })
	}
}

// Seek goes to a key or, if that is not there, to the next one.
func (i *iterator) Seek(key []byte) { i.move(func() error { i.it.Seek(key); return nil }) }

func (i *iterator) Next() { i.move(func() error { i.it.Next(); return nil }) }

func (i *iterator) move(how func() error) {
	if i.err == nil {
		i.err = sound(how)
	}
}

// At gives the item that the iterator is at. ok is false if its key does not have the prefix, at the
// end, and after an error.
func (i *iterator) At(prefix []byte) (item *badger.Item, ok bool) {
	if i.err != nil || !i.it.ValidForPrefix(prefix) {
		return nil, false
	}
	return i.it.Item(), true
}

// Failed gives the error that ended the iterator, if any. Errors: diskerr.ErrUnreadable.
func (i *iterator) Failed() error { return i.err }

package reading

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	// A file begins with the number of its encryption key, 0 for none, and a nonce.
	LogKeyID, LogHeader = 8, 8 + 12
	// An entry is a header, a key, a value and a checksum. The header is two bytes of marks,
	// then as varints the lengths of key and value, and a time; it has up to EntryHeader bytes.
	EntryMarks, EntryHeader = 2, 22
	maxEntryKey             = 1 << 16
	// Entries of the value log never have the marks of transactions.
	entryTxn = 1<<6 | 1<<7
	LogBuf   = 1 << 20
)

// Castagnoli is the table of the checksums of entries.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrEntry: there is no whole entry, or its checksum is wrong.
var ErrEntry = errors.New("an entry is not as it was written")

// EntrySizes reads a header. ok is false if it is not one.
func EntrySizes(b []byte) (header, body int64, ok bool) {
	if len(b) < EntryMarks || b[0]&entryTxn != 0 {
		return 0, 0, false
	}
	var n [3]uint64
	at := EntryMarks
	for i := range n {
		v, w := binary.Uvarint(b[at:])
		if w <= 0 {
			return 0, 0, false
		}
		n[i] = v
		at += w
	}
	key, value := n[0], n[1]
	if key == 0 || key > maxEntryKey || value > 1<<32 {
		return 0, 0, false
	}
	return int64(at), int64(key + value), true
}

// ReadEntry reads one entry, and gives its length. left is how many bytes the file has from here on.
// Errors: ErrEntry; io.EOF, if nothing is left; the disk's.
func ReadEntry(r *bufio.Reader, left int64) (n int64, err error) {
	head, err := r.Peek(EntryHeader)
	if len(head) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	header, body, ok := EntrySizes(head)
	if !ok || header+body+crc32.Size > left {
		return 0, ErrEntry
	}
	sum := crc32.New(Castagnoli)
	if _, err := io.CopyN(sum, r, header+body); err != nil {
		return 0, noEOF(err)
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(r, want[:]); err != nil {
		return 0, noEOF(err)
	}
	if binary.BigEndian.Uint32(want[:]) != sum.Sum32() {
		return 0, ErrEntry
	}
	return header + body + crc32.Size, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrEntry
	}
	return err
}

package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestScanParts: several readers give what ScanEach gives, in its order: the newest of each key, nothing of what
// was deleted or written later, and nil for what cannot be read.
func TestScanParts(t *testing.T) {
	d := open(t)
	key := func(n int) []byte { return binary.BigEndian.AppendUint32([]byte{'k'}, uint32(n)) }
	write := func(from, to, step int, value func(n int) []byte) {
		b := d.NewBatch()
		defer b.Cancel()
		for n := from; n < to; n += step {
			if v := value(n); v == nil {
				must(t, b.Delete(key(n)))
			} else {
				must(t, b.Set(key(n), v))
			}
		}
		must(t, b.Flush())
	}
	const keys = 5000
	write(0, keys, 1, func(n int) []byte { return fmt.Append(nil, "first ", n) })
	write(0, keys, 3, func(n int) []byte { return fmt.Append(nil, "second ", n) })
	write(0, keys, 7, func(int) []byte { return nil })
	write(0, keys, 14, func(n int) []byte { return fmt.Append(nil, "again ", n) })
	spoilt := func(n int) []byte { return bytes.Repeat(fmt.Append(nil, "in the log ", n), 200) }
	for _, n := range []int{1000, 1001, 3500} {
		write(n, n+1, 1, spoilt)
	}
	r, done := d.Snapshot()
	defer done()
	write(0, keys, 5, func(int) []byte { return []byte("later") })

	logs, err := filepath.Glob(filepath.Join(d.db.Opts().Dir, "*.vlog"))
	must(t, err)
	for _, path := range logs {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		b := make([]byte, 4<<20) // the file is long, and almost all of it is not written
		if _, err := f.ReadAt(b, 0); !errors.Is(err, io.EOF) {
			must(t, err)
		}
		for _, n := range []int{1001, 3500} {
			if at := bytes.Index(b, spoilt(n)); at >= 0 {
				_, err = f.WriteAt([]byte{'X'}, int64(at+500))
				must(t, err)
			}
		}
		must(t, f.Close())
	}

	var want []string
	unreadable := 0
	must(t, r.ScanEach(Span{Prefix: []byte{'k'}}, func(key, value []byte) (bool, error) {
		if value == nil {
			unreadable++
		}
		want = append(want, fmt.Sprintf("%x %q %v", key, value, value == nil))
		return true, nil
	}))
	if unreadable != 2 || len(want) < keys*6/7 {
		t.Fatalf("%d keys, of which %d are unreadable", len(want), unreadable)
	}
	never := func() bool { return false }
	for _, cuts := range [][][]byte{nil, {key(1001)}, {key(1), key(999), key(2500), key(2501), key(keys + 1)}} {
		for readers := 1; readers < 5; readers++ {
			for _, alone := range []func() bool{never, func() bool { return true }} {
				var got []string
				must(t, r.ScanParts([]byte{'k'}, cuts, readers, alone, func(key, value []byte) (bool, error) {
					got = append(got, fmt.Sprintf("%x %q %v", key, value, value == nil))
					return true, nil
				}))
				if !slices.Equal(got, want) {
					t.Errorf("%d readers of %d parts give %d keys, not the %d", readers, len(cuts)+1, len(got), len(want))
				}
			}
		}
	}
	// It ends when it is told to.
	n := 0
	must(t, r.ScanParts([]byte{'k'}, [][]byte{key(100), key(3500)}, 3, never, func(_, _ []byte) (bool, error) {
		n++
		return n < 50, nil
	}))
	err = r.ScanParts([]byte{'k'}, [][]byte{key(100), key(3500)}, 3, never, func(_, _ []byte) (bool, error) { return true, context.Canceled })
	if n != 50 || !errors.Is(err, context.Canceled) {
		t.Errorf("after %d keys, and %v", n, err)
	}
}

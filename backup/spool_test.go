package backup

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
)

// numberedBlock gives the n-th of many blocks in the order of their hashes.
func numberedBlock(n int) linkedBlock {
	b := linkedBlock{codec: uint64(n % 7)}
	b.hash = bytes.Repeat([]byte{byte(n >> 8), byte(n)}, 17)
	return b
}

// TestSpool: what is read while it is written, and once more, is what was written.
func TestSpool(t *testing.T) {
	s, err := (&Config{Temp: t.TempDir()}).newSpool()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	const blocks = 10_000 // several times what is written at once
	read := func() {
		l, got := s.read(), linkedBlock{}
		for n := range blocks {
			if err := l.linkedBlock(&got); err != nil {
				t.Errorf("block %d: %v", n, err)
				return
			}
			want := numberedBlock(n)
			if !bytes.Equal(got.hash, want.hash) || got.codec != want.codec {
				t.Errorf("block %d is %+v, not %+v", n, got, want)
				return
			}
		}
		if err := l.linkedBlock(&got); !errors.Is(err, io.EOF) {
			t.Errorf("after the last: %v", err)
		}
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	for range 2 {
		readers.Go(read)
	}
	for n := range blocks {
		b := numberedBlock(n)
		if err := s.add(b.hash, b.codec); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.end(nil); err != nil {
		t.Fatal(err)
	}
	read()
}

// TestSpoolEndsEarly: readers get the error that ended the writing, whether they wait already or come later.
func TestSpoolEndsEarly(t *testing.T) {
	s, err := (&Config{Temp: t.TempDir()}).newSpool()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	why := errors.New("the records cannot be read")
	read := func() {
		var b linkedBlock
		if err := s.read().linkedBlock(&b); !errors.Is(err, why) {
			t.Errorf("a reader got %v", err)
		}
	}
	var reader sync.WaitGroup
	reader.Go(read)
	if err := s.end(why); !errors.Is(err, why) || !errors.Is(s.failed(), why) {
		t.Errorf("it ended with %v, and failed with %v", err, s.failed())
	}
	reader.Wait()
	read()
}

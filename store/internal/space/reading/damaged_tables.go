package reading

import (
	"bytes"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4/y"
)

// Badger takes a block of a table whose checksum is wrong for one that does not have the
// key, and one that it comes to while it compacts for the end of the table. It tells
// nobody. But it makes an error of it first, and asks for the text of one that can be
// put in the place of its own. That is asked for by the goroutine that reads.

// BadTables is where it is noted that a block of a table has another checksum.
var BadTables noticed

// noticed counts, and knows which goroutine was the last to count.
type noticed struct {
	n  atomic.Uint64
	mu sync.Mutex
	by map[string]uint64 // what n was after a goroutine counted
}

// noticedMost bounds of how many goroutines it is known.
const noticedMost = 1 << 10

// Count gives a number that since takes.
func (n *noticed) Count() uint64 { return n.n.Load() }

// note counts one for this goroutine.
func (n *noticed) note() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil || len(n.by) == noticedMost {
		n.by = map[string]uint64{}
	}
	n.by[goroutine()] = n.n.Add(1)
}

// since reports whether this goroutine noted something after count gave a number.
func (n *noticed) since(count uint64) bool {
	if n.Count() == count {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.by[goroutine()] > count
}

// goroutine gives what this goroutine is known by.
func goroutine() string {
	var buf [64]byte
	words := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(words) < 2 {
		return ""
	}
	return string(words[1])
}

// checksumMismatch takes the place of Badger's error for checksums.
type checksumMismatch struct{ is error }

func init() { y.ErrChecksumMismatch = checksumMismatch{y.ErrChecksumMismatch} }

func (e checksumMismatch) Unwrap() error { return e.is }

// Error notes it if it is about a table. A compaction would go on without the rest of
// the table, and then delete the table. So it does not go on: it waits here for ever, and
// with it what needs it to end. Until the next start, which refuses such a table, what can
// be read is read.
func (e checksumMismatch) Error() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	table, compaction := false, false
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		table = table || strings.HasSuffix(f.Function, "table.(*Block).verifyCheckSum")
		compaction = compaction || strings.Contains(f.Function, "(*levelsController).subcompact")
	}
	if table {
		BadTables.note()
	}
	if table && compaction {
		select {}
	}
	return e.is.Error()
}

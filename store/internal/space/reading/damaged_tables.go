package reading

import (
	"bytes"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4/y"
)

// When the checksum of a block of a table is wrong, Badger takes the block for one without the key.
// When it compacts, it takes the block for the end of the table. It reports neither. But first it
// makes an error of it, and asks that error for its text, in the goroutine that reads. The error is
// a variable of Badger's, which we replace.

// BadTables notes the blocks of tables that were found to have a wrong checksum.
var BadTables noticed

// noticed counts, and knows which goroutines counted.
type noticed struct {
	n  atomic.Uint64
	mu sync.Mutex
	by map[string]uint64 // n after a goroutine counted
}

// maxNoticed is how many goroutines are remembered.
const maxNoticed = 1 << 10

// Count gives the number for since.
func (n *noticed) Count() uint64 { return n.n.Load() }

// note counts one for this goroutine.
func (n *noticed) note() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil || len(n.by) == maxNoticed {
		n.by = map[string]uint64{}
	}
	n.by[goroutine()] = n.n.Add(1)
}

// since reports whether this goroutine noted something since Count gave a number.
func (n *noticed) since(count uint64) bool {
	if n.Count() == count {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.by[goroutine()] > count
}

// goroutine gives the number of this goroutine.
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

// Error notes the error if it is about a table. A compaction would go on without the rest of the
// table, and then delete the table. So a compaction waits here forever, and all that waits for it,
// too. Other reads go on until the next start, which refuses such a table.
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

package roomtest

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	blocks "github.com/ipfs/go-block-format"
)

// ValueLog lists the files of the value log of a database, the newest last.
func ValueLog(tb testing.TB, db string) []string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(db, "*.vlog"))
	Must(tb, err)
	slices.Sort(paths)
	return paths
}

// Entries gives where in a file of the value log the entries of some blocks begin,
// and where they end.
func Entries(data []byte, bs []blocks.Block) (first, end int) {
	first = len(data)
	for _, b := range bs {
		at := bytes.Index(data, BlockKey(b.Cid().Hash()))
		if at < 0 {
			continue
		}
		first, end = min(first, at), max(end, at)
	}
	return first, end
}

package space

import (
	"os"
	"testing"

	"github.com/dgraph-io/badger/v4/table"
)

// A table that was compacted while tables were looked at is not called damaged, though
// its file is cut by then.
func TestTableCompactedMeanwhile(t *testing.T) {
	s, err := Open(t.Context(), config(t), BadgerOptions())
	must(t, err)
	defer func() {
		s.DB().Shut()
		must(t, s.Close())
	}()
	must(t, s.pushOutMemory(t.Context()))
	ids, err := s.liveTables()
	must(t, err)
	if len(ids) == 0 {
		t.Fatal("there is no table")
	}
	const gone = 9999
	must(t, os.WriteFile(table.NewFilename(gone, s.dbDir), make([]byte, 100), 0o600))
	if bad, err := badAmong(t.Context(), s.dbDir, []uint64{gone}); err != nil || len(bad) != 1 {
		t.Fatalf("damaged are %v, %v", bad, err)
	}
	if bad, err := s.liveBadAmong(t.Context(), append(ids, gone)); err != nil || len(bad) != 0 {
		t.Errorf("damaged are %v, %v", bad, err)
	}
}

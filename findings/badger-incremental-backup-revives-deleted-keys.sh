#!/usr/bin/env bash
# badger v4.9.6: deleted keys come back from a full and an incremental backup
#
# An incremental DB.Backup has a deletion only as long as its tombstone is in the tree.
# Compaction drops tombstones that nothing lies below. A key that was in the full backup,
# was deleted, and whose tombstone was compacted before the incremental backup is in
# neither file as deleted. After loading both, it is there again, without an error.
#
# Seen (1,000 keys in the full backup, all deleted, then compacted):
#   in the source: 0, after loading both backups: 1000
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/dgraph-io/badger/v4 v4.9.6
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"
)

const keys = 1000

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func open(dir string) *badger.DB {
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil).
		WithMemTableSize(1 << 20).WithValueThreshold(1 << 10).WithNumLevelZeroTables(1))
	try(err)
	return db
}

func key(i int) []byte { return fmt.Appendf(nil, "key%04d", i) }

// count says how many of the keys there are; with all, their deletions count too.
func count(db *badger.DB, all bool) (n int) {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	opt := badger.DefaultIteratorOptions
	opt.AllVersions, opt.Prefix, opt.PrefetchValues = all, []byte("key"), false
	it := txn.NewIterator(opt)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}

func main() {
	db := open("source")
	for i := range keys {
		try(db.Update(func(t *badger.Txn) error { return t.Set(key(i), make([]byte, 100)) }))
	}
	var full, incremental bytes.Buffer
	version, err := db.Backup(&full, 0)
	try(err)
	for i := range keys {
		try(db.Update(func(t *badger.Txn) error { return t.Delete(key(i)) }))
	}
	// Other writes push the tombstones out of memory, until compaction has dropped them all.
	for round := 0; count(db, true) > 0; round++ {
		if round == 50 {
			try(fmt.Errorf("the tombstones were not compacted"))
		}
		for i := range 6000 {
			try(db.Update(func(t *badger.Txn) error { return t.Set(fmt.Appendf(nil, "other%d", i), make([]byte, 200)) }))
		}
		try(db.Flatten(1))
	}
	_, err = db.Backup(&incremental, version)
	try(err)

	restored := open("restored")
	try(restored.Load(&full, 16))
	try(restored.Load(&incremental, 16))
	inSource, back := count(db, false), count(restored, false)
	fmt.Printf("in the source: %d, after loading both backups: %d\n", inSource, back)
	if inSource != 0 || back == 0 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

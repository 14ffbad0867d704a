#!/usr/bin/env bash
# badger v4.9.6: a hard link to a table is emptied when Badger removes the table
#
# Badger never changes a table that is written, so hard links to tables look like a
# free copy of a database. But Badger cuts a file to no bytes before it removes its name
# (the mapped files of ristretto v2.2.0 do), and that empties what every other name shows.
# A copy by hard links is destroyed by the compactions of the original, without an error.
#
# Seen (the links were made while the database was closed; how many are removed varies):
#   tables linked: 1, removed by compaction: 1, their links without a byte: 1
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
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func open() *badger.DB {
	db, err := badger.Open(badger.DefaultOptions("db").WithLogger(nil).
		WithMemTableSize(1 << 20).WithValueThreshold(1 << 10).WithNumLevelZeroTables(1))
	try(err)
	return db
}

func fill(db *badger.DB) {
	for i := range 4000 {
		try(db.Update(func(t *badger.Txn) error { return t.Set(fmt.Appendf(nil, "key%d", i), make([]byte, 500)) }))
	}
}

func main() {
	db := open()
	fill(db)
	try(db.Close())

	tables, err := filepath.Glob("db/*.sst")
	try(err)
	try(os.Mkdir("links", 0o700))
	size := make(map[string]int64)
	for _, table := range tables {
		info, err := os.Stat(table)
		try(err)
		size[table] = info.Size()
		try(os.Link(table, "links/"+filepath.Base(table)))
	}

	// The same keys once more, until compaction has replaced a table that was there.
	db = open()
	var removed []string
	for round := 0; len(removed) == 0; round++ {
		if round == 50 {
			try(errors.New("no table was removed"))
		}
		fill(db)
		try(db.Flatten(1))
		for _, table := range tables {
			if _, err := os.Stat(table); errors.Is(err, fs.ErrNotExist) {
				removed = append(removed, table)
			}
		}
	}
	try(db.Close())
	emptied := 0
	for _, table := range removed {
		info, err := os.Stat("links/" + filepath.Base(table))
		try(err)
		if size[table] > 0 && info.Size() == 0 {
			emptied++
		}
	}
	fmt.Printf("tables linked: %d, removed by compaction: %d, their links without a byte: %d\n",
		len(tables), len(removed), emptied)
	if emptied == 0 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

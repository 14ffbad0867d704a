#!/usr/bin/env bash
# badger v4.9.6: an item whose file was collected reads as no bytes and a nil error
#
# A read transaction gets items. Value-log GC then moves their values and removes the old
# files; it waits for open iterators, but not for items that a transaction holds.
# Item.ValueCopy on such an item returns an empty slice and a nil error, and only the
# logger sees why. Item.ValueSize still gives the true length, and it is the one sign
# by which a caller can tell "gone" from "empty". A fresh Get finds the moved value.
#
# Seen (how many are empty depends on how many files were collected, 3 or more):
#   held items: 40, whole: 1, error: 0, no bytes and nil error: 39, whole by a fresh Get: 40
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

const (
	keys  = 400
	stays = 10 // one key of so many is never deleted
)

func key(i int) []byte   { return fmt.Appendf(nil, "key%04d", i) }
func value(i int) []byte { return bytes.Repeat([]byte{byte(i), 1}, 8<<10) }

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func main() {
	opt := badger.DefaultOptions("db").WithLogger(nil).WithValueThreshold(1 << 10).
		WithValueLogFileSize(1 << 20).WithMemTableSize(1 << 20).WithNumLevelZeroTables(1)
	db, err := badger.Open(opt)
	try(err)
	for i := range keys {
		try(db.Update(func(t *badger.Txn) error { return t.Set(key(i), value(i)) }))
	}
	for i := range keys {
		if i%stays != 0 {
			try(db.Update(func(t *badger.Txn) error { return t.Delete(key(i)) }))
		}
	}

	txn := db.NewTransaction(false)
	var held []*badger.Item
	for i := 0; i < keys; i += stays {
		item, err := txn.Get(key(i))
		try(err)
		held = append(held, item)
	}
	// Small values push the deletions out of memory, so that Badger learns what is dead.
	// When it compacts them is its own affair, so this goes on until files are collected.
	collected := 0
	for round := 0; collected < 3 && round < 50; round++ {
		for i := range 2000 {
			try(db.Update(func(t *badger.Txn) error { return t.Set(fmt.Appendf(nil, "small%d", i), make([]byte, 900)) }))
		}
		try(db.Flatten(1))
		for db.RunValueLogGC(0.3) == nil {
			collected++
		}
	}
	if collected == 0 {
		try(fmt.Errorf("no file was collected"))
	}

	var whole, failed, empty, fresh int
	for n, item := range held {
		want := value(n * stays)
		got, err := item.ValueCopy(nil)
		switch {
		case err != nil:
			failed++
		case len(got) == 0 && item.ValueSize() > 0:
			empty++
		case bytes.Equal(got, want):
			whole++
		}
		try(db.View(func(t *badger.Txn) error {
			item, err := t.Get(key(n * stays))
			if err != nil {
				return err
			}
			return item.Value(func(v []byte) error {
				if bytes.Equal(v, want) {
					fresh++
				}
				return nil
			})
		}))
	}
	txn.Discard()
	try(db.Close())
	fmt.Printf("held items: %d, whole: %d, error: %d, no bytes and nil error: %d, whole by a fresh Get: %d\n",
		len(held), whole, failed, empty, fresh)
	if empty == 0 || failed > 0 || fresh != len(held) {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

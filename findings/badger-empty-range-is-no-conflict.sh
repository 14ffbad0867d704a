#!/usr/bin/env bash
# badger v4.9.6: two transactions that saw the same empty range both commit
#
# Badger's README promises serializable snapshot isolation. Its check of conflicts covers
# the keys that a transaction read, and an iterator reads only keys that are there. So two
# transactions that both find no key with a prefix, and for that reason each set one, both
# commit without ErrConflict: no order of the two, one after the other, ends like that.
# With Get of the absent keys in place of the iterator the second commit gets ErrConflict.
#
# Seen:
#   by an iterator: <nil>, <nil>, keys set: 2; by Get: <nil>, Transaction Conflict. Please retry, keys set: 1
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
	"os"

	"github.com/dgraph-io/badger/v4"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// iterated counts the keys with the prefix as an iterator finds them.
func iterated(t *badger.Txn) (n int) {
	opt := badger.DefaultIteratorOptions
	opt.Prefix = []byte("owner/")
	it := t.NewIterator(opt)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		_ = it.Item()
		n++
	}
	return n
}

// got counts the two keys that the transactions would set.
func got(t *badger.Txn) (n int) {
	for _, key := range []string{"owner/a", "owner/b"} {
		switch _, err := t.Get([]byte(key)); {
		case err == nil:
			n++
		case !errors.Is(err, badger.ErrKeyNotFound):
			try(err)
		}
	}
	return n
}

// both has two transactions take what nobody owns, and gives how their commits ended.
func both(owners func(*badger.Txn) int) (first, second error, set int) {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	try(err)
	defer db.Close()
	a, b := db.NewTransaction(true), db.NewTransaction(true)
	defer a.Discard()
	defer b.Discard()
	if owners(a) == 0 {
		try(a.Set([]byte("owner/a"), nil))
	}
	if owners(b) == 0 {
		try(b.Set([]byte("owner/b"), nil))
	}
	first, second = a.Commit(), b.Commit()
	try(db.View(func(t *badger.Txn) error { set = iterated(t); return nil }))
	return first, second, set
}

func main() {
	i1, i2, iSet := both(iterated)
	g1, g2, gSet := both(got)
	fmt.Printf("by an iterator: %v, %v, keys set: %d; by Get: %v, %v, keys set: %d\n", i1, i2, iSet, g1, g2, gSet)
	if i1 != nil || i2 != nil || iSet != 2 || g1 != nil || !errors.Is(g2, badger.ErrConflict) || gSet != 1 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# badger v4.9.6: a read transaction cannot begin while a commit is being written
#
# Badger keeps versions, so one expects a reader to see the last committed version at once
# while a writer waits for the disk. But NewTransaction waits until every commit that has
# its timestamp is written, also in DB.View, and it takes no context. One slow sync so
# stops all reads that begin meanwhile. A transaction that was open before reads on.
#
# Seen (the logger that Badger calls in the midst of a commit stands in for a slow disk):
#   while a commit is being written: a read that began before: before, a new read: waits; after it: after
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
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// disk holds up a commit between its timestamp and its being written, once it is slow.
type disk struct {
	slow      atomic.Bool
	reached   chan struct{}
	goesAhead chan struct{}
}

func (d *disk) Debugf(format string, _ ...any) {
	if strings.HasPrefix(format, "Writing to memtable") && d.slow.CompareAndSwap(true, false) {
		close(d.reached)
		<-d.goesAhead
	}
}
func (*disk) Infof(string, ...any)    {}
func (*disk) Warningf(string, ...any) {}
func (*disk) Errorf(string, ...any)   {}

func get(t *badger.Txn) string {
	item, err := t.Get([]byte("key"))
	try(err)
	value, err := item.ValueCopy(nil)
	try(err)
	return string(value)
}

// waits says whether a goroutine waits in NewTransaction for those that commit.
func waits() bool {
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "WaitForMark") && strings.Contains(stack, "(*DB).View") &&
			strings.Contains(stack, "[select") {
			return true
		}
	}
	return false
}

func main() {
	d := &disk{reached: make(chan struct{}), goesAhead: make(chan struct{})}
	db, err := badger.Open(badger.DefaultOptions("db").WithLogger(d))
	try(err)
	set := func(value string) error {
		return db.Update(func(t *badger.Txn) error { return t.Set([]byte("key"), []byte(value)) })
	}
	try(set("before"))
	old := db.NewTransaction(false)
	defer old.Discard()

	d.slow.Store(true)
	committed := make(chan error, 1)
	go func() { committed <- set("after") }()
	select {
	case <-d.reached:
	case <-time.After(time.Minute):
		try(errors.New("the commit did not come to its midst"))
	}
	read := make(chan string, 1)
	go func() {
		_ = db.View(func(t *badger.Txn) error { read <- get(t); return nil })
	}()
	state := ""
	for end := time.Now().Add(time.Minute); state == ""; time.Sleep(time.Millisecond) {
		select {
		case state = <-read:
		default:
			if waits() {
				state = "waits"
			} else if time.Now().After(end) {
				try(errors.New("the read neither waits nor ends"))
			}
		}
	}
	held := get(old)
	close(d.goesAhead)
	try(<-committed)
	after := ""
	if state == "waits" {
		after = <-read
	}
	fmt.Printf("while a commit is being written: a read that began before: %s, a new read: %s; after it: %s\n", held, state, after)
	if held != "before" || state != "waits" || after != "after" {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

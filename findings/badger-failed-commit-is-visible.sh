#!/usr/bin/env bash
# badger v4.9.6: a commit that failed to sync is seen by the next transaction
#
# With SyncWrites a commit puts its entries into the table in memory and syncs the log
# after that. When the sync fails, Commit gives the error, but the entries stay: the next
# transaction reads what was told to have failed, and the database goes on as before.
# A caller that repeats the work, or tells a user that nothing was done, is wrong.
#
# Seen (strace has each msync fail with EIO while the second value is committed):
#   commit of new: input/output error; read after it: new, nil
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go, strace
# and the right to trace a process of one's own.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
command -v strace >/dev/null || { echo "could not be tried: no strace" >&2; exit 2; }
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/dgraph-io/badger/v4 v4.9.6
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// noSync runs a function while no msync of this process succeeds.
func noSync(f func()) {
	const anyProcess = ^uintptr(0)
	_, _, _ = syscall.Syscall(syscall.SYS_PRCTL, 0x59616d61, anyProcess, 0) // PR_SET_PTRACER: a child may trace it
	strace := exec.Command("strace", "-f", "-p", fmt.Sprint(os.Getpid()), "-o", "strace.log",
		"-e", "trace=msync", "-e", "inject=msync:error=EIO")
	said, err := strace.StderrPipe()
	try(err)
	try(strace.Start())
	lines := bufio.NewScanner(said)
	attached := false
	for !attached && lines.Scan() {
		attached = strings.Contains(lines.Text(), " attached")
	}
	if !attached {
		try(errors.New("strace cannot trace this process"))
	}
	go func() { // new threads are told of too
		for lines.Scan() {
		}
	}()
	f()
	try(strace.Process.Signal(os.Interrupt))
	_ = strace.Wait()
}

func main() {
	db, err := badger.Open(badger.DefaultOptions("db").WithLogger(nil).WithSyncWrites(true))
	try(err)
	set := func(value string) error {
		return db.Update(func(t *badger.Txn) error { return t.Set([]byte("key"), []byte(value)) })
	}
	try(set("old"))
	var failure error
	noSync(func() { failure = set("new") })
	log, err := os.ReadFile("strace.log")
	try(err)
	if !strings.Contains(string(log), "INJECTED") {
		try(errors.New("no sync was made to fail"))
	}

	var value []byte
	readErr := db.View(func(t *badger.Txn) error {
		item, err := t.Get([]byte("key"))
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	fmt.Printf("commit of new: %v; read after it: %s, %v\n", failure, value, readErr)
	if failure == nil || readErr != nil || string(value) != "new" {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# badger v4.9.6: a commit whose value could not be synced answers nil
#
# A value above ValueThreshold goes to the value log, which a commit syncs with SyncWrites
# before the log of the table in memory. A failure of this first sync goes to the logger
# alone: when the second one succeeds, Commit gives nil, so that a caller holds for
# durable what the kernel has just said is not.
#
# Seen (strace has a thread's first msync fail with EIO; tried until it is the value log's):
#   logged: Error while curlf sync: input/output error; Commit: <nil>
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
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// errorLog remembers what Badger logs as errors.
type errorLog struct {
	mu     sync.Mutex
	errors []string
}

func (l *errorLog) Errorf(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, strings.TrimSpace(fmt.Sprintf(format, a...)))
}
func (*errorLog) Warningf(string, ...any) {}
func (*errorLog) Infof(string, ...any)    {}
func (*errorLog) Debugf(string, ...any)   {}

// taken gives the errors since the last call.
func (l *errorLog) taken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.errors = nil }()
	return strings.Join(l.errors, "; ")
}

// firstSyncFails runs a function while the first msync of each thread fails.
func firstSyncFails(f func()) {
	const anyProcess = ^uintptr(0)
	_, _, _ = syscall.Syscall(syscall.SYS_PRCTL, 0x59616d61, anyProcess, 0) // PR_SET_PTRACER: a child may trace it
	strace := exec.Command("strace", "-f", "-p", fmt.Sprint(os.Getpid()), "-o", "strace.log",
		"-e", "trace=msync", "-e", "inject=msync:error=EIO:when=1")
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
	logged := new(errorLog)
	db, err := badger.Open(badger.DefaultOptions("db").WithLogger(logged).WithSyncWrites(true).WithValueThreshold(1 << 10))
	try(err)
	_ = logged.taken()
	for range 20 {
		var failure error
		firstSyncFails(func() {
			failure = db.Update(func(t *badger.Txn) error { return t.Set([]byte("key"), make([]byte, 4<<10)) })
		})
		told := logged.taken()
		// Unless one thread made both syncs, the second one failed as well, and its error is told.
		// Were the first one's error told, it would be so every time.
		if failure == nil && strings.Contains(told, "sync") {
			fmt.Printf("logged: %s; Commit: %v\n", told, failure)
			return
		}
		if failure == nil {
			try(errors.New("no sync was made to fail"))
		}
	}
	fmt.Println("each commit with a failed sync gave an error")
	os.Exit(1)
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

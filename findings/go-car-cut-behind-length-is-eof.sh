#!/usr/bin/env bash
# go-car v2.17.0: a CAR that is cut right behind a section's length ends like a whole one
#
# BlockReader.Next answers io.ErrUnexpectedEOF when a CARv1 is cut within a section. When
# the cut is right behind the varint that gives the section's length, it answers plain
# io.EOF, as at the end of a whole file. A reader that takes io.EOF for the end imports
# such a file as complete and loses the last block without an error.
#
# Seen (two blocks, the second one with a length of two bytes):
#   whole file: 2 blocks, EOF; cut behind the second length: 1 block, EOF; cut a byte later: 1 block, unexpected EOF
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require (
	github.com/ipfs/go-block-format v0.2.4
	github.com/ipfs/go-cid v0.6.2
	github.com/ipld/go-car/v2 v2.17.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// read counts the blocks until the reader ends, and says with what.
func read(file []byte) (int, error) {
	r, err := car.NewBlockReader(bytes.NewReader(file))
	try(err)
	for n := 0; ; n++ {
		if _, err := r.Next(); err != nil {
			return n, err
		}
	}
}

func main() {
	ctx := context.Background()
	first, second := blocks.NewBlock([]byte("first")), blocks.NewBlock(make([]byte, 300))
	f, err := os.Create("two.car")
	try(err)
	w, err := storage.NewWritable(f, []cid.Cid{first.Cid()}, car.WriteAsCarV1(true))
	try(err)
	for _, b := range []blocks.Block{first, second} {
		try(w.Put(ctx, b.Cid().KeyString(), b.RawData()))
	}
	try(w.Finalize())
	try(f.Close())
	file, err := os.ReadFile("two.car")
	try(err)

	section := second.Cid().ByteLen() + len(second.RawData()) // what follows the length
	behindLength := len(file) - section
	n, end := read(file)
	n1, end1 := read(file[:behindLength])
	n2, end2 := read(file[:behindLength+1])
	fmt.Printf("whole file: %d blocks, %v; cut behind the second length: %d block, %v; cut a byte later: %d block, %v\n",
		n, end, n1, end1, n2, end2)
	if n != 2 || end != io.EOF || n1 != 1 || end1 != io.EOF || !errors.Is(end2, io.ErrUnexpectedEOF) {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

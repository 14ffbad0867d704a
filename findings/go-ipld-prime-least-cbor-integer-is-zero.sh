#!/usr/bin/env bash
# go-ipld-prime v0.24.0: dag-cbor's least integer, -2^64, is decoded as 0
#
# CBOR's negative integers go down to -2^64. The dag-cbor decoder gives an error for
# -2^63-1, which an int64 cannot hold, but decodes -2^64 as 0 without an error. The node
# encodes to other bytes than it was read from, so its CID changes too.
#
# Seen:
#   -2^63: -9223372036854775808; -2^63-1: an error; -2^64: 0, and encoded again 00
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/ipld/go-ipld-prime v0.24.0
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/node/basicnode"
)

// negative is the CBOR of -1-n.
func negative(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0x3b}, n) }

func decode(b []byte) (datamodel.Node, error) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := dagcbor.Decode(nb, bytes.NewReader(b)); err != nil {
		return nil, err
	}
	return nb.Build(), nil
}

func main() {
	low, err := decode(negative(1<<63 - 1))
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
	lowest, err := low.AsInt()
	_, belowErr := decode(negative(1 << 63))
	least, leastErr := decode(negative(1<<64 - 1))
	if err != nil || belowErr == nil || leastErr != nil {
		fmt.Println("-2^63:", lowest, err, "-2^63-1:", belowErr, "-2^64:", leastErr)
		os.Exit(1)
	}
	value, err := least.AsInt()
	var again bytes.Buffer
	if err := dagcbor.Encode(least, &again); err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
	fmt.Printf("-2^63: %d; -2^63-1: an error; -2^64: %d, and encoded again %x\n", lowest, value, again.Bytes())
	if err != nil || value != 0 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

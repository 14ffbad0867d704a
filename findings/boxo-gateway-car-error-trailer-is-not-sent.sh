#!/usr/bin/env bash
# boxo v0.43.0: a CAR that fails in its midst is a whole answer, for a year, without a trailer
#
# When a block cannot be read in the midst of a CAR, the gateway sets X-Stream-Error, which
# its comments call a trailer. It was not declared before the body began, so net/http does
# not send it. The 200 ends as a good one does, with Cache-Control: immutable, so that a
# cache keeps it; all that is left is a text at the end of the body, where a reader of
# CARs expects a length. Who checks that HTTP succeeded has a file that is not whole.
#
# Seen (one of 100 files of a directory cannot be read):
#   status: 200, reading it: <nil>, trailers: 0, Cache-Control: public, max-age=29030400, immutable
#   files in it: 90, the text at the end: true
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
	github.com/ipfs/boxo v0.43.0
	github.com/ipfs/go-block-format v0.2.4
	github.com/ipfs/go-cid v0.6.2
	github.com/ipfs/go-datastore v0.9.2
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
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// failing is a block store that cannot read one block.
type failing struct {
	blockstore.Blockstore
	broken cid.Cid
}

func (s failing) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if c.Equals(s.broken) {
		return nil, errors.New("the disk cannot be read")
	}
	return s.Blockstore.Get(ctx, c)
}

func file(i int) []byte { return bytes.Repeat([]byte{byte(i), 1}, 5_000) }

func main() {
	ctx := context.Background()
	store := &failing{Blockstore: blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))}
	directory := unixfs.EmptyDirNode()
	for i := range 100 {
		leaf := merkledag.NewRawNode(file(i))
		try(store.Put(ctx, leaf))
		try(directory.AddNodeLink(fmt.Sprintf("file%02d", i), leaf))
		if i == 90 { // in the midst: much was sent before
			store.broken = leaf.Cid()
		}
	}
	try(store.Put(ctx, directory))
	backend, err := gateway.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)))
	try(err)
	server := httptest.NewServer(gateway.NewHandler(gateway.Config{}, backend))
	defer server.Close()

	response, err := http.Get(server.URL + "/ipfs/" + directory.Cid().String() + "?format=car")
	try(err)
	defer response.Body.Close()
	body, readErr := io.ReadAll(response.Body)
	cached := response.Header.Get("Cache-Control")
	files := 0
	for i := range 100 {
		if bytes.Contains(body, file(i)) {
			files++
		}
	}
	marked := bytes.HasSuffix(body, []byte("response is incomplete]"))
	fmt.Printf("status: %d, reading it: %v, trailers: %d, Cache-Control: %s\n",
		response.StatusCode, readErr, len(response.Trailer), cached)
	fmt.Printf("files in it: %d, the text at the end: %t\n", files, marked)
	if response.StatusCode != http.StatusOK || readErr != nil || len(response.Trailer) > 0 ||
		!strings.Contains(cached, "immutable") || files == 100 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# ipfs-cluster v1.1.6: blocks that are added together are all hashed as the first one is, without an error
#
# A peer gives the blocks of `ipfs-cluster-ctl add` to its node in one call of block/put, with the
# hash function and the codec of the first block. A CAR may have blocks of several hash functions
# (`ipfs dag export` of a DAG with some in blake2b, say). The node stores the others under hashes
# that nobody asks for, and answers with their CIDs. The peer logs a warning, and the call succeeds.
# So the CAR counts as added and is pinned, and its pin then looks for blocks that were in the CAR.
# Here the peer's part that talks to its node meets a node of some lines that hashes what it is
# given as it is told to.
#
# Seen:
#   added: two blocks, error <nil>
#   block/put with mhtype=sha2-256, cid-codec=raw
#   sha2-256 block under its own hash: true
#   blake2b-256 block under its own hash: false
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26

require (
	github.com/ipfs-cluster/ipfs-cluster v1.1.6
	github.com/ipfs/go-cid v0.6.1
	github.com/ipfs/go-log/v2 v2.9.2
	github.com/multiformats/go-multiaddr v0.16.1
	github.com/multiformats/go-multihash v0.2.3
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/ipfs-cluster/ipfs-cluster/api"
	"github.com/ipfs-cluster/ipfs-cluster/ipfsconn/ipfshttp"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-log/v2"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// node hashes blocks as it is told to.
type node struct {
	asked  string
	stored map[string]bool // by multihash
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/block/put") {
		http.NotFound(w, r)
		return
	}
	q := r.URL.Query()
	n.asked = fmt.Sprintf("mhtype=%s, cid-codec=%s", q.Get("mhtype"), q.Get("cid-codec"))
	parts, err := r.MultipartReader()
	try(err)
	for {
		p, err := parts.NextPart()
		if err == io.EOF {
			return
		}
		try(err)
		data, err := io.ReadAll(p)
		try(err)
		h, err := multihash.Sum(data, multihash.Names[q.Get("mhtype")], -1)
		try(err)
		n.stored[string(h)] = true
		try(json.NewEncoder(w).Encode(map[string]any{"Key": cid.NewCidV1(cid.Raw, h).String(), "Size": len(data)}))
	}
}

func block(text string, hash uint64) api.NodeWithMeta {
	h, err := multihash.Sum([]byte(text), hash, -1)
	try(err)
	return api.NodeWithMeta{Data: []byte(text), Cid: api.NewCid(cid.NewCidV1(cid.Raw, h)), CumSize: uint64(len(text))}
}

func main() {
	log.SetAllLoggers(log.LevelFatal)
	n := &node{stored: make(map[string]bool)}
	s := httptest.NewServer(n)
	defer s.Close()
	host, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	var cfg ipfshttp.Config
	try(cfg.Default())
	var err error
	cfg.NodeAddr, err = ma.NewMultiaddr("/ip4/" + host + "/tcp/" + port)
	try(err)
	cfg.InformerTriggerInterval = 0
	peer, err := ipfshttp.NewConnector(&cfg)
	try(err)

	first, second := block("one", multihash.SHA2_256), block("two", multihash.BLAKE2B_MIN+31)
	blocks := make(chan api.NodeWithMeta, 2)
	blocks <- first
	blocks <- second
	close(blocks)
	err = peer.BlockStream(context.Background(), blocks)
	has := func(b api.NodeWithMeta) bool { return n.stored[string(b.Cid.Cid.Hash())] }
	fmt.Println("added: two blocks, error", err)
	fmt.Println("block/put with", n.asked)
	fmt.Println("sha2-256 block under its own hash:", has(first))
	fmt.Println("blake2b-256 block under its own hash:", has(second))
	if err != nil || has(second) {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

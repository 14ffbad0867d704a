#!/usr/bin/env bash
# boxo v0.43.0: a router's answer that breaks off reads as an end without an error
#
# The delegated routing client's FindProviders and FindPeers drop the error of decoding an
# answer of application/json, and with it the error of reading it. When the connection
# breaks in the midst of the answer, both give an empty list and no error, neither at the
# call nor by the iterator: as if the router had said that nobody has the block. Of
# application/x-ndjson the records before the break are kept, but the filter of addresses
# and protocols, which is on unless switched off, drops the error as well.
#
# Seen (a router that hangs up in the midst of the second of two records):
#   filter on:  providers, json: 0, <nil>; peers, json: 0, <nil>; providers, ndjson: 1, <nil>
#   filter off: providers, json: 0, <nil>; peers, json: 0, <nil>; providers, ndjson: 1, unexpected EOF
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
	github.com/ipfs/go-cid v0.6.2
	github.com/libp2p/go-libp2p v0.51.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/types/iter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	someone = "12D3KooWCZ67sU8oCvKd82Y6c9NgpqgoZYuZEUcg4upHCjK3n1aj"
	record  = `{"Schema":"peer","ID":"` + someone + `","Addrs":["/ip4/127.0.0.1/tcp/4001"]}`
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// count reads to the end and gives how many records there were, and the first error.
func count[T any](it iter.ResultIter[T], err error) (int, error) {
	if err != nil {
		return 0, err
	}
	defer it.Close()
	n := 0
	for it.Next() {
		if result := it.Val(); result.Err != nil {
			return n, result.Err
		}
		n++
	}
	return n, nil
}

func main() {
	ndjson := false
	router := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		field := "Providers"
		if strings.Contains(r.URL.Path, "/peers/") {
			field = "Peers"
		}
		kind, answer := "application/json", `{"`+field+`":[`+record+","+record+"]}"
		if ndjson {
			kind, answer = "application/x-ndjson", record+"\n"+record+"\n"
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(answer[:len(answer)-len(record)/2]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // hangs up
	}))
	defer router.Close()
	ctx := context.Background()
	key := cid.MustParse("bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
	id, err := peer.Decode(someone)
	try(err)

	so := true
	for _, filter := range []string{"on: ", "off:"} {
		c, err := client.New(router.URL, client.WithDisabledLocalFiltering(filter == "off:"))
		try(err)
		ndjson = false
		providers, providersErr := count(c.FindProviders(ctx, key))
		peers, peersErr := count(c.FindPeers(ctx, id))
		ndjson = true
		streamed, streamedErr := count(c.FindProviders(ctx, key))
		fmt.Printf("filter %s providers, json: %d, %v; peers, json: %d, %v; providers, ndjson: %d, %v\n",
			filter, providers, providersErr, peers, peersErr, streamed, streamedErr)
		so = so && providersErr == nil && peersErr == nil && providers == 0 && peers == 0 && streamed == 1 &&
			(streamedErr == nil) == (filter == "on: ")
	}
	if !so {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

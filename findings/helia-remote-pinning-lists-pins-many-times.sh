#!/usr/bin/env bash
# @helia/remote-pinning 2.0.4: ls() yields the same pins again and again
#
# The Pinning Services API v1.0.0 lists pins from the newest to the oldest, and the next page
# is asked for by `before`. ls() asks for what comes `after` the oldest pin that it has seen,
# so the next page is the newer pins again, all but one, and so on, until nothing is left:
# of n pins that fit into one page it yields n(n+1)/2.
#
# Seen:
#   pins: 4, yielded: 10 (d c b a d c b d c d), requests: 5
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Node, npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.mjs <<'JS'
import http from 'node:http'
import { createRemotePins } from '@helia/remote-pinning'

process.on('unhandledRejection', err => {
  console.error('could not be tried:', err)
  process.exit(2)
})
const cid = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
// Newest first, a second apart.
const pins = ['d', 'c', 'b', 'a'].map((name, i) => ({
  requestid: name,
  status: 'pinned',
  created: new Date(Date.UTC(2026, 0, 2, 3, 4, 9 - i)).toISOString(),
  pin: { cid, name },
  delegates: []
}))

let requests = 0
const service = http.createServer((request, response) => {
  requests++
  const query = new URL(request.url, 'http://localhost').searchParams
  const time = name => query.has(name) ? Date.parse(query.get(name)) : undefined
  const before = time('before') ?? Infinity
  const after = time('after') ?? -Infinity
  const matches = pins.filter(({ created }) => Date.parse(created) < before && Date.parse(created) > after)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ count: matches.length, results: matches.slice(0, Number(query.get('limit') ?? 10)) }))
})
service.listen(0, '127.0.0.1', async () => {
  const endpointUrl = 'http://127.0.0.1:' + service.address().port
  // A node is not needed: ls() speaks to the service alone.
  const remote = createRemotePins({}, { endpointUrl, accessToken: 'token' })
  const names = []
  for await (const pin of remote.ls()) {
    names.push(pin.name)
    if (names.length > 100) break
  }
  service.close()
  console.log(`pins: ${pins.length}, yielded: ${names.length} (${names.join(' ')}), requests: ${requests}`)
  const all = pins.every(({ requestid }) => names.includes(requestid))
  process.exitCode = all && names.length > pins.length ? 0 : 1
})
JS
npm install --no-save --silent --ignore-scripts @helia/remote-pinning@2.0.4 >/dev/null 2>&1 ||
	{ echo "could not be tried: the package cannot be installed" >&2; exit 2; }
node main.mjs

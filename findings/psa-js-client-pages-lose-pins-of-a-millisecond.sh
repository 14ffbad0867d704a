#!/usr/bin/env bash
# @ipfs-shipyard/pinning-service-client 3.0.0: paging skips pins made in one millisecond
#
# The Pinning Services API v1.0.0 pages by `before`, with the `created` of the oldest pin
# so far, a date-time of any precision. The client makes a Date of `created`, which has
# milliseconds, and so sends less than it was given. A service that keeps microseconds,
# as most databases do, then leaves out all that lie between: the pages end early, without
# an error, and fewer pins were listed than `count` said.
#
# Seen (three pins 400 microseconds apart, pages of one):
#   count: 3, listed: 1; created: 2026-01-02T03:04:05.000900Z, before: 2026-01-02T03:04:05.000Z
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Node, npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.mjs <<'JS'
import http from 'node:http'
import { Configuration, RemotePinningServiceClient } from '@ipfs-shipyard/pinning-service-client'

const cid = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
// Newest first. The times differ in their microseconds alone, and so can be compared as text.
const pins = ['900', '500', '100'].map(microseconds => ({
  requestid: microseconds,
  status: 'pinned',
  created: `2026-01-02T03:04:05.000${microseconds}Z`,
  pin: { cid },
  delegates: []
}))
// The same instant in the digits that the pins have.
const micros = time => time.replace(/(?:\.(\d*))?Z$/, (_, digits = '') => '.' + digits.padEnd(6, '0') + 'Z')

const asked = []
const service = http.createServer((request, response) => {
  const query = new URL(request.url, 'http://localhost').searchParams
  const before = query.get('before')
  if (before !== null) asked.push(before)
  const matches = pins.filter(pin => before === null || pin.created < micros(before))
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ count: matches.length, results: matches.slice(0, Number(query.get('limit'))) }))
})
service.listen(0, '127.0.0.1', async () => {
  const endpointUrl = 'http://127.0.0.1:' + service.address().port
  const client = new RemotePinningServiceClient(new Configuration({ endpointUrl, accessToken: 'token' }))
  let count
  const listed = []
  for (let before; ; before = listed.at(-1).created) {
    const page = await client.pinsGet({ limit: 1, ...(before && { before }) })
    count ??= page.count
    listed.push(...page.results)
    if (page.count === page.results.length) break
  }
  service.close()
  console.log(`count: ${count}, listed: ${listed.length}; created: ${pins[0].created}, before: ${asked[0]}`)
  process.exitCode = count === pins.length && listed.length < count ? 0 : 1
})
JS
npm install --no-save --silent @ipfs-shipyard/pinning-service-client@3.0.0 >/dev/null 2>&1 ||
	{ echo "could not be tried: the package cannot be installed" >&2; exit 2; }
node main.mjs

#!/usr/bin/env bash
# @filebase/sdk 1.0.6: PinManager.replace throws after the pin was replaced
#
# The Pinning Services API v1.0.0 has one answer for a pin that is replaced, POST
# /pins/{requestid}: 202, with the status of the new one. PinManager.replace takes 200
# alone. It throws on 202, so the caller never learns the new request id, and the old one
# is gone. PinManager.create takes 202.
#
# Seen (a service that answers 202 to both):
#   create: requestid 1
#   replace: throws "Request failed with status code 202"; the service has: 2
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Node, npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.mjs <<'JS'
import http from 'node:http'

process.on('unhandledRejection', err => {
  console.error('could not be tried:', err)
  process.exit(2)
})
const one = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
const other = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'

let has = 0 // the request id of the one pin
const service = http.createServer((request, response) => {
  const chunks = []
  request.on('data', chunk => chunks.push(chunk)).on('end', () => {
    const pin = JSON.parse(Buffer.concat(chunks))
    has++
    response.writeHead(202, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ requestid: String(has), status: 'queued', created: '2026-01-02T03:04:05Z', pin, delegates: [] }))
  })
})
service.listen(0, '127.0.0.1', async () => {
  // The address of the service is the package's own, except when it is tested.
  process.env.NODE_ENV = 'test'
  process.env.TEST_NAME_ENDPOINT = 'http://127.0.0.1:' + service.address().port
  const { PinManager } = await import('@filebase/sdk')
  const pins = new PinManager('key', 'secret', { bucket: 'bucket' })
  const created = await pins.create('name', one)
  console.log('create: requestid', created.requestid)
  let replaced, thrown
  try {
    replaced = await pins.replace(created.requestid, other)
  } catch (err) {
    thrown = err
  }
  service.close()
  service.closeAllConnections()
  console.log(`replace: ${thrown ? `throws "${thrown.message}"` : 'requestid ' + replaced.requestid}; the service has: ${has}`)
  process.exitCode = has === 2 && thrown ? 0 : 1
})
JS
npm install --no-save --silent --ignore-scripts @filebase/sdk@1.0.6 >/dev/null 2>&1 ||
	{ echo "could not be tried: the package cannot be installed" >&2; exit 2; }
node main.mjs

// A page as an app would have it: content is added to the Helia in it, the server is asked
// to pin it, and the page dials the delegates of the answer, so that the server can fetch
// it from here.
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { webTransport } from '@libp2p/webtransport'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'

const all = { webtransport: webTransport, websocket: webSockets, 'webrtc-direct': webRTCDirect }

async function startHelia (transports) {
  const helia = withBitswap(withLibp2pLight(createHeliaLight(), {
    transports: transports.map(name => all[name]()),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
    // By default pages do not dial private addresses, nor WebSockets without TLS.
    connectionGater: { denyDialMultiaddr: () => false }
  }))
  await helia.start()
  return helia
}

async function pin ({ endpoint, token, transports, size }) {
  const helia = await startHelia(transports)
  const content = new Uint8Array(size)
  for (let at = 0; at < size; at += 65536) { // of which it gives no more at a time
    crypto.getRandomValues(content.subarray(at, Math.min(at + 65536, size)))
  }
  const cid = await unixfs(helia).addBytes(content)

  const ask = async (path, init) => {
    const answer = await fetch(endpoint + path, { ...init, headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' } })
    if (!answer.ok) {
      throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    }
    return answer.json()
  }
  const began = performance.now()
  let request = await ask('pins', { method: 'POST', body: JSON.stringify({ cid: cid.toString(), name: transports.join() }) })
  const { delegates } = request
  const connection = await helia.libp2p.dial(delegates.map(d => multiaddr(d)))
  while (request.status !== 'pinned' && request.status !== 'failed') {
    await new Promise(resolve => setTimeout(resolve, 100))
    request = await ask(`pins/${request.requestid}`)
  }
  const took = performance.now() - began
  await helia.stop()
  return { cid: cid.toString(), status: request.status, info: request.info, took, by: connection.remoteAddr.toString(), delegates }
}

try {
  const result = await pin(await (await fetch('task')).json())
  await fetch('result', { method: 'POST', body: JSON.stringify(result) })
} catch (err) {
  const lines = [err.stack ?? String(err), ...(err.errors ?? []).map(e => e.stack ?? String(e))]
  await fetch('result', { method: 'POST', body: JSON.stringify({ error: lines.join('\n') }) })
}

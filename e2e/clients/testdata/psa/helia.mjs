// Makes every request with Helia's client, in place of a node that has an address and
// connects to nobody: helia.mjs BASE TOKEN.
import { createRemotePins } from '@helia/remote-pinning';
import { multiaddr } from '@multiformats/multiaddr';
import { CID } from 'multiformats/cid';
import { collect, every, fails, nowhere, one, origin, two, want } from './check.mjs';

const [base, token] = process.argv.slice(2);
const dialled = [];
const node = { libp2p: { getMultiaddrs: () => [multiaddr(origin)], dial: async addrs => dialled.push(...addrs) } };
const connect = accessToken => createRemotePins(node, { endpointUrl: `${base}/api/psa`, accessToken, pollInterval: 20 });
const pins = connect(token);
const metadata = { app: 'with a space' };

want('added', (await collect(pins.add(CID.parse(one), { name: 'a name', metadata }))).map(String), [one]);
want('delegates were dialled', dialled.length > 0, true);
const pin = { depth: Infinity, metadata, name: 'a name', status: 'pinned' };
const seen = p => ({ ...p, cid: p.cid.toString() });
want('list', (await collect(pins.ls())).map(seen), [{ cid: one, ...pin }]);
want('list by CID', (await collect(pins.ls({ cid: CID.parse(one) }))).map(seen), [{ cid: one, ...pin }]);
want('list by another CID', await collect(pins.ls({ cid: CID.parse(two) })), []);
want('list by part of a name', (await collect(pins.ls({ name: 'NAME', match: 'ipartial' }))).length, 1);
want('list by status', await collect(pins.ls({ status: ['queued', 'failed'] })), []);
want('get', (await pins.get(CID.parse(one))).metadata, metadata);
want('is pinned', [await pins.isPinned(CID.parse(one)), await pins.isPinned(CID.parse(two))], [true, false]);
await pins.setMetadata(CID.parse(one), { app: 'other' });
want('metadata was replaced', (await collect(pins.ls({ status: every })))[0].metadata, { app: 'other' });

// What nobody has is waited for, until the signal.
const signal = AbortSignal.timeout(500);
want('aborted', (await fails('what nobody has', collect(pins.add(CID.parse(nowhere), { signal })))).name, 'TimeoutError');
want('it is asked for', (await collect(pins.ls({ status: ['queued', 'pinning'] }))).map(p => p.cid.toString()), [nowhere]);
want('not found', (await fails('get', pins.get(CID.parse(two)))).name, 'NotFoundError');
want('another token', (await fails('list', collect(connect('stolen').ls()))) instanceof Error, true);
await collect(pins.rm(CID.parse(one)));
want('list of nothing', await collect(pins.ls()), []);

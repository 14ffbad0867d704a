// Has kubo-rpc-client call every command of Kubo's RPC that there is: rpc.mjs BASE TOKEN.
import { create } from 'kubo-rpc-client';
import { CID } from 'multiformats/cid';
import * as json from 'multiformats/codecs/json';
import { sha256 } from 'multiformats/hashes/sha2';
import { collect, fails, nowhere, want } from './check.mjs';

const [base, token] = process.argv.slice(2);
const client = create({ url: `${base}/api/v0`, headers: { authorization: `Bearer ${token}` } });
const bytes = async source => Buffer.concat(await collect(source));
const text = s => new TextEncoder().encode(s);

// What goes in.
const progress = [];
const file = await client.add(text('content'), { cidVersion: 1, pin: true, progress: n => progress.push(n) });
want('add', file.cid.toString(), 'bafkreihnoabliopjvscf6irvpwbcxlauirzq7pnwafwt5skdekl3t3e7om');
const dag = await collect(client.addAll([
	{ path: 'dir/a', content: text('content') },
	{ path: 'dir/sub/b', content: text('another') },
	{ path: 'dir/empty' },
], { cidVersion: 1, wrapWithDirectory: false }));
const dir = dag.at(-1);
want('addAll', dag.map(d => d.path).sort(), ['dir', 'dir/a', 'dir/empty', 'dir/sub', 'dir/sub/b']);
want('only-hash', (await client.add(text('not kept'), { onlyHash: true, cidVersion: 1 })).cid.version, 1);
const block = await client.block.put(text('a block'), { format: 'raw', mhtype: 'sha2-256', pin: true });
want('block.put', block.toString(), CID.createV1(0x55, await sha256.digest(text('a block'))).toString());
const node = await client.dag.put({ a: 1, link: file.cid }, { storeCodec: 'dag-cbor', hashAlg: 'sha2-256', pin: true });
want('dag.put', node.code, 0x71);

// What comes out.
want('cat', (await bytes(client.cat(file.cid))).toString(), 'content');
want('cat of a path', (await bytes(client.cat(`/ipfs/${dir.cid}/sub/b`, { offset: 2, length: 3 }))).toString(), 'oth');
want('ls', (await collect(client.ls(dir.cid))).map(e => [e.name, e.type, e.size]), [['a', 'file', 7], ['empty', 'dir', 0], ['sub', 'dir', 0]]);
want('get', (await bytes(client.get(file.cid))).includes('content'), true);
want('refs', (await collect(client.refs(dir.cid, { recursive: true }))).length, 4);
want('block.get', Buffer.from(await client.block.get(block)).toString(), 'a block');
want('block.stat', (await client.block.stat(block)).size, 7);
want('dag.get', (await client.dag.get(node)).value.a, 1);
want('dag.get of a path', (await client.dag.get(node, { path: '/a' })).value, 1);
const car = await bytes(client.dag.export(dir.cid));
want('dag.export', car.length > 200, true);
want('dag.import', (await collect(client.dag.import([car], { pinRoots: true }))).map(r => [r.root.cid.toString(), r.root.pinErrorMsg]), [[dir.cid.toString(), '']]);

// Pins.
const pins = async by => (await collect(client.pin.ls(by))).map(p => p.cid.toString()).sort();
const all = [file.cid, dir.cid, block, node].map(String).sort();
want('pin.ls', await pins({ type: 'recursive' }), all);
want('pin.ls of one', await pins({ paths: [file.cid] }), [file.cid.toString()]);
want('pin.add', (await client.pin.add(file.cid)).toString(), file.cid.toString());
want('pin.addAll', (await collect(client.pin.addAll([file.cid, block]))).map(String), [file.cid, block].map(String));
want('pin.update', (await client.pin.update(block, CID.parse('bafkqaa3pnzsq'))).map(String), [block, 'bafkqaa3pnzsq'].map(String));
want('pin.rm', (await client.pin.rm(node)).toString(), node.toString());
want('pin.rmAll', (await collect(client.pin.rmAll([CID.parse('bafkqaa3pnzsq')]))).map(String), ['bafkqaa3pnzsq']);
want('the pins that are left', await pins({ type: 'recursive' }), [file.cid, dir.cid].map(String).sort());

// The server.
const id = await client.id();
want('id', [id.agentVersion.startsWith('holdfast/'), id.protocols.includes('/ipfs/bitswap/1.2.0')], [true, true]);
want('version', (await client.version()).version, '0.43.0');
want('commands', (await client.commands()).Name ?? (await client.commands()).name, 'ipfs');
const stat = await client.repo.stat();
want('repo.stat', [stat.repoSize > 0n, stat.storageMax > stat.repoSize], [true, true]);
want('swarm.peers', await client.swarm.peers({ verbose: true }), []);
want('routing.findProvs', await collect(client.routing.findProvs(CID.parse(nowhere), { numProviders: 2 })), []);

// Errors are those of Kubo.
for (const [what, call, message] of [
	['cat of a directory', () => bytes(client.cat(dir.cid)), 'this dag node is a directory'],
	['cat of what is not here', () => bytes(client.cat(nowhere)), 'could not find'],
	['pin.rm of what is not pinned', () => client.pin.rm(node), 'not pinned or pinned indirectly'],
	['a command that is not here', () => collect(client.files.ls('/')), 'there is no such command'],
	['another token', () => bytes(create({ url: `${base}/api/v0`, headers: { authorization: 'Bearer x' } }).cat(file.cid)), 'token'],
]) {
	want(what, (await fails(what, call())).message.includes(message), true);
}

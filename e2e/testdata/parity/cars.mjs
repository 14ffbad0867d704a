// Writes CARs with @ipld/car, as odd as they may be, and prints the name of each: cars.mjs DIR.
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CarWriter } from '@ipld/car';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { identity } from 'multiformats/hashes/identity';
import { sha256 } from 'multiformats/hashes/sha2';

const [dir] = process.argv.slice(2);
const block = async s => {
	const bytes = new TextEncoder().encode(s);
	return { cid: CID.createV1(raw.code, await sha256.digest(bytes)), bytes };
};
const [a, b, c] = await Promise.all(['one', 'two', 'three'].map(block));
const inlined = { cid: CID.createV1(raw.code, identity.digest(new TextEncoder().encode('here'))), bytes: new TextEncoder().encode('here') };
const nobody = await block('nobody has it');
const link = (cid, name) => ({ cid, name });

// A node of dag-pb with links, written by hand: field 2 is a link of hash, name and size.
function pb (...links) {
	const field = (n, bytes) => [n << 3 | 2, bytes.length, ...bytes];
	return Uint8Array.from(links.flatMap(l => field(2, [...field(1, l.cid.bytes), ...field(2, new TextEncoder().encode(l.name)), 3 << 3, 0])));
}
async function node (...links) {
	const bytes = pb(...links);
	return { cid: CID.createV1(0x70, await sha256.digest(bytes)), bytes };
}
const top = await node(link(a.cid, 'a'), link(b.cid, 'b'));
const above = await node(link(top.cid, 'top'), link(inlined.cid, 'inlined'));
const holey = await node(link(nobody.cid, 'x'));

for (const [name, roots, blocks] of [
	['two-roots', [a, b], [a, b, c]],
	['same-root-twice', [a, a], [a]],
	['duplicates', [top], [top, a, b, a, b, top]],
	['leaves-first', [above], [b, a, top, above]],
	['identity', [above], [above, top, inlined, a, b]],
	['identity-root', [inlined], [inlined]],
	['no-roots', [], [a]],
	['root-that-is-absent', [nobody], [a]],
	['block-that-is-absent', [holey], [holey]],
]) {
	const { writer, out } = CarWriter.create(roots.map(r => r.cid));
	const written = pipeline(Readable.from(out), createWriteStream(join(dir, `${name}.car`)));
	for (const { cid, bytes } of blocks) {
		await writer.put({ cid, bytes });
	}
	await writer.close();
	await written;
	console.log(name);
}

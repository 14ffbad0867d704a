// Adds trees with kubo-rpc-client, and prints the CID of each: add.mjs URL TOKEN. Standard input
// says which trees, and by which parameters of Kubo's add.
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { create } from 'kubo-rpc-client';

const [url, token] = process.argv.slice(2);
const { root, names, parameters } = JSON.parse(await text(process.stdin));
const client = create({ url: `${url}/api/v0`, headers: { authorization: `Bearer ${token}` } });

// Directories come as entries without content.
async function * entries (path) {
	const at = join(root, path);
	if (!(await stat(at)).isDirectory()) {
		yield { path, content: createReadStream(at) };
		return;
	}
	yield { path };
	for (const name of await readdir(at)) {
		yield * entries(`${path}/${name}`);
	}
}

for (const name of names) {
	let last;
	for await (const added of client.addAll(entries(name), { pin: true, ...parameters })) {
		last = added;
	}
	console.log(last.cid.toString());
}

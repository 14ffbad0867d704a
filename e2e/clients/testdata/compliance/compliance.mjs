// Runs the compliance suite of the pinning API: compliance.mjs BASE TOKEN SPEC KUBO. SPEC is a file with
// the description of the API, and KUBO the URL of a Kubo's API.
//
// Three things are not as on the internet. The suite would fetch the description; it reads the file. It
// pins blocks that have the time in them, and nobody has those blocks; here the time is counted, and the
// Kubo has the blocks. As `ipfs pin remote add` does, the Kubo connects to the delegates of a pin. And the
// suite expects that a named pin is pinned by its next request, a second later; here the request for
// it ends when it is.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [base, token, spec, kubo] = process.argv.slice(2);
const suite = new URL('node_modules/@ipfs-shipyard/pinning-service-compliance/dist/', import.meta.url);
const checks = 9; // of version 1.8.1
const moments = 64; // the suite pins 20 blocks or so
const patience = 60_000; // ms; for one block from a Kubo that is connected

const constants = new URL('src/utils/constants.js', suite);
const before = readFileSync(constants, 'utf8');
const after = before.replace(/^const specLocation = .*$/m, `const specLocation = ${JSON.stringify(spec)};`);
if (after === before) throw new Error('the suite does not name the description where it did');
writeFileSync(constants, after);

let moment = 0;
process.hrtime = Object.assign(() => {
	if (moment === moments) throw new Error(`the suite pins more than ${moments} blocks`);
	return [moment++, 0];
}, { bigint: process.hrtime.bigint });

async function ask(call, body) {
	const res = await real(`${kubo}/api/v0/${call}`, { method: 'POST', body });
	if (!res.ok) throw new Error(`${call}: ${res.status} ${await res.text()}`);
}

const real = globalThis.fetch;
const blocks = new FormData();
for (let i = 0; i < moments; i++) blocks.append('file', new Blob([`${i},0`]));
await ask('block/put?cid-codec=raw', blocks);

const connected = new Set();
globalThis.fetch = async (url, init) => {
	const res = await real(url, init);
	if (init?.method !== 'POST' || !res.ok) return res;
	const { requestid, delegates } = await res.clone().json();
	for (const d of delegates.filter(d => !connected.has(d))) {
		connected.add(d);
		await ask(`swarm/connect?arg=${encodeURIComponent(d)}`);
	}
	if (JSON.parse(init.body).name === undefined) return res;
	for (const deadline = Date.now() + patience; Date.now() < deadline;) {
		const now = await real(`${base}/api/psa/pins/${requestid}`, { headers: { authorization: `Bearer ${token}` } });
		if ((await now.json()).status === 'pinned') break;
		await new Promise(r => setTimeout(r, 100));
	}
	return res;
};

process.argv.splice(1, Infinity, fileURLToPath(new URL('src/index.js', suite)), '-s', `${base}/api/psa`, token);
const { globalReport } = await import(new URL('src/utils/report.js', suite));
process.on('exit', () => {
	const { passed, failed, totalExpectationsCount: expectations } = globalReport;
	console.log('delegates:', ...connected);
	console.log(`${passed} of ${passed + failed} checks passed, with ${expectations} expectations`);
	if (passed !== checks || failed !== 0) process.exitCode = 1;
});
await import(new URL('src/index.js', suite));

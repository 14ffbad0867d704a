// Makes the requests that the command-line tool omnipin makes of a pinning service:
// omnipin.mjs BASE TOKEN. Its package is no library, so they are written here.
import { nowhere, one, until, want } from './check.mjs';

const [base, token] = process.argv.slice(2);
const service = `${base}/api/psa`;
const headers = { Authorization: `Bearer ${token}` };

async function pin(cid, name, authorization = headers) {
	const res = await fetch(new URL(`${service}/pins`), {
		method: 'POST',
		headers: { 'Content-Type': 'application/json', ...authorization },
		body: JSON.stringify({ cid, name }),
	});
	const json = await res.json();
	return res.ok ? { status: json.status, cid: json.pin.cid } : { error: json.error.details };
}

async function find(cid) {
	const res = await fetch(`${service}/pins?cid=${cid}&limit=1`, { headers });
	return await res.json();
}

want('added', (await pin(one, undefined)).cid, one);
want('waits', (await pin(nowhere, 'dist')).cid, nowhere);
await until('pinned', async () => (await find(one)).results[0] ?? {});
want('what waits is not listed', (await find(nowhere)).count, 0);
want('no CID', (await pin('', 'dist')).error.startsWith('cid: "" is not a CID'), true);
want('another token', (await pin(one, 'dist', { Authorization: 'Bearer stolen' })).error.includes('not authorized'), true);
const { requestid } = (await find(one)).results[0];
want('removed', (await fetch(`${service}/pins/${requestid}`, { method: 'DELETE', headers })).status, 202);
want('removed twice', (await fetch(`${service}/pins/${requestid}`, { method: 'DELETE', headers })).status, 404);
want('list of nothing', (await find(one)).count, 0);

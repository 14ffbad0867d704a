// Makes every request with Filebase's client: filebase.mjs BASE TOKEN. It knows no other
// path and token than Filebase's, so a proxy stands between, which gives both ours.
import http from 'node:http';
import { every, fails, nowhere, one, two, until, want } from './check.mjs';

const [base, token] = process.argv.slice(2);
const asked = [];
const proxy = http.createServer((req, res) => {
	asked.push(`${req.method} ${decodeURIComponent(req.url)}`);
	const to = new URL(req.url.replace('/v1/ipfs/pins', '/api/psa/pins'), base);
	const headers = { ...req.headers, host: to.host, authorization: `Bearer ${token}` };
	req.pipe(http.request(to, { method: req.method, headers }, from => {
		res.writeHead(from.statusCode, from.headers);
		from.pipe(res);
	}));
});
await new Promise(listening => proxy.listen(0, '127.0.0.1', listening));
process.env.NODE_ENV = 'test';
process.env.TEST_NAME_ENDPOINT = `http://127.0.0.1:${proxy.address().port}`;
const { PinManager } = await import('@filebase/sdk');
const pins = new PinManager('key', 'secret', { bucket: 'bucket' });
const ids = page => page.results.map(r => r.requestid);

const meta = { app: 'with a space' };
const added = await pins.create('a name', one, meta);
want('added', [added.pin.cid, added.pin.name, added.pin.meta], [one, 'a name', meta]);
const waiting = await pins.create('other', nowhere);
await until('pinned', () => pins.get(added.requestid));
for (const [what, by, found] of [
	['nothing', undefined, [added]],
	['CID', { cid: [one, two] }, [added]],
	['another CID', { cid: [two] }, []],
	['status', { status: ['queued', 'pinning'] }, [waiting]],
	['every status', { status: every }, [waiting, added]],
	['name', { name: 'a name' }, [added]],
	['part of a name', { name: 'NAME', match: 'ipartial' }, [added]],
	['before', { before: waiting.created, status: every }, [added]],
	['after', { after: added.created, status: every }, [waiting]],
	['limit', { limit: 1, status: every }, [waiting]],
	['metadata', { meta, status: every }, [added]],
	['other metadata', { meta: { app: 'with' }, status: every }, []],
]) {
	want(`list by ${what}`, ids(await pins.list(by)), found.map(f => f.requestid));
}
want('lists are in brackets', asked.some(a => a.includes('cid[]=')) && asked.some(a => a.includes('meta[app]=')), true);

// It takes 200 alone for a replacement, although the PSA says 202.
want('replace', (await fails('replace', pins.replace(waiting.requestid, two, { name: 'new', metadata: meta }))).message,
	'Request failed with status code 202');
const [replaced] = (await pins.list({ name: 'new', status: every })).results;
want('replaced', [replaced.pin.cid, replaced.pin.meta], [two, meta]);
want('what is gone', await pins.get(waiting.requestid), false);
want('no CID', (await fails('create', pins.create('bad', 'nonsense'))).message.startsWith('cid: "nonsense"'), true);
for (const { requestid } of [added, replaced]) want('removed', await pins.delete(requestid), true);
want('removed twice', (await fails('delete', pins.delete(added.requestid))).message, 'there is no pin request with this id');
want('list of nothing', ids(await pins.list({ status: every })), []);
proxy.close();
proxy.closeAllConnections();

// Makes every request with a client that is made of the PSA's own description:
// pinning-service-client.mjs BASE TOKEN PACKAGE.
import { every, fails, nowhere, one, origin, two, until, want } from './check.mjs';

const [base, token, name] = process.argv.slice(2);
const { Configuration, RemotePinningServiceClient } = await import(name);
const connect = accessToken => new RemotePinningServiceClient(new Configuration({ endpointUrl: `${base}/api/psa`, accessToken }));
const client = connect(token);
// Until version 3 a list is a Set, which JSON makes {}.
const list = name.endsWith('3') ? x => x : x => new Set(x);
const ids = page => [...page.results].map(r => r.requestid);

const meta = { app: 'with a space', url: 'https://example.org/?a=b&c=d' };
const added = await client.pinsPost({ pin: { cid: one, name: 'A name & more', origins: list([origin]), meta } });
want('added', [added.pin.cid, added.pin.name, added.pin.meta, added.delegates.size ?? added.delegates.length > 0], [one, 'A name & more', meta, added.delegates.size ?? true]);
want('origins', [...(added.pin.origins ?? [])], name.endsWith('3') ? [origin] : []);
const bare = await client.pinsPost({ pin: { cid: nowhere, origins: list([]) } });
const pinned = await until('pinned', () => client.pinsRequestidGet({ requestid: added.requestid }));
want('got', [pinned.requestid, pinned.created], [added.requestid, added.created]);

const all = list(every);
for (const [what, by, found] of [
	['nothing', {}, [added]],
	['CID', { cid: list([two, one]) }, [added]],
	['another CID', { cid: list([two]) }, []],
	['status', { status: list(['queued', 'pinning']) }, [bare]],
	['every status', { status: all }, [bare, added]],
	['name', { name: 'A name & more' }, [added]],
	['another name', { name: 'a name & more' }, []],
	['exact name', { name: 'A name', match: 'exact' }, []],
	['part of a name', { name: 'name &', match: 'partial' }, [added]],
	['name in another case', { name: 'a NAME & more', match: 'iexact' }, [added]],
	['part in another case', { name: 'NAME &', match: 'ipartial' }, [added]],
	['before', { before: bare.created, status: all }, [added]],
	['after', { after: added.created, status: all }, [bare]],
	['both times', { after: added.created, before: bare.created, status: all }, []],
	['limit', { limit: 1, status: all }, [bare]],
	['metadata', { meta: { app: 'with a space' }, status: all }, [added]],
	['all metadata', { meta, status: all }, [added]],
	['other metadata', { meta: { app: 'with' }, status: all }, []],
]) {
	want(`list by ${what}`, ids(await client.pinsGet(by)), found.map(f => f.requestid));
}
want('count', (await client.pinsGet({ limit: 1, status: all })).count, 2);

const requestid = bare.requestid;
const replaced = await client.pinsRequestidPost({ requestid, pin: { cid: two, name: 'new', origins: list([]) } });
want('replaced', [replaced.pin.cid, replaced.pin.name, replaced.requestid === requestid], [two, 'new', false]);

/** failure reads the PSA's Failure of an answer that the client gave as an error. */
async function failure(what, promise, status, reason) {
	const e = await fails(what, promise);
	const res = e.response ?? e;
	want(what, [res.status, (await res.json()).error.reason], [status, reason]);
}
await failure('get what is gone', client.pinsRequestidGet({ requestid }), 404, 'NOT_FOUND');
await failure('replace what is gone', client.pinsRequestidPost({ requestid, pin: { cid: two } }), 404, 'NOT_FOUND');
await failure('no CID', client.pinsPost({ pin: { cid: 'nonsense' } }), 400, 'BAD_REQUEST');
await failure('no such limit', client.pinsGet({ limit: 1001 }), 400, 'BAD_REQUEST');
await failure('another token', connect('stolen').pinsGet({}), 401, 'UNAUTHORIZED');
for (const requestid of [added.requestid, replaced.requestid]) {
	await client.pinsRequestidDelete({ requestid });
	await failure('remove twice', client.pinsRequestidDelete({ requestid }), 404, 'NOT_FOUND');
}
want('list of nothing', ids(await client.pinsGet({ status: all })), []);

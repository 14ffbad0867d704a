// Has a Kubo make every request that it can: kubo-rpc-client.mjs BASE TOKEN API.
import { create } from 'kubo-rpc-client';
import { collect, every, fails, origin, want } from './check.mjs';

const [base, token, api] = process.argv.slice(2);
const kubo = create({ url: api });
const { remote } = kubo.pin;
const service = 'holdfast';
const names = async by => (await collect(remote.ls({ service, ...by }))).map(p => p.name).sort();

await remote.service.add(service, { endpoint: `${base}/api/psa`, key: token });
await remote.service.add('stolen', { endpoint: `${base}/api/psa/`, key: 'stolen' });
const pinned = { status: 'valid', pinCount: { queued: 0, pinning: 0, pinned: 0, failed: 0 } };
want('services', (await remote.service.ls({ stat: true })).map(s => [s.service, s.stat]).sort(),
	[[service, pinned], ['stolen', { status: 'invalid' }]]);

const { cid } = await kubo.add('what this Kubo alone has');
const other = (await kubo.add('and another thing')).cid;
const added = await remote.add(cid, { service, name: 'a name & more', origins: [origin] });
want('added', [added.cid.toString(), added.name, added.status], [cid.toString(), 'a name & more', 'pinned']);
const later = await remote.add(other, { service, name: 'later', background: true });
want('added in the background', ['queued', 'pinning', 'pinned'].includes(later.status), true);
while ((await names()).length < 2);

want('list by CID', await names({ cid: [cid] }), ['a name & more']);
want('list by both CIDs', await names({ cid: [cid, other] }), ['a name & more', 'later']);
want('list by name', await names({ name: 'later' }), ['later']);
want('list by another name', await names({ name: 'a name' }), []);
want('list by status', await names({ status: ['failed'] }), []);
want('list by every status', await names({ status: every }), ['a name & more', 'later']);

want('another token', (await fails('list', collect(remote.ls({ service: 'stolen' })))).message.includes('UNAUTHORIZED'), true);
want('many match', (await fails('remove', remote.rm({ service, status: every }))).message.includes('multiple remote pins'), true);
await remote.rm({ service, name: 'later' });
want('one is left', await names({ status: every }), ['a name & more']);
await remote.rmAll({ service, status: every });
want('list of nothing', await names({ status: every }), []);
await remote.service.rm('stolen');
want('services', (await remote.service.ls()).map(s => s.service), [service]);

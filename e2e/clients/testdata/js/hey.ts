// Calls every operation with the client that hey-api generates, which has zod check each
// answer: hey.ts BASE EMAIL PASSWORD. It prints the operations that it called.
import { client } from './client/client.gen';
import * as api from './client/sdk.gen';

const [base, email, password] = process.argv.slice(2);
const root = 'bafkqaaa';
let token = '';
client.setConfig({ baseUrl: base, auth: () => token, throwOnError: true });

/** call ends the program unless the operation answers as is described. */
async function call<T>(name: string, answer: Promise<{ data: T; response: Response }>): Promise<NonNullable<T>> {
	try {
		const { data, response } = await answer;
		if (!response.ok) throw new Error(`status ${response.status}`);
		console.log(name);
		return data as NonNullable<T>;
	} catch (e) {
		console.error(name, e);
		process.exit(1);
	}
}

function want(what: string, ok: boolean, got: unknown) {
	if (!ok) {
		console.error(what, got);
		process.exit(1);
	}
}

/** near tells whether a time is now, within an hour. */
function near(time: string): boolean {
	return Math.abs(Date.now() - Date.parse(time)) < 3600_000;
}

const t = { throwOnError: true } as const;

async function login(secret: string) {
	token = '';
	const s = await call('login', api.login({ ...t, body: { email, password: secret } }));
	token = s.access_token;
	return s;
}

await call('health', api.health(t));
await call('ready', api.ready(t));
const description = await call('getDescription', api.getDescription(t));
want('description', (await (description as Blob).text()).startsWith('openapi:'), description);
const session = await login(password);
token = (await call('refresh', api.refresh({ ...t, body: { refresh_token: session.refresh_token } }))).access_token;
const me = await call('me', api.me(t));
want('me', me.account.email === email, me);

const made = await call('addAccount', api.addAccount({ ...t, body: { email: 'made@example.com', password: 'correct horse battery', quota: 1 << 30 } }));
const path = { id: made.account.id };
await call('listAccounts', api.listAccounts(t));
await call('getAccount', api.getAccount({ ...t, path }));
await call('setQuota', api.setQuota({ ...t, path, body: { max_pins: 5 } }));
await call('disableAccount', api.disableAccount({ ...t, path }));
await call('enableAccount', api.enableAccount({ ...t, path }));
await call('setRole', api.setRole({ ...t, path, body: { admin: true } }));
await call('setPassword', api.setPassword({ ...t, path, body: { password: 'staple correct horse', own_password: password } }));
await call('listAccountPins', api.listAccountPins({ ...t, path, query: { limit: 100 } }));
await call('listOwners', api.listOwners(t));
await call('removeAccount', api.removeAccount({ ...t, path }));
const invite = await call('addInvite', api.addInvite({ ...t, body: { expires_in: 60 } }));
const invites = await call('listInvites', api.listInvites(t));
want('invitations', invites.invites.length === 1 && invites.invites[0].id === invite.id, invites);
await call('register', api.register({ ...t, body: { email: 'hey@example.com', password: 'correct horse battery', invite: invite.invite } }));
const other = await call('addInvite', api.addInvite({ ...t, body: {} }));
await call('revokeInvite', api.revokeInvite({ ...t, path: { id: other.id } }));
await call('audit', api.audit({ ...t, query: { limit: 5 } }));

const stats = await call('storeStats', api.storeStats(t));
want('the store', stats.accounts >= 1 && stats.free_bytes > 0 && stats.requests.pinned == 0 && stats.unreadable_blocks?.[0]['/'] === undefined, stats);
const begun = (await call('beginRun', api.beginRun({ ...t, body: { kind: 'verify' } }))).run;
want('begun', begun.kind === 'verify' && begun.by !== undefined && near(begun.began), begun);
await call('endRun', api.endRun({ ...t, path: { id: begun.id } }));
for (;;) {
	const { runs } = await call('listRuns', api.listRuns(t));
	want('runs', runs.length === 1 && runs[0].id === begun.id && runs[0].damage.length === 0, runs);
	const { ended, verified, failure, reclaimed } = runs[0];
	if (ended === undefined) continue;
	want('ended', near(ended) && (verified?.corrupt === undefined) !== (failure?.error.details === undefined) && reclaimed === undefined, runs);
	break;
}
const { samples } = await call('serverHistory', api.serverHistory({ ...t, query: { of: 'day' } }));
want('history', samples.length > 0 && samples[0].memory > 0 && near(samples[0].time), samples);
const is = await call('condition', api.condition(t));
want('condition', is.pid > 0 && Date.parse(is.started) <= Date.parse(is.now) && is.files > 0 && is.network.addresses.length > 0 && is.announcing?.strategy === undefined && is.backup?.last === undefined, is);

const added = await call('addPin', api.addPin({ ...t, headers: { 'Idempotency-Key': '"a key"' }, body: { cid: root, name: 'a name', meta: { app: 'with a space' } } }));
const found = await call('getPins', api.getPins({
	...t, query: { cid: [root], status: ['queued', 'pinning', 'pinned', 'failed'], name: 'a name', meta: { app: 'with a space' } },
}));
want('pins', found.count === 1 && found.results[0].requestid === added.requestid, found);
await call('getPinByRequestId', api.getPinByRequestId({ ...t, path: { requestid: added.requestid } }));
const replaced = await call('replacePinByRequestId', api.replacePinByRequestId({ ...t, path: { requestid: added.requestid }, body: { cid: root } }));
await call('deletePinByRequestId', api.deletePinByRequestId({ ...t, path: { requestid: replaced.requestid } }));

const device = await call('createToken', api.createToken({ ...t, body: { name: 'kubo', scope: 'pin' } }));
await call('listTokens', api.listTokens(t));
await call('revokeToken', api.revokeToken({ ...t, path: { id: device.id } }));
await call('changePassword', api.changePassword({ ...t, body: { password, new_password: password + '!' } }));
await login(password + '!');
await call('logout', api.logout(t));
await login(password + '!');
await call('logoutAll', api.logoutAll(t));

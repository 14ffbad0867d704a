// Calls every operation with openapi-fetch and the types that openapi-typescript
// generates: fetch.ts BASE EMAIL PASSWORD. It prints the operations that it called.
import createClient from 'openapi-fetch';
import type { paths } from './schema';

const [base, email, password] = process.argv.slice(2);
const root = 'bafkqaaa';
let token = '';
const api = createClient<paths>({ baseUrl: base });
api.use({
	onRequest({ request }) {
		if (token) request.headers.set('Authorization', `Bearer ${token}`);
	},
});

/** call ends the program unless the operation succeeds. */
async function call<T>(name: string, answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
	const { data, error, response } = await answer;
	if (!response.ok || error !== undefined) {
		console.error(name, response.status, error);
		process.exit(1);
	}
	console.log(name);
	return data as T;
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

async function login(secret: string) {
	token = '';
	const s = await call('login', api.POST('/api/auth/login', { body: { email, password: secret } }));
	token = s.access_token;
	return s;
}

await call('health', api.GET('/healthz', { parseAs: 'text' }));
await call('ready', api.GET('/readyz', { parseAs: 'text' }));
const description = await call('getDescription', api.GET('/api/openapi.yaml', { parseAs: 'text' }));
want('description', description.startsWith('openapi:'), description);
const session = await login(password);
token = (await call('refresh', api.POST('/api/auth/refresh', { body: { refresh_token: session.refresh_token } }))).access_token;
const me = await call('me', api.GET('/api/auth/me'));
want('me', me.account.email === email, me);

const made = await call('addAccount', api.POST('/api/admin/accounts', { body: { email: 'made@example.com', password: 'correct horse battery', quota: 1 << 30 } }));
const params = { path: { id: made.account.id } };
await call('listAccounts', api.GET('/api/admin/accounts'));
await call('getAccount', api.GET('/api/admin/accounts/{id}', { params }));
await call('setQuota', api.POST('/api/admin/accounts/{id}/quota', { params, body: { max_pins: 5 } }));
await call('disableAccount', api.POST('/api/admin/accounts/{id}/disable', { params }));
await call('enableAccount', api.POST('/api/admin/accounts/{id}/enable', { params }));
await call('setRole', api.POST('/api/admin/accounts/{id}/role', { params, body: { admin: true } }));
await call('setPassword', api.POST('/api/admin/accounts/{id}/password', { params, body: { password: 'staple correct horse', own_password: password } }));
await call('listAccountPins', api.GET('/api/admin/accounts/{id}/pins', { params: { ...params, query: { limit: 100 } } }));
await call('listOwners', api.GET('/api/admin/owners'));
await call('removeAccount', api.DELETE('/api/admin/accounts/{id}', { params }));
const invite = await call('addInvite', api.POST('/api/admin/invites', { body: { expires_in: 60 } }));
const invites = await call('listInvites', api.GET('/api/admin/invites'));
want('invitations', invites.invites.length === 1 && invites.invites[0].id === invite.id, invites);
await call('register', api.POST('/api/auth/register', { body: { email: 'fetch@example.com', password: 'correct horse battery', invite: invite.invite } }));
const other = await call('addInvite', api.POST('/api/admin/invites', { body: {} }));
await call('revokeInvite', api.DELETE('/api/admin/invites/{id}', { params: { path: { id: other.id } } }));
await call('audit', api.GET('/api/admin/audit', { params: { query: { limit: 5 } } }));

const stats = await call('storeStats', api.GET('/api/admin/store/stats'));
want('the store', stats.accounts >= 1 && stats.free_bytes > 0 && stats.requests.pinned == 0 && stats.unreadable_blocks?.[0]['/'] === undefined, stats);
const begun = (await call('beginRun', api.POST('/api/admin/store/runs', { body: { kind: 'verify' } }))).run;
want('begun', begun.kind === 'verify' && begun.by !== undefined && near(begun.began), begun);
await call('endRun', api.DELETE('/api/admin/store/runs/{id}', { params: { path: { id: begun.id } } }));
for (;;) {
	const { runs } = await call('listRuns', api.GET('/api/admin/store/runs'));
	want('runs', runs.length === 1 && runs[0].id === begun.id && runs[0].damage.length === 0, runs);
	const { ended, verified, failure, reclaimed } = runs[0];
	if (ended === undefined) continue;
	want('ended', near(ended) && (verified?.corrupt === undefined) !== (failure?.error.details === undefined) && reclaimed === undefined, runs);
	break;
}
const { samples } = await call('serverHistory', api.GET('/api/admin/history', { params: { query: { of: 'day' } } }));
want('history', samples.length > 0 && samples[0].memory > 0 && near(samples[0].time), samples);
const is = await call('condition', api.GET('/api/admin/server/condition'));
want('condition', is.pid > 0 && Date.parse(is.started) <= Date.parse(is.now) && is.files > 0 && is.network.addresses.length > 0 && is.announcing?.strategy === undefined && is.backup?.last === undefined, is);

const added = await call('addPin', api.POST('/api/psa/pins', { params: { header: { 'Idempotency-Key': '"a key"' } }, body: { cid: root, name: 'a name', meta: { app: 'with a space' } } }));
const found = await call('getPins', api.GET('/api/psa/pins', {
	params: { query: { cid: [root], status: ['queued', 'pinning', 'pinned', 'failed'], name: 'a name', meta: JSON.stringify({ app: 'with a space' }) } },
}));
want('pins', found.count === 1 && found.results[0].requestid === added.requestid, found);
await call('getPinByRequestId', api.GET('/api/psa/pins/{requestid}', { params: { path: { requestid: added.requestid } } }));
const replaced = await call('replacePinByRequestId', api.POST('/api/psa/pins/{requestid}', { params: { path: { requestid: added.requestid } }, body: { cid: root } }));
await call('deletePinByRequestId', api.DELETE('/api/psa/pins/{requestid}', { params: { path: { requestid: replaced.requestid } } }));

const device = await call('createToken', api.POST('/api/auth/tokens', { body: { name: 'kubo', scope: 'pin' } }));
await call('listTokens', api.GET('/api/auth/tokens'));
await call('revokeToken', api.DELETE('/api/auth/tokens/{id}', { params: { path: { id: device.id } } }));
await call('changePassword', api.POST('/api/auth/password', { body: { password, new_password: password + '!' } }));
await login(password + '!');
await call('logout', api.POST('/api/auth/logout'));
await login(password + '!');
await call('logoutAll', api.POST('/api/auth/logout-all'));

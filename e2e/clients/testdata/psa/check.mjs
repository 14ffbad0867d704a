// What the programs beside this one need.
import { isDeepStrictEqual } from 'node:util';

/** Blocks that are in their CIDs, so that they are pinned at once, and one that is nowhere. */
export const one = 'bafkqaa3pnzsq';
export const two = 'bafkqaa3uo5xq';
export const nowhere = 'bafkreid4vhlfa6ivtukg2uia7g3fz6z7ulp6pu2phxl4luembpgamsbyai';
export const origin = '/ip4/127.0.0.1/tcp/9/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn';
export const every = ['queued', 'pinning', 'pinned', 'failed'];

/** want ends the program unless both are the same. */
export function want(what, got, wanted) {
	if (isDeepStrictEqual(got, wanted)) return;
	console.error(what, 'got', got, 'want', wanted);
	process.exit(1);
}

/** fails ends the program unless the promise is rejected, and gives the reason. */
export async function fails(what, promise) {
	let value;
	try {
		value = await promise;
	} catch (e) {
		return e;
	}
	want(what, value, 'an error');
}

/** until calls get until what it gives has a status. The test has a timeout. */
export async function until(status, get) {
	for (;;) {
		const got = await get();
		if (got.status === status) return got;
	}
}

/** collect makes an array of what a generator yields. */
export async function collect(generator) {
	const all = [];
	for await (const x of generator) all.push(x);
	return all;
}

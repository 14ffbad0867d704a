// Package rpc serves what an account has pinned over HTTP, by the commands of Kubo's RPC:
// `ipfs --api ADDRESS --api-auth bearer:TOKEN cat CID`, kubo-rpc-client and curl work with
// it as with a Kubo 0.43. [Register] adds the commands to a router, beneath /api/v0.
//
// https://docs.ipfs.tech/reference/kubo/rpc/
//
// # Who may read what
//
// Each account reads what it has pinned itself, whatever else is on the disk. The CID that a
// path begins with must be the root of one of the account's requests that is pinned, or be
// below such a root. All that follows in the path is below it, and so is everything that a
// command reads from there.
//
// Below means below under the same codec. If it were by the hash alone, somebody could pin
// a raw block whose bytes are a directory with links to content of others, and read it as
// that directory. A CID with the codec raw has no links, so for it the hash counts.
//
// What is above a block is found by going up its links, at most [maxAbove] of them. Where
// that does not do, because very many things contain the block, the client is asked for a
// path that begins with a root.
//
// # Nothing is fetched, and denylists hold
//
// Blocks come from the disk alone. A path that is denied is not read, and a block that is
// denied is an error wherever it turns up.
//
// # The same as Kubo, and not
//
// Parameters, answers, streams (a JSON object a line with X-Chunked-Output, bytes with
// X-Stream-Output, errors behind the first byte in the trailer X-Stream-Error) and the error
// object are Kubo's. These are not:
//
//   - A parameter that a command does not know, or a value that it cannot heed, is an error.
//     Kubo ignores parameters that it does not know.
//   - Every error is the JSON object {"Message", "Code", "Type"}, unknown commands included.
//     The status 500 is for faults of the server alone; where Kubo answers 500 to what is
//     not its fault, 400 is answered here, and 401, 403, 429 and 451 for what these mean.
//   - Names (/ipns/) are not resolved.
//   - Large answers are bounded: [maxEntries], [maxSeen].
//   - dag/stat of one pinned root answers what the account is charged for it, at once. That
//     counts no identity CIDs, which Kubo counts as blocks.
//
// # What a client may take
//
// An account has at most [maxCalls] commands under way. An answer may take as long as it
// takes, as long as its client takes some of it every [stallTimeout].
package rpc

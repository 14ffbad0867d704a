// Package rpc serves what an account has pinned over HTTP, pins and unpins for it, and takes what
// it uploads, by the commands of Kubo's RPC:
// `ipfs --api ADDRESS --api-auth bearer:TOKEN cat CID` and curl work with
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
// # Pins
//
// pin/add, pin/ls, pin/rm and pin/update are about the account's requests, which the Pinning
// Services API shows as well. Kubo has one pin of a CID, and an account may have many
// requests, in any state:
//
//   - pin/add waits for the request that there is, or makes one. It replaces one that failed,
//     and one with another name if it is given a name. A client that hangs up leaves the
//     request: it goes on.
//   - pin/rm removes all requests for the CID, those that are not pinned too. Versions 0 and
//     1 of a CID are the same.
//   - pin/ls lists what is pinned, each CID once. Its type "all" leaves out what is pinned
//     indirectly, unless that is named by an argument.
//   - pin/update removes the old requests once the new one is pinned. So the quota must have
//     room for both.
//   - There are no direct pins.
//
// # Uploads
//
// add, dag/import, dag/put and block/put take what a client sends, and end when it is pinned, by
// requests like those of pin/add. The parameter pin-name of add and dag/import names them. Package
// upload makes the blocks, with the CIDs that Kubo would give.
//
// The entry of a root comes when the root is pinned, behind everything else: many clients do not
// look for errors behind it. Whatever goes wrong before that, nothing is kept. A request that
// fails is removed.
//
//   - An account has no loose blocks, so what is put has to be pinned: pin=false is refused, and
//     dag/put and block/put need pin=true, which is not Kubo's default.
//   - A root of a CAR is pinned if all of it is in the CARs or on the disk. Nothing is fetched for
//     it. One that lacks a block is told with PinErrorMsg, and others are pinned.
//   - The CIDs of only-hash are those of add. In Kubo some parameters do not count for the
//     directory at the top then.
//   - There is no MFS (to-files) and no filestore (nocopy, fscache). What is pinned is announced
//     soon, by itself: what fast-provide-* asks for beyond that is refused.
//
// The account's quotas hold while an upload runs, over all of its uploads. A body may be of any
// size and take any time, if [readLeast] of it comes in each [readStall] that the server waits for it.
//
// # The server and its network
//
// These answer an admin only with a token of the scope admin, and others as an account that has
// no say in the server:
//
//   - repo/stat tells an account what it has pinned: RepoSize and NumObjects are its bytes and
//     blocks, each DAG counted once, and StorageMax is its quota. An admin is told of the
//     server: RepoSize is what the database takes on disk, StorageMax that and what new blocks
//     may take. RepoPath is empty: where the data is on the host is for its operator.
//   - routing/findprovs searches for an account some times, then once in [searchEvery]. It
//     streams who is found, and not what the search does meanwhile. An admin may search as often
//     as the node does.
//   - swarm/peers is for admins.
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
//     not its fault, 400 is answered here, and 401, 403, 409, 429, 451, 503 and 507 for what
//     these mean in the Pinning Services API.
//   - Names (/ipns/) are not resolved.
//   - Large answers are bounded: [maxEntries], [maxTexts], [maxSeen], [maxTarPath]. So is what
//     reading one takes in memory: [maxHeld], [room.MaxOpen]. All answers share a memory
//     (Config.Room): one that finds none left is answered 429.
//   - dag/stat of one pinned root answers what the account is charged for it, at once. That
//     counts no identity CIDs, which Kubo counts as blocks.
//
// # What a client may take
//
// An account has at most [maxCalls] commands under way, and [maxWaits] that wait for a pin. An
// answer may take any time, if its client takes some of it every [stallTimeout]. It has at most
// [maxUploads] uploads, of which [accountRuns] run at a time, and [allRun] over all accounts. Others
// wait with their bodies unread, and are answered 429 after [turnWait]. When all places are taken and
// another account waits, the upload of an account with more of them ends, or a slow one: see places.go.
//
// # The door for this machine
//
// [Local] serves the commands to programs of the machine, without tokens: to ipfs-cluster, whose
// node the server is, and to `ipfs --api`. What it does otherwise is in ways.go, and the commands that
// are others there are in the files local_*.go. ipfs-cluster 1.1.6 is why they are as they are:
//
//   - It takes an answer that ends for a success, and does not read trailers. So pin/add sends nothing
//     before there is progress, and at least for [tellFirst]. A failure before that has a status, one
//     behind that cuts the answer off, and the next pin/add tells it. A list that cannot be completed
//     is cut off.
//   - It compares CIDs as bytes. So pins are of CIDs as they are written, and there are direct ones.
//   - It unpins a pin that moves before it is pinned elsewhere. So what is unpinned lingers.
//   - It gives up a pin without progress, and comes again. So the request goes on for [putOffFor].
//     Over a Unix socket it cannot give up: there a pin ends after [Stall] without a block.
//   - It puts blocks before it pins them, all under the codec of the first, and over a Unix socket it
//     reads no answer before it has written all. So blocks that are not pinned are kept for some time,
//     as bytes, and the answers come at the end.
//
// # Files
//
// There are many, as each command, or each few that are alike, has one. What they share is in
// command.go (the table), body.go and upload.go (what clients send), answer.go, and errors.go.
package rpc

// Package store keeps blocks, block references, and the records of package pin
// and package auth in one Badger database.
//
// # A data directory
//
//	holdfast.layout   marks a data directory, and has its layout
//	holdfast.pid      the process that holds the lock, while one does
//	db/               Badger's files
//
// Other packages put files beside these, once the directory is locked. [Lock] makes an empty
// directory a data directory, and refuses any other directory that is none.
//
// # Rooms
//
// Each part is a package below internal, with a type of its own. Store opens the rooms and closes
// them, brings records to this version's layout, and does what needs several rooms.
//
//	kv             kv.DB: reads, and alone commits; knows no keys but 01 and 02
//	space          space.Space: opens Badger, keeps space free on the disk, gives space back
//	space/reading  functions that read Badger, and make an error of what it cannot read
//	graph          graph.Store: blocks and what holds them; keys 20 to 2a
//	requests       requests.Store: requests, their lists, quotas; keys 10 to 1f and 30
//	accounts       accounts.Store: accounts, tokens, the audit record; keys 40 to 46
//
// Requests use graph, and never the other way. Accounts use neither. Space and kv know nothing of
// pins. Package roomtest has what their tests share.
//
// # Two doors
//
// Blocks are a boxo blockstore over go-datastore (Store.Blockstore). Records are read and written
// by Badger transactions. Both are in the same database: go-datastore's keys start with '/', and
// keys of records with another byte.
//
// # What is durable, and when
//
// Badger syncs every write before it returns (SyncWrites). One goroutine makes all changes to
// records, and commits together those that wait at the same time. So many requests share one
// sync, changes never conflict, and no request appears behind one that a reader has seen.
//
// # Keys
//
// Every key starts with a byte that says what it is. ACCOUNT is a UUID in 16
// bytes, DAG a length in 2 bytes and a CIDv1's bytes, HASH a multihash, HOLDER the
// number of an attempt or of a node, ATTEMPT, ORDER, SEQ and MS numbers of 8 bytes, CHUNK and
// NUMBER of 4, CODEC of 2; numbers are big endian.
//
//	01 NAME               layout: the layout of the records
//	                      upgrade: from which layout they are being brought to it
//	                      attempt: the last number of an attempt or node that was given out
//	                      dead, mark, filler, canary: what a reclaim keeps for itself
//	                      proof: written to know that writes work
//	02 KEY                what was under a key before an upgrade changed it, until that is done
//	10 ACCOUNT            the account's last Created, its next SEQ, its clock, how many DAGs it has live
//	11 ACCOUNT MS         a request; MS is Created, so its ID says the key
//	12 ACCOUNT SEQ        a request's Created, name and metadata, for scans
//	13 STATUS ACCOUNT CHUNK     bitmap: which requests have the status
//	14 DAG ACCOUNT CHUNK        bitmap: which requests are for the DAG
//	15 ACCOUNT NAMEHASH CHUNK   bitmap: which requests have the name
//	16 ACCOUNT SEQ        DAGs that a request by Replace holds besides its own
//	17 ACCOUNT SEQ        why a request failed
//	18 ACCOUNT DAG        how many of its requests have a DAG pinned, and the DAG's totals
//	19 ACCOUNT            what the account is charged: the sum of those totals
//	1a ACCOUNT KEYHASH    the request that was made under an idempotency key, and when
//	1b ACCOUNT SEQ        KEYHASH of the key that a request was made under
//	1c ACCOUNT SEQ        the IP address that a request came from, if one of its origins is there
//	1d ORDER              an unpinned DAG that lingers: account, DAG, since when, totals
//	1e ACCOUNT DAG        the ORDER under which the DAG lingers for the account
//	1f                    the sum of what lingers
//	20 DAG                a DAG that is held: attempt, state, totals, holders
//	21 ATTEMPT            the DAG of an attempt that is in use
//	22 HOLDER             an attempt or node that is released, until it is dropped; an upload's from the start
//	23 HASH CODEC HOLDER  link: the holder needs the block, read under the codec; its size
//	24 HOLDER HASH CODEC  the same, from the other side
//	25 HASH               note: nothing may link to the block any more; its size
//	26 DAG HOLDER         a node: a block that has links, read under a codec; its attempt
//	27 HOLDER             the DAG that the node is the root of
//	28 HOLDER             all below it is there; the limits that it was held to
//	29 DAG                what is there of a DAG that waits for a source: last block, bytes, what is missing
//	2a HOLDER             an upload that is kept without a request: account, since when, totals
//	30 ACCOUNT DAG        who delivered a DAG that is pinned, and when it was complete
//	40 ACCOUNT            an account of package auth: address, password hash, ...
//	41 ADDRESS            the account with that e-mail address
//	42 TOKEN              a token: account, kind, name, times; TOKEN is a UUID
//	43 ACCOUNT TOKEN      the token is the account's
//	44 INVITE             an invitation; INVITE is a UUID
//	45 MS NUMBER          an event of the audit record, numbered within its MS
//	46 ACCOUNT MS NUMBER  the event is about the account, or was its doing
//	47 to 5f              kept for package auth
//	/blocks/BASE32        a block
//	/...                  other users of [Store.Datastore]
//
// Values of 10 to 12, 16, 18 to 1a, 1d, 1f, 20, 22, 29, 2a, 40, 42, 44 and 45 start with a byte for the version of their
// own form; what follows is CBOR, but for 12, which is scanned by the
// thousand.
//
// # Lists and counts
//
// Each request of an account has a SEQ, one higher than the request before it, so the order of SEQ
// is that of Created. Status, DAG and name of requests are bitmaps over SEQ, in chunks of 2,048. A
// few intersections tell which requests match a filter, and how many. To change the status of all
// 100,000 requests for a DAG rewrites a hundred small values. The status is nowhere else.
//
// # What holds what
//
// A link is a claim of a holder on a block. It is committed with the block or before it, and before
// the block's presence is trusted. An attempt holds the root of its DAG. A node holds what a block
// links to; it is that block as one attempt read it. So DAGs that share a node share what is below
// it, without a key of their own for each block, and letting go of a DAG goes down only as far as
// nothing else holds. A node whose last link goes is released while its stripe of locks is held
// alone. A link that comes before keeps the node; a walk that links later sees that it is gone.
//
// A DAG that was unpinned may linger, held by a record in the place of a request (1d). An upload
// that is kept (2a) holds what it linked to, although its attempt is marked as released.
//
// A mark says that everything below a holder is there. It is written when all of that is durable,
// from the bottom up. When something below is found damaged, the marks of all holders above it are
// deleted. The record of a DAG says whether the DAG is complete.
//
// # Deleting blocks
//
// Whatever lets go of a block leaves a note of it, and [Store.Reclaim] looks only at blocks with
// notes. It has the block's stripe of locks alone while it finds that nothing links to the block,
// and deletes it. Claims share that stripe until they are durable. So either a claim comes first,
// and the block stays; or it comes when the block is gone, which its writer sees when it looks
// again. Drops share the stripe, too: a reclaim never settles a note by a link that is about to go.
package store

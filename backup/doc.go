// Package backup writes what a store has to a directory or a bucket while everything goes
// on, and brings it back.
//
// # A place
//
// A place has one directory for each run:
//
//	holdfast-backup.json         says that the place is one, and how what is in it is sealed
//	RUN/begun.json               whose run it is; it is written first
//	RUN/RUN-000001.car ...       packs: CARv2 files with the blocks that no earlier run had
//	RUN/records                  the records of one instant, zstd
//	RUN/blocks                   which block is in which pack, zstd
//	RUN/keys/...                 files that make the server who it is, if asked for
//	RUN/denylists/000001 ...     denylists that the backup before did not have, zstd
//	RUN/manifest.json            what the backup is made of; it is written last
//
// A run without a manifest is no backup: it was cut off, or its backup was pruned and other
// backups need packs of it. Names sort as the times at which runs began.
//
// The manifest has the length of each file of the backup, and its XXH64 as 16 hexadecimal digits or its SHA-256. Of a
// pack it also has the SHA-256 of the multihashes of its blocks in their order. The first bytes of a pack, as many as
// xxh64_from says, are written last, and come last in its XXH64. In formats 1 and 2 of the manifest lists and records
// have a SHA-256, the packs of format 1 as well, and no file has xxh64_from. The manifest ends with its own
// SHA-256, which is that of everything before `,"sha256":"`. Manifests of format 1 have none.
//
// With a key every file but the first is an age file, and its name ends with ".age".
//
// # Packs
//
// A pack is a CARv2 file with an index and without roots. Any IPFS tool reads it. Its blocks
// are named by CIDv1. No two packs have the same name, whatever the place: Kubo, and whoever copies
// packs into one directory, knows a file by its name alone. (The first packs were called
// RUN/000001.car. They are read as well, since manifests name them.) A block that an earlier backup has is not written again, unless most of
// the pack that it is in is not needed any more: then it is written to a new pack, so that
// [Prune] can remove the old one.
//
// # Lists
//
// The file blocks is a list of entries in the order of their hashes: the length of the
// multihash as a varint, the multihash, the number of its pack in the manifest, and its
// size, as varints. The file records is a list of records in the order of their keys: the
// length of the key, the key, the length of the value, the value. Both are zstd of several frames. What does
// not become much shorter, such as hashes, stands there as it is, in raw blocks.
package backup

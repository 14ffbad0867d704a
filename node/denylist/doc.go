// Package denylist keeps out content that the operator does not want on the machine. It reads
// denylists in the compact format of IPIP-383, which Kubo reads too, and answers whether a
// block or a path is on one of them. nopfs parses the format and matches the rules.
//
// https://specs.ipfs.tech/compact-denylist-format/
//
// # Where the lists are
//
// Lists are the files *.deny in some directories and below these. They are watched: if a list
// is added, changed anywhere in it, or removed, that counts within seconds, without a restart.
// (nopfs by itself, and so Kubo, sees only what is appended to files that were there at the
// start.) While a file is being written, its old content counts.
//
// # What cannot be read
//
// If a line is no rule, only that line is lost. The same holds for a header, a file or a
// directory that cannot be read. Each is logged once, with its file, and all else counts.
//
// As long as a file is there and cannot be read, the rules that were read before count:
// content must not come in because a disk failed or a mode is wrong. At the start it is not
// known what such a file denied, so [Open] fails. A file that is gone was removed, and its
// rules do not count any more.
//
// # Which list wins
//
// Directories count in the order in which they were given, and files in the order of their
// names. The first list that has a rule for something decides, whether the rule denies or
// allows it. Within a list a later line counts before an earlier one.
//
// # Blocks and paths
//
// A block is its bytes, whatever CID they are asked for by. Rules are about multihashes, except
// double-hashed ones of the older form (as in the badbits list), which hash a whole CID,
// codec included. [List.Denied] looks for these under every codec that a DAG here can have.
// So nobody gets the bytes by asking for them as something else.
//
// Rules about a path in a DAG (/ipfs/CID/some/file) and about IPNS names are not about blocks.
// [List.DeniedPath] applies them to what is asked for by path.
package denylist

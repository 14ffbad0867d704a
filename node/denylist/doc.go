// Package denylist keeps content out that the operator does not want on the
// machine: it reads denylists in the compact format of IPIP-383, the one that
// Kubo takes, and answers whether a block or a path is on one of them. The
// format, and what its rules match, is the work of nopfs.
//
// https://specs.ipfs.tech/compact-denylist-format/
//
// # Where the lists are
//
// Lists are the files *.deny of some directories and of what is below them.
// They are watched: a list that is added, changed in any place or taken away
// counts within seconds, without a restart. (nopfs by itself, and so Kubo,
// sees only what is appended to the files that there were at the start.) While
// a file is being written the old one counts.
//
// # What cannot be read
//
// A line that is no rule costs that line, a header that cannot be read costs the header,
// and a file or a directory that cannot be read costs that one: each is logged once, with
// its file, and what is beside it counts. What a file denied goes on to be denied for as
// long as it is there and cannot be read: content that was kept out must not come in
// because a disk failed or a mode is wrong. At the start it is not known what such a file
// denied, so [Open] refuses, which costs nothing that was promised. A file that is gone
// was taken away, and counts no more.
//
// # Which list wins
//
// Directories are looked at in the order in which they were given, and files
// by name. The first list with a rule for something decides, whether that
// denies or allows it; within a list a later line goes before an earlier one.
//
// # What is denied with it
//
// A block is its bytes, by whatever CID they are asked for. Rules are about
// multihashes, but for double-hashed ones of the older form (as in the badbits
// list), which hash a whole CID, codec included. [List.Denied] looks for these
// under every codec that a DAG here can have, so that nobody gets the bytes by
// asking for them as something else.
//
// Rules about a path in a DAG (/ipfs/CID/some/file) and about IPNS names say
// nothing of blocks: [List.DeniedPath] has those, for what is asked for by
// path.
package denylist

// Package intake writes an upload to disk: blocks that somebody sends, in any order, of which
// nobody knows yet what they will belong to.
//
// # What holds what
//
// The upload has an attempt of its own (see [graph.Holder]). It writes what a walk would
// write: a link before a block or together with it, and a node for each block that has links.
// A block that comes before any that links to it is held by the attempt. A block that comes
// after such a block is held by that one's node.
//
// A node is marked whole once everything below it has come and is durable. So the walk that
// pins the root of an upload passes over it: it reads and hashes the root alone, links to it,
// and counts what is below by the records. When the upload is dropped after that, what the
// root leads to stays, and the rest goes.
//
// The marks are there to save work. Where to find out that a node is whole would take too
// much memory, no mark is written, and the walk looks for itself.
//
// # What is here already
//
// A block that is on disk with the same bytes is not written again. A link to it is, and
// after that it is looked for once more, as something may have deleted it in between.
//
// # Memory
//
// Blocks are gathered into a batch while the one before is written, each of up to 8 MiB. All
// uploads that run at the same time divide memory among them ([Share]). Which blocks came is
// in a [seen.Set], most of which is on disk if there are many.
package intake

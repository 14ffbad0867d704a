// Package exchange asks peers for blocks over Bitswap, for walks of DAGs that want
// hundreds of them at a time and each as soon as possible.
//
// It is a client of https://specs.ipfs.tech/bitswap-protocol/, as boxo's is, on the
// same network layer and beside boxo's server. Boxo's client suits one that reads a
// few blocks; a walk ran into its limits: it sends a peer a message every 20 ms at
// the most often, it counts answers that are late as refusals and drops the only
// peer that has the data after sixteen of them, and what is lost on the way it asks
// for again after 30 seconds.
//
// # Words
//
// A line is a peer that is connected. A want is a block that somebody waits for. An
// ask is a want that was sent down a line and not answered yet. A session is one
// walk: its sources are the lines that have had something of its DAG.
//
// # Whom it asks
//
// The first want of a session is broadcast: origins are asked for the block, others
// whether they have it, and if nobody answers providers are looked for. Whoever
// answers is a source, and the rest is asked of sources, of each as much as its
// window takes. A block that no source has is broadcast again. A want is asked of
// nobody twice at the same time, and of two only if the first does not answer.
//
// # What gets lost
//
// An ask is lost if others that were sent a second later have been answered, or if
// the line has been silent for a second, or four times its usual latency where that
// is longer, but no longer than ten. It is sent again: down another line, if there is
// one. Sending it down the same one is harmless: a peer that has it queued takes no
// note. What a slow line has not answered for a second is asked of another one too
// that has nothing to do. (See findLost in watch.go.)
//
// # What comes in place of a block
//
// A source may send other bytes for a block, a message that is too large to be read, an
// error, or nothing, and have all other blocks. So an odd answer is about that block: it
// is asked of others at once, and of that source again after a while, a few times more.
// A peer whose unwanted blocks are as many as the asks that it leaves open has them for
// these. If a message was too large, or all that was asked is lost twice in a row, less
// is asked for at a time, down to one block, by which it is known whether it was that
// block or how many there were. [SessionStats] names the blocks, the sources and what
// came.
//
// A gateway that fails for many different blocks, one after the other, is asked for one
// at a time by each session that it failed for, ever more seldom, until it gives one.
// Others do not notice: each session fares there for itself, one that begins asks for a
// block at once, and who waits for slow answers keeps neither the places of others nor
// all of those for gateways that give nothing.
//
// # The window
//
// How many asks a line has open grows with each answer while it is used and answers
// come quickly, and shrinks when some are lost for the first time. All sessions share it.
//
// # What it holds against
//
// Peers may lie, promise, be slow on purpose, or lack what they are asked. A line
// keeps places for questions who has a block apart from those for blocks, and if there
// are more questions they take turns; who is named as having a block, as an origin or
// by a search, is asked out of turn. A want is in a queue once. Lines that deliver
// nothing take nothing from the window of those that do. A source that has no room
// holds up nothing that another may have, and what it holds up for 5 s is broadcast.
// What waits in memory is bounded: blocks for the disk, by session, and requests to
// gateways, which may send anything, over all.
package exchange

// Package exchange asks peers for blocks over Bitswap. It serves walks of DAGs, which want
// hundreds of blocks at a time, and each as soon as possible.
//
// It is a client of https://specs.ipfs.tech/bitswap-protocol/, as boxo's is. It uses the
// same network layer and runs beside boxo's server. Boxo's client suits a reader of a
// few blocks, and has limits for a walk. It sends a peer a message every 20 ms at the
// most often. It counts answers that are late as refusals, and drops the only peer that
// has the data after sixteen of them. It asks again for what was lost after 30 seconds.
//
// # Words
//
// A line is a peer that is connected, or a gateway. A want is a block that somebody waits
// for. An ask is a want that was sent down a line and is not answered yet. A session is
// one walk. Its sources are the lines that have had something of its DAG.
//
// # Whom it asks
//
// The first want of a session is broadcast: origins are asked for the block, other lines
// whether they have it. If nobody answers, the exchange looks for providers. A line that
// answers becomes a source, and the rest is asked of sources, of each as much as its
// window takes. A block that no source has is broadcast again. A want is asked of one
// line at a time. It is asked of a second line only if the first does not answer.
//
// # What gets lost
//
// An ask is lost if asks that were sent a second later have been answered, or if the line
// has been silent for a second. On a slow line it is four times the usual latency, but at
// most ten seconds. A lost ask is sent again, down another line if there is one. To send
// it down the same line is harmless: a peer that has it queued ignores it. What a slow
// line has not answered for a second is also asked of another line that has nothing to do.
//
// # What comes in place of a block
//
// A source may have all blocks but one. In place of that block it may send other bytes, a
// message that is too large to be read, an error, or nothing. So an odd answer is held
// against that block alone: the block is asked of others at once, and of that source
// again after a while, a few times. If a peer sends as many blocks that nobody wants as
// asks stay open, these blocks are taken for the answers to those asks.
//
// If a message was too large, or if all that was asked is lost twice in a row, the line is
// asked for less at a time, down to one block. Then it is known whether that block is too
// large, or whether they were too many. [Exchange.TooLarge] lets the reader of the message
// prove which block it is. [SessionStats] names the blocks, the sources and the answers.
//
// A gateway that fails for many different blocks in a row is asked for one block at a
// time by each session for which it failed, ever more seldom, until it gives one. Other
// sessions do not notice. Each session fares for itself at a gateway, and a new session
// asks for a block there at once. A session that waits for slow answers keeps neither the
// places of others, nor all of the places for gateways that give nothing.
//
// # The window
//
// How many asks a line may have open grows with each answer, while the window is used and
// answers come quickly. It shrinks when asks are lost for the first time. All sessions
// share it.
//
// # Against bad peers
//
// Peers may lie, promise what they do not have, be slow on purpose, or lack what they are
// asked for.
//
//   - On each line, questions whether a block is there have places of their own, apart
//     from asks for blocks. If there are too many questions, they take turns. A line that
//     is named as having a block, as an origin or by a search, is asked out of turn.
//   - A want is in a queue once.
//   - Lines that deliver nothing take nothing from the window of those that do.
//   - A source that has no room holds up nothing that another may have. What it holds up
//     for 5 s is broadcast.
//   - What waits in memory is bounded: blocks that wait for the disk, for each session; first
//     blocks that wait for a worker, over all sessions; and requests to gateways, which
//     may send anything, over all.
package exchange

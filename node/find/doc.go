// Package find finds out who has a block.
//
// A [Finder] asks several sources at the same time, such as the DHT and
// delegated routers over HTTP, and gives what they know as it comes: a source
// that is slow, or does not answer at all, keeps nobody waiting for the others.
// A [Router] is one such source. [Lookups] is what many pins share a Finder
// through: it bounds how many lookups go on at the same time and sees to it that
// no pin keeps another waiting. A [Book] keeps peers from one run to the next.
//
// What sources say is hearsay: that a peer is named does not mean that it has
// the block, that its addresses are its own, or that they may be dialled.
package find

// Package find finds peers that have a block, and addresses of peers.
//
// A [Finder] asks several sources at the same time, such as the DHT and delegated routers
// over HTTP, and gives what they know as it comes: a slow source does not hold up what
// others know. A [Router] is one such source. Many pins share a Finder by [Lookups]: it
// bounds how many lookups run at the same time, and no pin can keep another one waiting.
// [PeerLookups] finds addresses of peers by their IDs. A [Book] keeps peers from one run to
// the next.
//
// What sources say is hearsay. A peer that is named need not have the block, its addresses
// need not be its own, and they may be such as must not be dialled.
package find

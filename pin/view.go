package pin

// View is a request as a client sees it: its record, and what is going on right now.
type View struct {
	Request
	// Info is the PSA's info object; nil if there is nothing to say. status_details is a
	// sentence, and origins_ignored names the origins that are not used, each with the
	// reason.
	//
	// While the pin waits or is fetched, these are there if they apply:
	//   - queue_position: 1 is next; it counts from the nearer end of the account's queue
	//   - blocks, bytes: so far
	//   - bytes_claimed: of the whole DAG, as its root says; nothing checks that
	//   - bytes_per_second
	//   - providers: connected peers that have sent blocks
	//   - asked_again: blocks that were asked for again, as no answer came
	//   - longest_gap: the longest time without a block while a peer that has some was
	//     asked; from a second on
	//   - elapsed: since the first try
	//   - last_block: how long ago
	//   - attempt: the number of the try, from 2 on
	//   - next_try: in how long
	//
	// A view that [Manager.Get] gives also has delivered_by, if blocks came from others:
	// [Delivered.String], so far or in all.
	//
	// Once it is pinned, blocks and bytes are those of the DAG, each block counted once,
	// and announced is when the network was last told of it, in RFC 3339, or "not yet".
	Info map[string]string
}

// ViewPage is a [Page] of views.
type ViewPage struct {
	Count int
	Views []View
}

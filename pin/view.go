package pin

// View is a request as a client sees it: what is on disk, with what is going
// on right now.
type View struct {
	Request
	// Info is the PSA's info object. status_details is a sentence. While the
	// pin waits or is fetched there are also, as they apply: queue_position (1
	// is next; it is counted from the nearer end of the account's line), blocks and
	// bytes (so far), bytes_claimed (of all of it, as its root says and nobody
	// checked), bytes_per_second, providers (connected peers that sent blocks),
	// asked_again (blocks, as no answer came), longest_gap (without a block while
	// somebody who has it was asked, from a second on), elapsed (since it was first
	// tried), last_block (how long ago), attempt (from 2 on), next_try. Once it is
	// pinned there are blocks and bytes of all of it, each block counted once, and
	// announced: when the network was last told of it, in RFC 3339, or "not yet". Nil
	// when there is nothing to say.
	Info map[string]string
}

// ViewPage is a [Page] of views.
type ViewPage struct {
	Count int
	Views []View
}

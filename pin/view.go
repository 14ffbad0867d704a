package pin

// View is a request as a client sees it: what is on disk, with what is going
// on right now.
type View struct {
	Request
	// Info is the PSA's info object: status_details, and while the pin is
	// queued or fetched blocks, bytes, providers, elapsed and queue_position
	// as they apply. Nil when there is nothing to say.
	Info map[string]string
}

// ViewPage is a [Page] of views.
type ViewPage struct {
	Count int
	Views []View
}

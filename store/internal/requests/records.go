package requests

// accountRecord is what an account's requests are numbered by.
type accountRecord struct {
	_       struct{} `cbor:",toarray"`
	Last    int64    // Created of the newest request there ever was, in Unix milliseconds
	NextSeq uint64
	Clock   int64  // when that was, by the clock, in Unix milliseconds
	Back    int64  // milliseconds that the clock was set back and has not caught up
	Live    uint64 // requests that are queued, pinning or pinned
}

// requestRecord is what of a request never changes. Its status is in the lists.
type requestRecord struct {
	_       struct{} `cbor:",toarray"`
	ID      [16]byte
	Created int64 // Unix milliseconds
	Seq     uint64
	CID     string
	Root    []byte
	Name    string
	Meta    map[string]string
	Origins []string
}

package requests

// accountRecord numbers and dates an account's requests.
type accountRecord struct {
	_       struct{} `cbor:",toarray"`
	Last    int64    // Created of the newest request there ever was, in Unix milliseconds
	NextSeq uint64
	Clock   int64  // what the clock said then, in Unix milliseconds
	Back    int64  // milliseconds by which the clock was set back, until it has caught up
	Live    uint64 // for how many DAGs there are requests that are queued, pinning or pinned
}

// requestRecord is the part of a request that never changes. Its status is in the lists.
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

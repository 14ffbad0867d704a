package store

import (
	"github.com/holdfast-ipfs/holdfast/pin"
)

// dagRecord is what is known of a DAG that some request holds.
type dagRecord struct {
	_        struct{}    `cbor:",toarray"`
	Attempt  pin.Attempt // zero before the first Begin
	Complete bool
	Blocks   uint64 // of a DAG that is complete, or was and is repaired
	Bytes    uint64
	Holders  uint64 // requests that hold it, each counted once
}

// releasedRecord is what a released attempt was for.
type releasedRecord struct {
	_   struct{} `cbor:",toarray"`
	DAG []byte
}

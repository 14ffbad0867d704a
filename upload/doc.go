// Package upload makes blocks of what people send: files and directories as UnixFS, CARs, and
// single nodes. It knows neither HTTP nor where blocks are kept: it puts them into a [Sink].
//
// For the same options the CIDs are those of Kubo 0.43. [Flags] are the options as Kubo's
// `add` has them, and [Flags.Resolve] fills them up by one of Kubo's import profiles. Chunkers,
// layouts and directories are boxo's, which Kubo uses.
//
//	o, err := upload.Flags{}.Resolve(upload.Default)
//	a := upload.NewAdder(sink, o, upload.Events{})
//	root, err := a.Add(ctx, files.NewReaderFile(r))
//
// Memory is bounded, however large a file or a directory is: a file takes some chunks, and a
// directory with very many entries is put and read again from time to time.
//
// https://specs.ipfs.tech/unixfs/ and https://ipld.io/specs/transport/car/
package upload

import (
	"context"

	"github.com/ipfs/go-cid"
)

// Sink is where blocks go. Errors end the upload, and are returned as they are.
type Sink interface {
	// Put takes a block, whose data has the hash of c and is not changed any more. The
	// same block may come again.
	Put(ctx context.Context, c cid.Cid, data []byte) error
	// Get reads a block that was put.
	Get(ctx context.Context, c cid.Cid) ([]byte, error)
}

// InvalidError says what is wrong with what was sent, in words for whoever sent it.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

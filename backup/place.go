package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Place is where backups are. Names are relative paths with slashes. All methods may be
// called concurrently.
type Place interface {
	// Put writes a file of so many bytes, or nothing. It is durable once a later Commit returns nil.
	Put(ctx context.Context, name string, size int64, r io.Reader) error
	// Commit makes durable what was put before, and then writes a file, which is there as a whole
	// and durable, or not at all.
	Commit(ctx context.Context, name string, data []byte) error
	// Get reads a file; the caller closes it. Errors: fs.ErrNotExist.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List gives the names of all files that begin with prefix, in order.
	List(ctx context.Context, prefix string) ([]string, error)
	// Remove removes a file, which need not be there.
	Remove(ctx context.Context, name string) error
	// String is the address of the place, without secrets.
	String() string
}

// ErrNoPlace: there is no backup at an address.
var ErrNoPlace = errors.New("there are no backups")

// OpenPlace opens the place at an address: the path of a directory, or
// s3:https://HOST/BUCKET/PREFIX for a bucket, with the credentials that the environment or
// the files of the AWS tools have. Nothing is read or made yet.
func OpenPlace(address string) (Place, error) {
	if rest, ok := strings.CutPrefix(address, "s3:"); ok {
		return openBucket(rest)
	}
	if address == "" || strings.Contains(address, "://") {
		return nil, fmt.Errorf("%q is no place for backups: name a directory, or s3:https://HOST/BUCKET/PREFIX", address)
	}
	dir, err := filepath.Abs(address)
	if err != nil {
		return nil, err
	}
	return &directory{path: dir, put: make(map[string]bool)}, nil
}

// Whoever can write to a place can make its files as long as they like. What is read into memory has bounds:
const (
	maxSmall    = 1 << 20 // keys, and what a place and a run say of themselves: all have some hundred bytes
	maxManifest = 4 << 30 // 12 million packs, which are 190 TiB
)

// readAll reads a file into memory. Errors: fs.ErrNotExist; ErrDamaged, if it is longer than limit.
func readAll(ctx context.Context, p Place, name string, limit int64) ([]byte, error) {
	r, err := p.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	b, err := readLimited(r, limit)
	return b, errors.Join(err, r.Close())
}

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, limit)
	}
	return b, err
}

// readSealed reads a file that the key has sealed into memory. Errors: those of readAll.
func readSealed(ctx context.Context, p Place, k *Key, name string, limit int64) ([]byte, error) {
	b, err := readAll(ctx, p, name, limit)
	if err != nil {
		return nil, err
	}
	r, err := k.open(bytes.NewReader(b))
	if err != nil {
		return nil, sealBroken(name, p, err)
	}
	if b, err = io.ReadAll(r); err != nil {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return b, err
}

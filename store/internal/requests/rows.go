package requests

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A row is the part of a request that scans read: Created in 8 bytes, the name, and the metadata
// unless it is long. Each text comes after its length. Metadata of more than maxRowMeta bytes is
// in the request's record only, and scans read it there.
const maxRowMeta = 512

const (
	rowMeta  = 0 // the metadata is in the row
	rowLarge = 1 // the metadata is in the record
)

func encodeRow(rec *requestRecord) []byte {
	size := 0
	for k, v := range rec.Meta {
		size += len(k) + len(v)
	}
	b := append(make([]byte, 0, 32+len(rec.Name)+min(size, maxRowMeta)), kv.RecordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Created))
	b = appendText(b, rec.Name)
	if size > maxRowMeta {
		return append(b, rowLarge)
	}
	b = append(b, rowMeta)
	for _, k := range slices.Sorted(maps.Keys(rec.Meta)) {
		b = appendText(appendText(b, k), rec.Meta[k])
	}
	return b
}

// row is a decoded row. Its texts are parts of the value that it was decoded from.
type row struct {
	created int64
	name    []byte
	large   bool   // the metadata is in the record
	meta    []byte // keys and values, in turn
}

// decodeRow is the opposite of encodeRow. Errors: pin.ErrUnreadable.
func decodeRow(b []byte) (r row, err error) {
	if len(b) < 9 || b[0] != kv.RecordVersion {
		return row{}, fmt.Errorf("decode row: %w: not of version %d: %.16x", pin.ErrUnreadable, kv.RecordVersion, b)
	}
	r.created = int64(binary.BigEndian.Uint64(b[1:]))
	var ok bool
	if r.name, b, ok = cutText(b[9:]); !ok || len(b) == 0 {
		return row{}, fmt.Errorf("decode row: %w: it ends early", pin.ErrUnreadable)
	}
	r.large, r.meta = b[0] == rowLarge, b[1:]
	return r, nil
}

// hasMeta reports whether the row has all of some keys and values.
func (r row) hasMeta(want map[string]string) bool {
	found := 0
	for b := r.meta; len(b) > 0; {
		var k, v []byte
		var ok bool
		if k, b, ok = cutText(b); !ok {
			return false
		}
		if v, b, ok = cutText(b); !ok {
			return false
		}
		if w, wanted := want[string(k)]; wanted && w == string(v) {
			found++
		}
	}
	return found == len(want)
}

// metaMap gives what can be read of the row's metadata; nil if there is none, or if it is not in
// the row.
func (r row) metaMap() map[string]string {
	if r.large {
		return nil
	}
	if m, _ := r.metadata(); len(m) > 0 {
		return m
	}
	return nil
}

// metadata reads all the metadata of a row, which must not be large. Together with an error it
// gives what could be read.
func (r row) metadata() (map[string]string, error) {
	meta := map[string]string{}
	for b := r.meta; len(b) > 0; {
		k, rest, ok := cutText(b)
		if !ok {
			return meta, errors.New("decode row: its metadata end early")
		}
		v, rest, ok := cutText(rest)
		if !ok {
			return meta, errors.New("decode row: its metadata end early")
		}
		meta[string(k)], b = string(v), rest
	}
	return meta, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutText(b []byte) (text, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

// nameHash is what hashName gives.
type nameHash [16]byte

// hashName gives what stands for a name in keys: half of a cryptographic hash. To find two names that
// collide takes 2^64 tries, and would harm only the account that has both.
func hashName(name string) (h nameHash) {
	full := sha256.Sum256([]byte(name))
	copy(h[:], full[:])
	return h
}

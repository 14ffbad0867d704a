package graph

import (
	"bytes"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// InBackup reports whether a record with the key goes into a backup. Notes do not, since the
// blocks are not there. Links are in it from one side.
func InBackup(key []byte) bool { return key[0] != kLinkFrom && key[0] != KLoose }

// RestoreRecord writes a record that is in a backup, and the other side of a link.
func RestoreRecord(b *kv.Batch, key, value []byte) error {
	key, value = bytes.Clone(key), bytes.Clone(value)
	if key[0] == KLinkTo {
		l, err := SplitLinkTo(key)
		if err != nil {
			return err
		}
		if err := b.Set(linkFromKey(l), value); err != nil {
			return err
		}
	}
	return b.Set(key, value)
}

// WantsBlock reports whether something links to a block that is not there.
func WantsBlock(r *kv.Reader, h multihash.Multihash) (wants bool, err error) {
	linked := false
	err = r.Scan(kv.Span{Prefix: BlockLinks(h), KeysOnly: true}, func([]byte, []byte) (bool, error) {
		linked = true
		return false, nil
	})
	if err != nil || !linked {
		return false, err
	}
	has, err := r.Has(blockKey(h))
	return !has, err
}

// WantedBlocks calls do with each block that something links to and that is not there, once, in
// the order of hashes. The hash is valid until do returns.
func WantedBlocks(r *kv.Reader, do func(multihash.Multihash) error) error {
	var last multihash.Multihash
	return r.Scan(kv.Span{Prefix: []byte{KLinkTo}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		l, err := SplitLinkTo(key)
		if err != nil || bytes.Equal(l.Hash, last) {
			return true, err
		}
		last = append(last[:0], l.Hash...)
		has, err := r.Has(blockKey(last))
		if err != nil || has {
			return true, err
		}
		return true, do(last)
	})
}

// RestoreBlock writes a block that the caller has compared with its hash. The batch keeps it.
func RestoreBlock(b *kv.Batch, h multihash.Multihash, data []byte) error {
	return b.Set(blockKey(h), data)
}

// RestoreLongBlock writes a long block that the caller has compared with its hash, and that is not there.
func RestoreLongBlock(b *space.Bulk, h multihash.Multihash, data []byte) error {
	return b.Add(blockKey(h), data)
}

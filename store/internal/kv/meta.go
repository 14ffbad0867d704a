package kv

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// SetMeta writes one of the store's own keys past the committer; nil deletes it. Only one
// goroutine at a time may write the key.
func (d *DB) SetMeta(name string, value []byte) error {
	if err := d.SetAlone(MetaKey(name), value); err != nil {
		return fmt.Errorf("write key %s: %w", name, err)
	}
	return nil
}

// SetAlone writes a key past the committer, and without its check for free space; nil deletes
// it. It is not ordered with other writes, so nobody else may write the key at the same time:
// either one goroutine owns the key, or the caller holds the block's stripe of locks alone.
func (d *DB) SetAlone(key, value []byte) error { return d.wrote(d.SetUnnoted(key, value)) }

// SetUnnoted is SetAlone for code that finds out whether writes work. It does not report its
// outcome to the database's health, and it works while all other writes are refused.
func (d *DB) SetUnnoted(key, value []byte) error {
	return d.db.Update(func(txn *badger.Txn) error {
		if value == nil {
			return txn.Delete(key)
		}
		return txn.Set(key, value)
	})
}

// MetaKey is the key of one of the store's own values.
func MetaKey(name string) []byte { return append([]byte{kMeta}, name...) }

// The first byte of a record's key says of what kind it is. These two kinds are the
// database's own. The others belong to the rooms that keep the records. Keys of the
// go-datastore start with '/', 0x2f.
const (
	kMeta = 0x01
	KKept = 0x02
)

// Names for [MetaKey].
const (
	MetaLayout  = "layout"  // of the records
	MetaUpgrade = "upgrade" // the old layout, while the records are brought to a new one
	MetaHolder  = "attempt" // the highest number given to a holder; the name is from when only attempts were numbered
	MetaDead    = "dead"    // bytes of blocks deleted since a reclaim last gave space back
	MetaMark    = "mark"    // written by a reclaim, to see when memory was written to a table
	MetaFiller  = "filler"  // there for moments only, like the next two
	MetaCanary  = "canary"
	MetaEnd     = "end"
	metaProof   = "proof" // written by Writable alone, to prove that writes work
)

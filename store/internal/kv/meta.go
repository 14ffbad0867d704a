package kv

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// SetMeta writes a key of the store's own past the committer; nil deletes it. Only one
// goroutine at a time may write the key.
func (d *DB) SetMeta(name string, value []byte) error {
	if err := d.SetAlone(MetaKey(name), value); err != nil {
		return fmt.Errorf("write key %s: %w", name, err)
	}
	return nil
}

// SetAlone writes a key past the committer, and past its floor of free space; nil deletes
// it. Nobody else may write the key meanwhile, since no order with other writes is kept:
// it is one that a single goroutine has, or its block's stripe of locks is held alone.
func (d *DB) SetAlone(key, value []byte) error { return d.wrote(d.SetUnnoted(key, value)) }

// SetUnnoted is SetAlone for who finds out whether the disk takes what is written: it takes
// no note of how it ends, and works while nothing is to be written.
func (d *DB) SetUnnoted(key, value []byte) error {
	return d.db.Update(func(txn *badger.Txn) error {
		if value == nil {
			return txn.Delete(key)
		}
		return txn.Set(key, value)
	})
}

func MetaKey(name string) []byte { return append([]byte{kMeta}, name...) }

// The first byte of a record's key says what it is. Here are those that the database has
// for itself; the others are of the rooms that keep the records. Keys of the go-datastore
// start with '/', 0x2f.
const (
	kMeta = 0x01
	KKept = 0x02
)

// Names of metaKey.
const (
	MetaLayout  = "layout"  // of the records
	MetaUpgrade = "upgrade" // from which layout, while the records are brought to another
	MetaHolder  = "attempt" // the last number that a holder was given; at first only attempts were
	MetaDead    = "dead"    // bytes of blocks deleted since a reclaim last gave space back
	MetaMark    = "mark"    // written by a reclaim, to know what is out of memory
	MetaFiller  = "filler"  // never there for long
	MetaCanary  = "canary"  // nor is that
	MetaEnd     = "end"     // nor that
	metaProof   = "proof"   // written by Writable alone, to know that writes work
)

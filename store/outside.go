package store

import (
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// What the files of the database say of themselves, for those who open it.
type (
	// BadTable is a table of the database that is not as it was written.
	BadTable = space.BadTable
	// DamagedTablesError is an ErrDamaged that says which tables are at fault.
	DamagedTablesError = space.DamagedTablesError
)

var (
	// ErrDamaged: Badger cannot make sense of its files. They are as they were.
	ErrDamaged = space.ErrDamaged
	// ErrUnknownBadger: holdfast was built with a Badger whose insides it does not know.
	ErrUnknownBadger = space.ErrUnknownBadger
)

type (
	// HurtDAG is a DAG that a damaged block is of.
	HurtDAG = requests.HurtDAG
	// Queue is the requests of all accounts by status.
	Queue = requests.Queue
)

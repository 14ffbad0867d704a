package store

import (
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// ErrDamaged: Badger cannot read its files. Nothing in them was changed.
var ErrDamaged = space.ErrDamaged

type (
	// HurtDAG is a DAG that a damaged block is part of.
	HurtDAG = requests.HurtDAG
	// Queue is how many requests all accounts have, by status.
	Queue = requests.Queue
)

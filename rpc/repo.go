package rpc

import (
	"context"
	"math"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Storage is the disk of the server, in bytes.
type Storage struct {
	Used uint64 // by the database
	Room uint64 // how many more blocks may take
	// Parts of Used that come back: what lingers after pins were removed, at most, and what
	// nothing holds.
	Lingering, Dead uint64
	// Claimed is what pins under way are still to bring, as far as is known. It is not taken off
	// Room.
	Claimed uint64
}

// Repo says what there is, of an account and of the server.
type Repo interface {
	// Account gives what an account has pinned, and what it may have.
	Account(ctx context.Context, account string) (pin.Usage, pin.Quota, error)
	// Storage gives what is on the disk, and how much more may be.
	Storage(ctx context.Context) (Storage, error)
	// Blocks counts the blocks that are on the disk. It may have counted them minutes ago.
	Blocks(ctx context.Context) (uint64, error)
}

// repoStats is Kubo's.
type repoStats struct {
	RepoSize, StorageMax, NumObjects uint64
	RepoPath, Version                string
}

// repoStat tells how much there is, and how much there may be: of the server if an admin
// asks with a token for that, else of the account.
func repoStat(q *call) error {
	var out repoStats
	all := !q.values.is("size-only", false)
	if all {
		out.Version = "fs-repo@" + repoVersion
	}
	if q.who.RequireAdmin() != nil {
		usage, quota, err := q.Repo.Account(q.ctx, q.account)
		if err != nil {
			return err
		}
		out.RepoSize, out.StorageMax = usage.Bytes, quota.Bytes
		if quota.Bytes == 0 {
			out.StorageMax = math.MaxUint64 // which is how Kubo says that there is no limit
		}
		if all {
			out.NumObjects = usage.Blocks
		}
		return q.out.one(out)
	}
	s, err := q.Repo.Storage(q.ctx)
	if err != nil {
		return err
	}
	out.RepoSize, out.StorageMax = s.Used, s.Used+s.Room
	if all {
		if out.NumObjects, err = q.Repo.Blocks(q.ctx); err != nil {
			return err
		}
	}
	return q.out.one(out)
}

package main

import (
	"context"
	"os"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// dag is what is pinned, and the times that it took.
type dag struct {
	name   string
	target float64 // how many times as fast as Kubo it has to be
	add    func(context.Context, *rig.Kubo) (cid string, err error)

	cid            string
	kubo, holdfast []time.Duration
}

// dagsToPin are the three shapes that cost differently: many blocks in a tree,
// many small files, and much data in few blocks.
func dagsToPin() []dag {
	return []dag{
		{
			// 102,400 leaves, 589 nodes of up to 174 links, 4 above, the root.
			name: "102,994 blocks of 4 KiB", target: 4,
			add: func(ctx context.Context, k *rig.Kubo) (string, error) {
				return k.AddFile(ctx, rig.Random(1, 400<<20), 4<<10)
			},
		},
		{
			// 20,000 files, 100 directories, the root.
			name: "20,101 small blocks", target: 8,
			add: func(ctx context.Context, k *rig.Kubo) (string, error) {
				dir, err := os.MkdirTemp("", "holdfast-bench-")
				if err != nil {
					return "", err
				}
				defer os.RemoveAll(dir)
				if err := rig.WriteTree(dir, 2, 100, 200); err != nil {
					return "", err
				}
				return k.AddTree(ctx, dir)
			},
		},
		{
			name: "1 GiB in 1 MiB blocks", target: 1,
			add: func(ctx context.Context, k *rig.Kubo) (string, error) {
				return k.AddFile(ctx, rig.Random(3, 1<<30), 1<<20)
			},
		},
	}
}

package graph

import (
	"context"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// NewUpload gives the attempt under which an upload holds what it writes. The attempt is for no
// DAG, and is released from the start: [Store.Released] lists it, and whoever drops released
// attempts drops it once the upload has ended. So nothing has to be written when an upload ends,
// and what a crash interrupts is dropped at the next start.
//
// Until it is dropped, its links keep blocks and nodes as any others do. It counts as whole for
// nobody, but its nodes do.
func (g *Store) NewUpload(ctx context.Context) (pin.Attempt, error) {
	var a pin.Attempt
	err := g.kv.Update(ctx, func(t *kv.Tx) error {
		h, err := takeHolders(t, 1)
		if err != nil {
			return err
		}
		a = pin.Attempt(h)
		return t.Put(releasedKey(graph.HolderOf(a)), releasedRecord{DAG: []byte{}})
	})
	if err != nil {
		return 0, kv.Wrap(err, "number an upload")
	}
	return a, nil
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/node/denylist"
	"github.com/holdfast-ipfs/holdfast/node/intake"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// staging keeps in the store what is uploaded to a front, until the nodes of the cluster have it.
type staging struct {
	store   *store.Store
	denials *denylist.Denials // nil denies nothing
	dir     string            // for temporary files
	share   intake.Share
	log     *slog.Logger
}

var _ cluster.Staging = (*staging)(nil)

// Upload implements [cluster.Staging].
func (s *staging) Upload(ctx context.Context, l pin.Limits) (pin.Intake, error) {
	in, err := intake.Begin(ctx, intake.Config{
		Store: s.store, Refuse: s.refuse(), Dir: s.dir, Room: s.store.RoomForTemp, Share: &s.share,
	}, l)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// refuse refuses a block that is denied; nil refuses nothing.
func (s *staging) refuse() func(cid.Cid) error {
	if s.denials == nil {
		return nil
	}
	return intake.RefuseDenied(s.denials.Denied, s.log)
}

// Drop implements [cluster.Staging]. The next reclaim deletes the blocks.
func (s *staging) Drop(ctx context.Context, a pin.Attempt) error { return s.store.Drop(ctx, a) }

// Has implements [cluster.Staging].
func (s *staging) Has(ctx context.Context, root cid.Cid) (bool, error) {
	_, found, err := s.store.Look(ctx, root.Hash())
	if errors.Is(err, pin.ErrUnreadable) {
		return false, nil
	}
	return found, err
}

// WriteCAR implements [cluster.Staging].
func (s *staging) WriteCAR(ctx context.Context, w io.Writer, root cid.Cid, like cid.Prefix) (others []cid.Prefix, err error) {
	seen := seenIn(s.dir, s.store.RoomForTemp)()
	defer func() { err = errors.Join(err, seen.Close()) }()
	err = dagcar.Write(ctx, w, dagcar.Link{CID: root}, dagcar.Config{
		Source: dagcar.From(blockstore.NewIdStore(s.store.Blockstore())), Seen: seen, ByHash: true,
		Links: func(from dagcar.Link, data []byte) ([]dagcar.Link, error) {
			cids, err := links.Of(from.CID, data)
			all := make([]dagcar.Link, len(cids))
			for i, c := range cids {
				all[i].CID = c
			}
			return all, err
		},
		As: func(c cid.Cid) (cid.Cid, bool) {
			is := c.Prefix()
			is.Version, is.Codec = like.Version, like.Codec
			if is != like && !slices.Contains(others, is) {
				others = append(others, is)
			}
			return cid.NewCidV1(like.Codec, c.Hash()), is == like
		},
	})
	if ipld.IsNotFound(err) {
		err = fmt.Errorf("%w: %w", pin.ErrNotFound, err)
	}
	return others, err
}

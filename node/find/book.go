package find

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Peers is what a [Book] keeps.
type Peers struct {
	// Routing are peers that the DHT can be joined by.
	Routing []peer.AddrInfo `json:"routing"`
	// Recent are those of [Recents], the newest first.
	Recent []peer.AddrInfo `json:"recent"`
}

// Book keeps peers over a restart, so that a node can join its network again when the peers
// by which it first joined are gone.
type Book struct {
	ds  datastore.Datastore
	key datastore.Key
}

// NewBook keeps peers under one key of a datastore, which the caller closes.
func NewBook(ds datastore.Datastore, key datastore.Key) *Book { return &Book{ds, key} }

// Load gives what was last saved, or nothing if nothing was. It is an error if that cannot be
// read any more; a later Save replaces it.
func (b *Book) Load(ctx context.Context) (p Peers, err error) {
	text, err := b.ds.Get(ctx, b.key)
	if errors.Is(err, datastore.ErrNotFound) {
		return Peers{}, nil
	}
	if err != nil {
		return Peers{}, fmt.Errorf("read the peers of the last run: %w", err)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return Peers{}, fmt.Errorf("read the peers of the last run: %w", err)
	}
	return p, nil
}

// Save replaces what is kept.
func (b *Book) Save(ctx context.Context, p Peers) error {
	text, err := json.Marshal(p)
	if err == nil {
		err = b.ds.Put(ctx, b.key, text)
	}
	if err != nil {
		return fmt.Errorf("save the peers for the next run: %w", err)
	}
	return nil
}

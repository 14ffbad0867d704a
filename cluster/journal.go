package cluster

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// journal remembers which DAGs were let go of, until a check saw that no node has them any more:
// the cluster forgets an unpin that a node did not do.
type journal struct {
	ds datastore.Datastore // nil remembers nothing
}

var journalPrefix = datastore.NewKey("/cluster/dropped")

var keyBase = base32.HexEncoding.WithPadding(base32.NoPadding)

func journalKey(d pin.DAG) datastore.Key {
	return journalPrefix.ChildString(keyBase.EncodeToString([]byte(d)))
}

// note remembers a DAG before it is let go of. It is durable when note returns.
func (j journal) note(ctx context.Context, d pin.DAG) error {
	if j.ds == nil {
		return nil
	}
	err := j.ds.Put(ctx, journalKey(d), []byte{1})
	if err == nil {
		err = j.ds.Sync(ctx, journalKey(d))
	}
	if err != nil {
		return fmt.Errorf("remember that %s is let go of: %w", d, err)
	}
	return nil
}

func (j journal) has(ctx context.Context, d pin.DAG) (bool, error) {
	if j.ds == nil {
		return false, nil
	}
	found, err := j.ds.Has(ctx, journalKey(d))
	if err != nil {
		return false, fmt.Errorf("look whether %s was let go of: %w", d, err)
	}
	return found, nil
}

// all lists what is remembered.
func (j journal) all(ctx context.Context) (all []pin.DAG, err error) {
	if j.ds == nil {
		return nil, nil
	}
	res, err := j.ds.Query(ctx, query.Query{Prefix: journalPrefix.String(), KeysOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read what was let go of: %w", err)
	}
	defer res.Close()
	for one := range res.Next() {
		if one.Error != nil {
			return nil, errors.Join(errors.New("read what was let go of"), one.Error)
		}
		b, err := keyBase.DecodeString(datastore.RawKey(one.Key).BaseNamespace())
		if err == nil {
			all = append(all, pin.DAG(b))
		}
	}
	return all, nil
}

// settled forgets those of some DAGs that are gone.
func (j journal) settled(ctx context.Context, some []pin.DAG, gone func(pin.DAG) bool) {
	for _, d := range some {
		if gone(d) && j.ds.Delete(ctx, journalKey(d)) != nil {
			return // the next check does it
		}
	}
}

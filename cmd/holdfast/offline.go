package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// offlinePins is the pin service of a command that is run while no server is.
// It changes records; the fetching, and the clearing up after what is removed,
// is for the server when it next starts. Records keep quotas by themselves.
type offlinePins struct {
	records pin.Records
}

func (o offlinePins) Add(ctx context.Context, account string, s pin.Spec) (pin.View, error) {
	r, err := o.records.Add(ctx, account, s)
	return offlineView(r), err
}

func (o offlinePins) Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error) {
	r, _, _, err := o.records.Replace(ctx, account, id, s)
	return offlineView(r), err
}

func (o offlinePins) Remove(ctx context.Context, account, id string) error {
	_, _, err := o.records.Remove(ctx, account, id)
	return err
}

func (o offlinePins) RemoveAll(ctx context.Context, account string) (removed int, err error) {
	q := pin.Query{Statuses: pin.Statuses(), Limit: 1000}
	for {
		page, err := o.records.List(ctx, account, q)
		if err != nil {
			return removed, fmt.Errorf("list pins to remove: %w", err)
		}
		if len(page.Requests) == 0 {
			return removed, nil
		}
		for _, r := range page.Requests {
			err := o.Remove(ctx, account, r.ID)
			if err != nil && !errors.Is(err, pin.ErrNotFound) {
				return removed, fmt.Errorf("remove pin %s: %w", r.ID, err)
			}
			removed++
		}
	}
}

func (o offlinePins) Retry(ctx context.Context, account, id string) (pin.View, error) {
	r, err := o.records.Retry(ctx, account, id)
	return offlineView(r), err
}

func (o offlinePins) Get(ctx context.Context, account, id string) (pin.View, error) {
	r, err := o.records.Get(ctx, account, id)
	return offlineView(r), err
}

func (o offlinePins) List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error) {
	page, err := o.records.List(ctx, account, q)
	views := make([]pin.View, len(page.Requests))
	for i, r := range page.Requests {
		views[i] = offlineView(r)
	}
	return pin.ViewPage{Count: page.Count, Views: views}, err
}

// offlineView tells of a request what its record does.
func offlineView(r pin.Request) pin.View {
	return pin.View{Request: r, Info: pin.InfoOf(r)}
}

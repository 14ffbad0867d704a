package rpc

import (
	"context"
	"errors"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// Upload is what an account sends to be pinned; *pin.Upload is one.
type Upload interface {
	upload.Sink
	Flush(ctx context.Context) error
	Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error)
	HoldFor(v pin.View)
	Charged()
	Close() error
}

// place waits until an upload of the call may run.
func (q *call) place() (leave func(), err error) {
	return q.places.begin(q.ctx, q.account, &q.out.pace, func(why error) {
		q.end(why)
		q.out.hurry()
	})
}

// upload runs work with an upload, which it closes at the end.
func (q *call) upload(work func(u Upload) error) (err error) {
	leave, err := q.place()
	if err != nil {
		return err
	}
	defer leave()
	u, err := q.Upload(q.ctx, q.account)
	if err != nil {
		return err
	}
	defer func() { // also if work panics
		err = sent(errors.Join(err, u.Close()))
	}()
	return work(u)
}

// sent makes an error of what a client sent one that it may see.
func sent(err error) error {
	var (
		own     *failure
		invalid *upload.InvalidError
		read    *upload.ReadError
	)
	switch {
	case errors.As(err, &own): // of the body, among others
		return own
	case errors.As(err, &invalid):
		return refuse("%v", invalid)
	case errors.As(err, &read):
		return fail(http.StatusBadRequest, codeClient, "%v", read)
	}
	return err
}

// pinName is the parameter pin-name. named is false if it was not given.
func (q *call) pinName() (name string, named bool, err error) {
	name, named = q.values["pin-name"]
	return name, named, checkName(name)
}

// pinUploaded makes a request for a root, and returns once it is pinned. All of it must have
// been put. A request that fails is removed, if it was made here.
func (q *call) pinUploaded(u Upload, root cid.Cid, name string, named bool) error {
	if err := u.Flush(q.ctx); err != nil {
		return err
	}
	leave, err := q.pinning(root)
	if err != nil {
		return err
	}
	defer leave()
	v, made, err := q.ways.request(q, root, name, named)
	if err != nil {
		return err
	}
	u.HoldFor(v)
	own := v.ID
	v, err = q.pinned(v, func(uint64, uint64) error { return nil })
	if made && v.ID == own && v.Status == pin.Failed {
		if err := q.Pins.Remove(q.ctx, q.account, v.ID); err != nil && !errors.Is(err, pin.ErrNotFound) {
			return err
		}
	}
	if err != nil {
		return err
	}
	u.Charged()
	return nil
}

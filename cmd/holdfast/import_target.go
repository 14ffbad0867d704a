package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/ipfs/boxo/files"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/moving"
)

// localPSA is the pinning service on the admin socket; the host does not matter.
const localPSA = "http://" + admin.SocketName + "/api/psa"

// localTarget is an account of the server on the data directory. It is a [moving.Target] and a
// [moving.Uploader].
type localTarget struct {
	*moving.PSA
	rpc *kuborpc.Client
}

func newLocalTarget(a *admin.Client, in *importing) (*localTarget, error) {
	p, err := moving.NewPSA(moving.Server{URL: localPSA, Rate: in.rate, Transport: a.ForAccount(in.user)})
	if err != nil {
		return nil, err
	}
	p.Exact = true
	rpc, err := kuborpc.New("http://"+admin.SocketName, "", a.ForAccount(in.user))
	if err != nil {
		return nil, err
	}
	return &localTarget{p, rpc}, nil
}

// Upload takes the blocks of a pin.
func (t *localTarget) Upload(ctx context.Context, p moving.Pin, named bool, car io.Reader) error {
	q := url.Values{"pin-roots": {"true"}}
	if named {
		q.Set("pin-name", p.Name)
	}
	content := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("car", files.NewReaderFile(io.NopCloser(car)))})
	roots, err := t.rpc.Import(ctx, content, q, func(r io.Reader) io.Reader { return r })
	if e, ok := errors.AsType[*kuborpc.Error](err); ok {
		err = &moving.AnswerError{Status: e.Status, Details: e.Message}
		if e.Hint != "" {
			err = hint.Add(err, e.Hint)
		}
	}
	if err == nil && len(roots) != 1 {
		err = fmt.Errorf("the CAR of %s has %d roots", p.CID, len(roots))
	}
	return err
}

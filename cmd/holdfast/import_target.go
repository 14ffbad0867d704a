package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ipfs/boxo/files"
	"github.com/ipld/go-car/v2"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/moving"
	"github.com/holdfast-ipfs/holdfast/pin"
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

// Upload takes the blocks of a pin. A CAR whose root is not that of the pin is refused before
// any of it is sent.
func (t *localTarget) Upload(ctx context.Context, p moving.Pin, named bool, blocks io.Reader) error {
	blocks, err := checkRoot(p.CID, blocks)
	if err != nil {
		return err
	}
	q := url.Values{"pin-roots": {"true"}}
	if named {
		q.Set("pin-name", p.Name)
	}
	content := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("car", files.NewReaderFile(io.NopCloser(blocks)))})
	roots, err := t.rpc.Import(ctx, content, q, func(r io.Reader) io.Reader { return r })
	if e, ok := errors.AsType[*kuborpc.Error](err); ok {
		err = &moving.AnswerError{Status: e.Status, Details: e.Message}
		if e.Hint != "" {
			err = hint.Add(err, e.Hint)
		}
	}
	if err == nil && len(roots) != 1 {
		err = fmt.Errorf("the server pinned %d roots of the CAR of %s", len(roots), p.CID)
	}
	return err
}

// maxCARHead is how much of a CAR is read for its roots: what the server's own limit for a
// header is, and a beginning of version 2.
const maxCARHead = 256<<10 + 1<<10

// checkRoot reads the header of a CAR, which must have the DAG under a CID as its only root. It
// gives the CAR with the header. Errors: a [*moving.AnswerError] for another root; else those of
// reading.
func checkRoot(want string, in io.Reader) (io.Reader, error) {
	root, err := pin.ParseCID(want)
	if err != nil {
		return nil, err
	}
	var head bytes.Buffer
	r, err := car.NewBlockReader(io.LimitReader(io.TeeReader(in, &head), maxCARHead), car.MaxAllowedHeaderSize(maxCARHead))
	if err != nil {
		return nil, fmt.Errorf("read the header of the CAR: %w", err)
	}
	if len(r.Roots) != 1 || pin.DAGOf(r.Roots[0]) != pin.DAGOf(root) {
		const shown = 3
		return nil, &moving.AnswerError{
			Status:  http.StatusUnprocessableEntity,
			Details: fmt.Sprintf("the source gave another CAR, with %d roots: %v", len(r.Roots), r.Roots[:min(len(r.Roots), shown)]),
		}
	}
	return io.MultiReader(&head, in), nil
}

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Staging keeps uploads on this machine until the nodes have them. Its methods may be called
// concurrently.
type Staging interface {
	// Upload begins an upload, as [pin.Engine].Upload does.
	Upload(ctx context.Context, l pin.Limits) (pin.Intake, error)
	// Drop lets go of what the attempt of an upload holds, as [pin.Engine].Drop does.
	Drop(ctx context.Context, a pin.Attempt) error
	// Has reports whether the root of a DAG is here.
	Has(ctx context.Context, root cid.Cid) (bool, error)
	// WriteCAR writes those blocks of a DAG as a CAR that have the kind of hash of like, each under a CID
	// with like's codec, and gives prefixes for the other kinds of hash that blocks have. Errors: w's;
	// pin.ErrNotFound if a block is not here.
	WriteCAR(ctx context.Context, w io.Writer, root cid.Cid, like cid.Prefix) (others []cid.Prefix, err error)
}

// sendStall is how long a peer may take nothing of what is sent, and how long it may take to answer
// after that: as long as its own node may do nothing for a pin.
const sendStall = 2 * time.Minute

// Upload implements [pin.Engine]: an upload is kept on this machine until it is pinned. Then Fetch sends
// it.
func (e *Engine) Upload(ctx context.Context, l pin.Limits) (pin.Intake, error) {
	if e.cfg.Staging == nil {
		return nil, pin.ErrUnsupported
	}
	return e.cfg.Staging.Upload(ctx, l)
}

// deliver sends a DAG that is on this machine to the node of one peer, where its blocks are loose until
// the DAG is pinned, and gives the ID of that peer. The other nodes fetch it from there. A DAG that is not
// here, or not all of it, is for the nodes to find.
func (e *Engine) deliver(ctx context.Context, j pin.Job) (to []string, err error) {
	if e.cfg.Staging == nil {
		return nil, nil
	}
	root := j.DAG.CID()
	if here, err := e.cfg.Staging.Has(ctx, root); err != nil || !here {
		return nil, err
	}
	peers, err := e.takers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		err = e.send(ctx, p, root, j.Progress)
		if errors.Is(err, pin.ErrNotFound) { // it is of an upload that is under way, or was dropped meanwhile
			e.log.Info("only a part of a DAG is here, so the cluster's nodes look for it", "cid", root, "err", err)
			return nil, nil
		}
		if err == nil {
			is, _ := p.state()
			return []string{is.ID}, nil
		}
		if _, ours := errors.AsType[*stagingError](err); ours || ctx.Err() != nil {
			return nil, err
		}
		e.log.Warn("a cluster peer did not take an upload", "peer", p.base, "cid", root, "err", err)
	}
	return nil, fmt.Errorf("send the upload to the cluster: %w", err)
}

// takers are the peers that may be sent something, those with the most room first.
func (e *Engine) takers(ctx context.Context) ([]*peer, error) {
	room, err := e.freespace(ctx)
	if err != nil {
		return nil, err
	}
	roomOf := func(p *peer) uint64 {
		is, err := p.state()
		if err != nil {
			return 0
		}
		return room[is.ID]
	}
	all := slices.DeleteFunc(slices.Clone(e.peers), func(p *peer) bool { return roomOf(p) == 0 })
	slices.SortStableFunc(all, func(a, b *peer) int { return cmp.Compare(roomOf(b), roomOf(a)) })
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: none of the cluster's peers has room", pin.ErrDiskFull)
	}
	return all, nil
}

// stagingError says that this machine could not read an upload.
type stagingError struct{ err error }

func (s *stagingError) Error() string { return s.err.Error() }
func (s *stagingError) Unwrap() error { return s.err }

// send sends a DAG to a peer's node. The peer gives all blocks of a CAR to its node with the codec and
// the hash function of the first, and decodes those that are not raw. So they are sent as raw blocks, in
// a CAR for each kind of hash.
func (e *Engine) send(ctx context.Context, p *peer, root cid.Cid, progress *pin.Progress) error {
	first := root.Prefix()
	first.Version, first.Codec = 1, cid.Raw
	kinds := []cid.Prefix{first}
	for i := 0; i < len(kinds); i++ {
		others, err := e.sendCAR(ctx, p, root, kinds[i], progress)
		if err != nil {
			return err
		}
		for _, o := range others {
			if !slices.Contains(kinds, o) {
				kinds = append(kinds, o)
			}
		}
	}
	return nil
}

func (e *Engine) sendCAR(ctx context.Context, p *peer, root cid.Cid, like cid.Prefix, progress *pin.Progress) (others []cid.Prefix, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(sendStall, func() { cancel(errSilent) })
	defer stall.Stop()
	r, w := io.Pipe()
	parts := multipart.NewWriter(w)
	wrote := make(chan error, 1)
	whole := false // the CAR was taken, if not what ends the body
	go func() {
		to, err := parts.CreateFormFile("file", "upload.car")
		if err == nil {
			others, err = e.cfg.Staging.WriteCAR(ctx, writer(func(b []byte) (int, error) {
				n, err := to.Write(b)
				stall.Reset(sendStall)
				progress.Works()
				return n, err
			}), root, like)
		}
		if err == nil {
			whole = true
			err = parts.Close()
		}
		if err != nil && !errors.Is(err, io.ErrClosedPipe) && ctx.Err() == nil {
			err = &stagingError{err}
			cancel(err) // it is not the peer's fault
		}
		w.CloseWithError(err)
		wrote <- err
	}()
	res, err := p.doWith(ctx, call{method: http.MethodPost, path: "/add", query: url.Values{
		"format": {"car"}, "local": {"true"}, "no-pin": {"true"}, "stream-channels": {"false"},
		"replication-min": {"1"}, "replication-max": {"1"}, // no other peer is to have room for it
	}}, parts.FormDataContentType(), r)
	r.CloseWithError(io.ErrClosedPipe) // also if the answer came before the end
	failed := <-wrote
	if err == nil {
		res.Body.Close()
	}
	if _, ours := errors.AsType[*stagingError](failed); ours {
		return nil, failed
	}
	if err == nil && !whole {
		return nil, &peerError{"POST /add", p.host, fmt.Errorf("%w: it answers before it has read all", errNoPeer)}
	}
	return others, err
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

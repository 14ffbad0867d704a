package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

const (
	// writeTime is how long a peer may take to write what it is asked to.
	writeTime = 20 * time.Second
	// streamStall is how long a list may bring nothing.
	streamStall = time.Minute
	// maxAnswer bounds an answer about one CID, and an error.
	maxAnswer = 1 << 20
)

// peer is one peer of the cluster, by its REST API. Its methods may be called concurrently.
type peer struct {
	base     string // its URL, without a slash at the end
	host     string // for people
	username string
	password string
	limit    time.Duration // for an answer about one CID
	http     *http.Client
	turns    turns
	looks    looks[globalStatus]
	log      *slog.Logger
	ctx      context.Context // ends the looks
	work     *sync.WaitGroup // has them

	mu  sync.Mutex
	is  identity // what it last said of itself; zero before it did
	err error    // why it is away; nil is that it is not
	// whole is when it and its node last answered, or when it was first asked.
	whole time.Time
}

// state gives what the peer last said of itself, and why it is away.
func (p *peer) state() (identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is, p.err
}

// answers reports whether the peer answered when it was last asked.
func (p *peer) answers() bool { _, err := p.state(); return err == nil }

// keepsNone says why the peer has no copy that counts: it is away, or its node is. It could not say more
// then: it lets one call a second through to a node that does not answer.
func (p *peer) keepsNone() error {
	is, err := p.state()
	if err == nil && is.Node.Error != "" {
		err = errNodeAway
	}
	return err
}

// awayFor is how long the peer or its node has not answered by now.
func (p *peer) awayFor() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole.IsZero() || p.err == nil && p.is.Node.Error == "" {
		return 0
	}
	return time.Since(p.whole)
}

// name is the peer for people.
func (p *peer) name() string {
	if is, _ := p.state(); is.Name != "" {
		return is.Name
	}
	return p.host
}

// errNew is why a peer is away that was not asked yet.
var errNew = errors.New("it was not asked yet")

// note notes whether the peer answers, and logs a change.
func (p *peer) note(err error) {
	p.mu.Lock()
	was := p.err
	p.err = err
	if p.whole.IsZero() || err == nil && p.is.Node.Error == "" {
		p.whole = time.Now()
	}
	p.mu.Unlock()
	switch {
	case err == nil && was != nil && !errors.Is(was, errNew):
		p.log.Info("a cluster peer answers again", "peer", p.base)
	case err != nil && (was == nil || errors.Is(was, errNew) || isRefused(err) && !isRefused(was)):
		p.log.Warn("a cluster peer does not answer", "peer", p.base, "err", err)
	}
}

// noteNode logs that the node of the peer does not answer it any more, or does again.
func (p *peer) noteNode(was, is string) {
	switch {
	case was == "" && is != "":
		p.log.Warn("the node of a cluster peer does not answer it, so that its copies do not count", "peer", p.base, "err", oneLine(is))
	case was != "" && is == "":
		p.log.Info("the node of a cluster peer answers it again", "peer", p.base)
	}
}

// call is one request to a peer.
type call struct {
	method, path string
	query        url.Values
	limit        time.Duration // for the whole of it
}

// name is the call for people.
func (c call) name() string { return c.method + " " + c.path }

// do makes a request. The caller closes the body. Errors: a *refusal; else a *peerError, and the peer
// is away.
func (p *peer) do(ctx context.Context, c call) (*http.Response, error) {
	return p.doWith(ctx, c, "", http.NoBody)
}

// doWith is do with a body, whose Content-Type is kind; "" if there is none.
func (p *peer) doWith(ctx context.Context, c call, kind string, body io.Reader) (_ *http.Response, err error) {
	defer func() {
		if _, ok := errors.AsType[*refusal](err); err == nil || ok {
			return
		}
		err = &peerError{c.name(), p.host, err}
		if ctx.Err() == nil || errors.Is(context.Cause(ctx), errSilent) {
			p.note(err)
		}
	}()
	u := p.base + c.path
	if len(c.query) > 0 {
		u += "?" + c.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, c.method, u, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if p.username != "" || p.password != "" {
		req.SetBasicAuth(p.username, p.password)
	}
	res, err := p.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, withoutURL(err)
	}
	if res.StatusCode == http.StatusNoContent {
		return res, nil
	}
	defer func() {
		if err != nil {
			res.Body.Close()
		}
	}()
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return nil, errUnauthorized
	}
	if res.StatusCode == http.StatusRequestHeaderFieldsTooLarge || res.StatusCode == http.StatusRequestURITooLong {
		return nil, &refusal{peer: p.host, call: c.name(), status: res.StatusCode, message: "the URL is too long: " + res.Status}
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "application/json" && kind != "application/x-ndjson" {
		return nil, fmt.Errorf("%w: %s with %q", errNoPeer, res.Status, res.Header.Get("Content-Type"))
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusAccepted {
		return res, nil
	}
	var f failure
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&f); err != nil || f.Message == "" {
		return nil, fmt.Errorf("%w: %s, and no error of a cluster in it", errNoPeer, res.Status)
	}
	return nil, &refusal{peer: p.host, call: c.name(), status: res.StatusCode, message: f.Message}
}

// withoutURL takes the URL out of an error of package http, which may have what is no business of
// logs.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// get makes a request in its turn, and reads the one object of its answer into out, unless that is nil.
func (p *peer) get(ctx context.Context, c call, out any) error {
	end, waited, err := p.turns.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	if waited { // maybe for calls that met no answer
		if _, err := p.state(); err != nil {
			return err
		}
	}
	return p.getNow(ctx, c, out)
}

// getNow is get without a turn.
func (p *peer) getNow(ctx context.Context, c call, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errSilent)
	defer cancel()
	res, err := p.do(ctx, c)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil || res.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		} else {
			err = fmt.Errorf("%w: %w", errCut, err)
		}
		err = &peerError{c.name(), p.host, err}
		if errors.Is(err, errSilent) || ctx.Err() == nil {
			p.note(err)
		}
		return err
	}
	return nil
}

// stream makes a request and yields the objects of its answer. A list that ends early yields an
// error: it is never taken for a short one.
func stream[T any](ctx context.Context, p *peer, c call) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stall := time.AfterFunc(streamStall, func() { cancel(errSilent) })
		defer stall.Stop()
		var none T
		res, err := p.do(ctx, c)
		if err != nil {
			yield(none, err)
			return
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusNoContent {
			return
		}
		// The header announces the trailer that says whether the list is whole.
		_, promised := res.Trailer[http.CanonicalHeaderKey(streamError)]
		for all := newObjects(res.Body); ; {
			var one T
			err := all.next(&one)
			if errors.Is(err, io.EOF) {
				err = nil
				if text := res.Trailer.Get(streamError); text != "" {
					err = fmt.Errorf("%w: %s", errCut, text)
				} else if promised && res.Trailer[http.CanonicalHeaderKey(streamError)] == nil {
					err = fmt.Errorf("%w: its trailer is missing", errCut)
				}
				if err == nil {
					return
				}
			}
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = cause
				} else if !errors.Is(err, errCut) {
					err = fmt.Errorf("%w: %w", errCut, err)
				}
				yield(none, &peerError{c.name(), p.host, err})
				return
			}
			stall.Reset(streamStall)
			if !yield(one, nil) {
				return
			}
		}
	}
}

// streamError is the trailer in which cluster says that a list is not whole.
const streamError = "X-Stream-Error"

// look asks the peer who it is.
func (p *peer) look(ctx context.Context) error {
	var is identity
	err := p.getNow(ctx, call{http.MethodGet, "/id", nil, p.limit}, &is)
	switch {
	case ctx.Err() != nil && err != nil:
		return err
	case err == nil && is.ID == "":
		err = &peerError{"GET /id", p.host, fmt.Errorf("%w: it says no ID", errNoPeer)}
	}
	if err != nil {
		p.note(err)
		return err
	}
	p.mu.Lock()
	if is.Node.ID == "" { // its node is away: what it was stays known
		is.Node.ID, is.Node.Addresses = p.is.Node.ID, p.is.Node.Addresses
	}
	was := p.is.Node.Error
	p.is = is
	p.mu.Unlock()
	p.note(nil)
	p.noteNode(was, is.Node.Error)
	return nil
}

// allocation reads a pin of the pinset; nil if it is not there.
func (p *peer) allocation(ctx context.Context, c cid.Cid) (*pinInfo, error) {
	var got pinInfo
	is := call{http.MethodGet, "/allocations/" + c.String(), nil, p.limit}
	err := p.get(ctx, is, &got)
	if notThere(err) {
		return nil, nil
	}
	if err == nil {
		err = p.isAbout(is, c, got.CID)
	}
	if err != nil {
		return nil, err
	}
	return &got, nil
}

// find is allocation for a pin that is most likely not there. Questions about many such pins take few calls.
func (p *peer) find(ctx context.Context, c cid.Cid) (*pinInfo, error) {
	of, err := p.global(ctx, c)
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	if is, _ := p.state(); err == nil && of.Peers[is.ID].Status == isUnpinned && len(of.Metadata) == 0 && len(of.Allocations) == 0 {
		return nil, nil // the peer looked it up in its pinset
	}
	return p.allocation(ctx, c)
}

// isAbout returns an error if the answer to a call is about another CID.
func (p *peer) isAbout(is call, c cid.Cid, text string) error {
	if got, err := cid.Decode(text); err == nil && got.Equals(c) {
		return nil
	}
	return p.aboutElse(is, text)
}

// aboutElse is the error of an answer that is about something else than was asked.
func (p *peer) aboutElse(is call, text string) error {
	return &peerError{is.name(), p.host, fmt.Errorf("%w: its answer is about %q", errNoPeer, oneLine(text))}
}

// allocations yields the pinset.
func (p *peer) allocations(ctx context.Context) iter.Seq2[pinInfo, error] {
	return stream[pinInfo](ctx, p, call{method: http.MethodGet, path: "/allocations", query: url.Values{"filter": {"pin"}}})
}

// status asks for the peer's own copy of a CID. id is the peer's ID: another may be at its URL by now.
func (p *peer) status(ctx context.Context, id string, c cid.Cid) (s peerStatus, of globalStatus, err error) {
	if of, err = p.global(ctx, c); err != nil {
		return s, of, err
	}
	s, ok := of.Peers[id]
	if !ok {
		err = &peerError{"GET /pins", p.host, fmt.Errorf("%w: it has no status of peer %s", errNoPeer, shortID(id))}
	}
	return s, of, err
}

// inFlight yields what the peer has in memory of all that it pins and unpins.
func (p *peer) inFlight(ctx context.Context) iter.Seq2[globalStatus, error] {
	return stream[globalStatus](ctx, p, call{method: http.MethodGet, path: "/pins", query: url.Values{"local": {"true"}, "filter": {inFlight}}})
}

// recover has the peer try again to pin a CID that its node does not have.
func (p *peer) recover(ctx context.Context, c cid.Cid) error {
	return p.get(ctx, call{http.MethodPost, "/pins/" + c.String() + "/recover", url.Values{"local": {"true"}}, writeTime}, nil)
}

// post pins a CID, or changes how it is pinned.
func (p *peer) post(ctx context.Context, c cid.Cid, options url.Values) (*pinInfo, error) {
	var got pinInfo
	is := call{http.MethodPost, "/pins/" + c.String(), options, writeTime}
	err := p.get(ctx, is, &got)
	if err == nil {
		err = p.isAbout(is, c, got.CID)
	}
	if err != nil {
		return nil, err
	}
	return &got, nil
}

// remove unpins a CID. It is no error if that is not pinned.
func (p *peer) remove(ctx context.Context, c cid.Cid) error {
	err := p.get(ctx, call{http.MethodDelete, "/pins/" + c.String(), nil, writeTime}, nil)
	if notThere(err) {
		return nil
	}
	return err
}

// metrics reads the last metric of a name of all peers.
func (p *peer) metrics(ctx context.Context, name string) (all []metric, err error) {
	err = p.get(ctx, call{http.MethodGet, "/monitor/metrics/" + name, nil, p.limit}, &all)
	return all, err
}

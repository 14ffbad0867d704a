package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// The statuses of cluster that tests name.
const (
	Pinned               = "pinned"
	PinError             = "pin_error"
	Remote               = "remote"
	Unpinned             = "unpinned"
	UnexpectedlyUnpinned = "unexpectedly_unpinned"
)

// StatusError is an answer that is no success.
type StatusError struct {
	Code int
	Body string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Body) }

// PinInfo is what cluster says of a pin on its peers.
type PinInfo struct {
	CID         string               `json:"cid"`
	Name        string               `json:"name"`
	Allocations []string             `json:"allocations"`
	PeerMap     map[string]PeerState `json:"peer_map"`
}

// PeerState is what it says of one peer.
type PeerState struct {
	Status   string `json:"status"`
	Error    string `json:"error"`
	Attempts int    `json:"attempt_count"`
}

// Allocation is a pin as it is in the pinset.
type Allocation struct {
	CID         string            `json:"cid"`
	Name        string            `json:"name"`
	Allocations []string          `json:"allocations"`
	Metadata    map[string]string `json:"metadata"`
	Min         int               `json:"replication_factor_min"`
	Max         int               `json:"replication_factor_max"`
}

// Metric is one of a peer's.
type Metric struct {
	Peer  string `json:"peer"`
	Value string `json:"value"`
	Valid bool   `json:"valid"`
}

// Do makes a request without a body and decodes the answer, unless out is nil. Errors: a
// *StatusError.
func (p *Peer) Do(ctx context.Context, method, path string, out any) error {
	body, err := p.Open(ctx, method, path, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// Open makes a request, and gives the body of an answer that is a success.
func (p *Peer) Open(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.REST+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if p.Username != "" {
		r.SetBasicAuth(p.Username, p.Password)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(res.Body, 4096)) // it is only shown
		return nil, fmt.Errorf("%s %s: %w", method, path, &StatusError{res.StatusCode, string(bytes.TrimSpace(b))})
	}
	return res.Body, nil
}

// Lines makes a request whose answer is a JSON value a line; 204 is none.
func Lines[T any](ctx context.Context, p *Peer, method, path string) (all []T, err error) {
	body, err := p.Open(ctx, method, path, "", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, fmt.Errorf("%s %s: %w", method, path, err)
		}
		all = append(all, v)
	}
}

// Pin pins a CID, with parameters such as replication-min.
func (p *Peer) Pin(ctx context.Context, cid string, q url.Values) error {
	return p.Do(ctx, http.MethodPost, "/pins/"+cid+"?"+q.Encode(), nil)
}

// Unpin takes a CID out of the pinset.
func (p *Peer) Unpin(ctx context.Context, cid string) error {
	return p.Do(ctx, http.MethodDelete, "/pins/"+cid, nil)
}

// Status asks all peers for a pin.
func (p *Peer) Status(ctx context.Context, cid string) (info PinInfo, err error) {
	return info, p.Do(ctx, http.MethodGet, "/pins/"+cid, &info)
}

// Here is what this peer alone says of a pin.
func (p *Peer) Here(ctx context.Context, cid string) (PeerState, error) {
	var info PinInfo
	err := p.Do(ctx, http.MethodGet, "/pins/"+cid+"?local=true", &info)
	return info.PeerMap[p.ID], err
}

// Statuses lists what all peers say of all pins.
func (p *Peer) Statuses(ctx context.Context) ([]PinInfo, error) {
	return Lines[PinInfo](ctx, p, http.MethodGet, "/pins")
}

// Recover has this peer try again what failed there.
func (p *Peer) Recover(ctx context.Context) error {
	_, err := Lines[PinInfo](ctx, p, http.MethodPost, "/pins/recover?local=true")
	return err
}

// Allocations lists the pinset.
func (p *Peer) Allocations(ctx context.Context) ([]Allocation, error) {
	return Lines[Allocation](ctx, p, http.MethodGet, "/allocations?filter=all")
}

// Metrics lists the newest metrics of a kind, such as freespace, that this peer knows. Those that
// are too old are not among them.
func (p *Peer) Metrics(ctx context.Context, name string) ([]Metric, error) {
	var all []Metric
	err := p.Do(ctx, http.MethodGet, "/monitor/metrics/"+name, &all)
	return slices.DeleteFunc(all, func(m Metric) bool { return !m.Valid }), err
}

// AwaitPinned waits until every CID is pinned on at least copies peers. On a pin that is not it
// says what the peers say.
func (p *Peer) AwaitPinned(ctx context.Context, copies int, cids ...string) error {
	var last string
	err := rig.Poll(ctx, 200*time.Millisecond, func() (bool, error) {
		all, err := p.Statuses(ctx)
		if err != nil {
			last = err.Error()
			return false, nil
		}
		have := make(map[string]PinInfo, len(all))
		for _, info := range all {
			have[info.CID] = info
		}
		for _, c := range cids {
			info, ok := have[c]
			if n := info.Count(Pinned); !ok || n < copies {
				last = fmt.Sprintf("%s is pinned %d times of %d: %+v", c, n, copies, info.PeerMap)
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("%w; %s", err, last)
	}
	return nil
}

// Count is how many peers say so of a pin.
func (i PinInfo) Count(status string) (n int) {
	for _, s := range i.PeerMap {
		if s.Status == status {
			n++
		}
	}
	return n
}

package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Node is the RPC of an IPFS node, as a cluster peer calls it: a Holdfast's or a Kubo's.
type Node struct {
	Multiaddr string // for a cluster peer
	base      string
	http      *http.Client
}

// NewNode makes one of an address as run.json has it: unix:PATH or a base URL.
func NewNode(at string) (*Node, error) {
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		return &Node{"/unix" + path, "http://node", &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		}}}, nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return nil, err
	}
	return &Node{"/ip4/" + host + "/tcp/" + port, "http://" + u.Host, &http.Client{Transport: &http.Transport{}}}, nil
}

// Post calls a command. The caller closes the body, whatever the status is.
func (n *Node) Post(ctx context.Context, command string, q url.Values, contentType string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.base+"/api/v0/"+command+"?"+q.Encode(), body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return n.http.Do(r)
}

// Call calls a command and decodes the last JSON value of its answer, unless out is nil. Errors:
// a *StatusError.
func (n *Node) Call(ctx context.Context, command string, q url.Values, out any) error {
	return n.each(ctx, command, q, func(raw json.RawMessage) error {
		if out == nil {
			return nil
		}
		return json.Unmarshal(raw, out)
	})
}

func (n *Node) each(ctx context.Context, command string, q url.Values, fn func(json.RawMessage) error) error {
	res, err := n.Post(ctx, command, q, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 4096)) // it is only shown
		return fmt.Errorf("%s: %w", command, &StatusError{res.StatusCode, strings.TrimSpace(string(b))})
	}
	for dec := json.NewDecoder(res.Body); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		if err := fn(raw); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
}

// Pins lists what is pinned recursively, by CID as it is written.
func (n *Node) Pins(ctx context.Context) (map[string]bool, error) {
	all := map[string]bool{}
	return all, n.each(ctx, "pin/ls", url.Values{"stream": {"true"}, "type": {"recursive"}}, func(raw json.RawMessage) error {
		var p struct{ Cid string }
		err := json.Unmarshal(raw, &p)
		all[p.Cid] = true
		return err
	})
}

// Has reports whether the whole DAG can be read from the node's own disk.
func (n *Node) Has(ctx context.Context, cid string) bool {
	return n.Call(ctx, "dag/stat", url.Values{"arg": {cid}, "progress": {"false"}, "offline": {"true"}}, nil) == nil
}

// Space is what repo/stat says: how much is held, and how much more may be.
func (n *Node) Space(ctx context.Context) (size, room uint64, err error) {
	var s struct{ RepoSize, StorageMax uint64 }
	err = n.Call(ctx, "repo/stat", url.Values{"size-only": {"true"}}, &s)
	return s.RepoSize, s.StorageMax - s.RepoSize, err
}

// Base is the base URL that RoundTrip sends requests to.
func (n *Node) Base() string { return n.base }

// RoundTrip sends a request to the node.
func (n *Node) RoundTrip(r *http.Request) (*http.Response, error) {
	return n.http.Transport.RoundTrip(r)
}

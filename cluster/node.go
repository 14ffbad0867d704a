package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// nodeRPC is the node of a peer, by its RPC.
type nodeRPC struct {
	name  string // for people
	base  string
	http  *http.Client
	turns turns
	sizes looks[listed]
	// limit is for an answer about one CID.
	limit time.Duration
	ctx   context.Context // ends the calls for sizes
	work  *sync.WaitGroup // has them

	mu       sync.Mutex
	id       string // "" while it is not known
	holdfast bool   // it is a Holdfast
	asked    time.Time
	silent   time.Time // when it last did not answer
}

// agentPrefix begins what a Holdfast says that it is.
const agentPrefix = "holdfast/"

// UnixScheme begins the address of a node that is at a Unix socket.
const UnixScheme = "unix:"

func newNodeRPC(at string, client *http.Client, limit time.Duration) *nodeRPC {
	n := &nodeRPC{
		name: at, base: strings.TrimRight(at, "/"), http: client, turns: newTurns(), limit: limit,
	}
	if path, ok := strings.CutPrefix(at, UnixScheme); ok {
		n.base = "http://localhost"
		n.http = &http.Client{CheckRedirect: client.CheckRedirect, Transport: &http.Transport{
			MaxConnsPerHost: maxCalls + spareConns, MaxIdleConnsPerHost: maxCalls + spareConns,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		}}
	}
	return n
}

func tlsWith(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func (n *nodeRPC) state() (id string, holdfast bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.id, n.holdfast
}

// rpcError is an error that a node answered with.
type rpcError struct{ Message string }

func (e *rpcError) Error() string { return e.Message }

// do calls a command. The caller closes the body.
func (n *nodeRPC) do(ctx context.Context, command string, q url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.base+"/api/v0/"+command+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := n.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s at node %s: %w", command, n.name, withoutURL(err))
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	var e rpcError
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&e); err != nil || e.Message == "" {
		return nil, fmt.Errorf("%s at node %s: it answers %s", command, n.name, res.Status)
	}
	return nil, fmt.Errorf("%s at node %s: %w", command, n.name, &e)
}

// get calls a command in its turn, and reads the one object of the answer into out, unless that is nil.
func (n *nodeRPC) get(ctx context.Context, command string, q url.Values, out any) error {
	return n.read(ctx, command, q, func(all *objects) error {
		if out == nil {
			return nil
		}
		return all.next(out)
	})
}

// read calls a command in its turn, and has its answer read.
func (n *nodeRPC) read(ctx context.Context, command string, q url.Values, answer func(*objects) error) error {
	began := time.Now()
	end, waited, err := n.turns.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	if waited && n.silentSince(began) { // it was waited for long enough
		return fmt.Errorf("%s at node %s: %w", command, n.name, errSilent)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, n.limit, errSilent)
	defer cancel()
	body, err := n.do(ctx, command, q)
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			n.mu.Lock()
			n.silent = time.Now()
			n.mu.Unlock()
		}
		return err
	}
	defer body.Close()
	if err := answer(newObjects(body)); err != nil {
		return fmt.Errorf("%s at node %s: %w", command, n.name, err)
	}
	return nil
}

// silentSince reports whether the node left a call without an answer since some time.
func (n *nodeRPC) silentSince(at time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.silent.After(at)
}

// askAgain is how often it is asked again who a node is that no peer has any more.
const askAgain = time.Second

// look asks the node who it is.
func (n *nodeRPC) look(ctx context.Context) error {
	n.mu.Lock()
	n.asked = time.Now()
	n.mu.Unlock()
	var is struct{ ID, AgentVersion string }
	if err := n.get(ctx, "id", nil, &is); err != nil {
		return err
	}
	if is.ID == "" {
		return fmt.Errorf("id at node %s: %w", n.name, errCut)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.id, n.holdfast = is.ID, strings.HasPrefix(is.AgentVersion, agentPrefix)
	return nil
}

// listed is an entry of a node's pin/ls. Blocks and Bytes are what a Holdfast adds.
type listed struct {
	Cid, Type     string
	Blocks, Bytes uint64
}

// totals asks how large a pinned DAG is. known is false if the node does not say, or does not have
// it.
func (n *nodeRPC) totals(ctx context.Context, c cid.Cid) (t pin.Totals, known bool, err error) {
	one, err := n.sizes.ask(ctx, c, n.work, n.sizesOf)
	if err != nil {
		if _, ok := errors.AsType[*rpcError](err); ok {
			return t, false, nil
		}
		return t, false, err
	}
	if one.Blocks > 0 {
		t, err = n.size(one.Blocks, one.Bytes)
		return t, err == nil, err
	}
	if _, holdfast := n.state(); holdfast {
		return t, false, nil
	}
	return n.walk(ctx, c)
}

// sizesOf makes one call for the sizes of some DAGs. Those that waited while the node hangs are not asked for: each
// such call would take all of its time.
func (n *nodeRPC) sizesOf(some []*look[listed], waited bool) {
	if waited && n.silentSince(time.Now().Add(-n.limit)) {
		for _, one := range some {
			one.answer(listed{}, fmt.Errorf("pin/ls at node %s: %w", n.name, errSilent))
		}
		return
	}
	cut := func(string) error { return fmt.Errorf("pin/ls at node %s: %w", n.name, errCut) }
	answerAll(some, func(texts []string, got func(string, listed) error) error {
		q := pinQuery(some[0].cid)
		q["arg"] = texts
		return n.read(n.ctx, "pin/ls", q, func(all *objects) error {
			for {
				var one listed
				if err := all.next(&one); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := got(one.Cid, one); err != nil {
					return err
				}
			}
		})
	}, cut, func(err error) bool { // one that is not pinned ends the list, before it began or in its middle
		_, refused := errors.AsType[*rpcError](err)
		return refused || errors.Is(err, errCut)
	})
}

// walkTime is how long a Kubo may take to walk a DAG: a minute is some 100 GB in blocks of 1 MiB.
const walkTime = 10 * time.Minute

// walk has a Kubo count a DAG, which reads all of it.
func (n *nodeRPC) walk(ctx context.Context, c cid.Cid) (t pin.Totals, known bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, walkTime, errSilent)
	defer cancel()
	body, err := n.do(ctx, "dag/stat", url.Values{"arg": {c.String()}, "progress": {"false"}, "offline": {"true"}})
	if err != nil {
		if _, ok := errors.AsType[*rpcError](err); ok {
			return t, false, nil
		}
		return t, false, err
	}
	defer body.Close()
	var stat struct {
		DagStats []struct{ Size, NumBlocks uint64 }
	}
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&stat); err != nil {
		return t, false, fmt.Errorf("dag/stat at node %s: %w", n.name, err)
	}
	if len(stat.DagStats) != 1 || stat.DagStats[0].NumBlocks == 0 {
		return t, false, nil
	}
	t, err = n.size(stat.DagStats[0].NumBlocks, stat.DagStats[0].Size)
	return t, err == nil, err
}

// size is what a node says that a DAG has. The error is that no DAG can have that.
func (n *nodeRPC) size(blocks, bytes uint64) (pin.Totals, error) {
	const (
		maxBytes = 1 << 60 // more than there are disks for; some of them together are a number still
		maxBlock = 1 << 32 // thousands of times what peers send each other
	)
	if blocks > maxBytes || bytes > maxBytes || blocks == 0 && bytes > 0 || blocks > 0 && bytes/blocks > maxBlock {
		return pin.Totals{}, fmt.Errorf("node %s: %d blocks with %d bytes are no DAG", n.name, blocks, bytes)
	}
	return pin.Totals{Blocks: blocks, Bytes: bytes}, nil
}

// progress asks how far a DAG is that the node fetches; zero if it does not say.
func (n *nodeRPC) progress(ctx context.Context, c cid.Cid) pin.Totals {
	if _, holdfast := n.state(); !holdfast {
		return pin.Totals{}
	}
	q := pinQuery(c)
	q.Set("unfinished", "true")
	var one listed
	if err := n.get(ctx, "pin/ls", q, &one); err != nil {
		return pin.Totals{} // the next look asks again
	}
	t, err := n.size(one.Blocks, one.Bytes)
	if err != nil { // none is known
		return pin.Totals{}
	}
	return t
}

func pinQuery(c cid.Cid) url.Values {
	return url.Values{"stream": {"true"}, "arg": {c.String()}, "type": {"recursive"}}
}

// pins yields the CIDs of all recursive pins of the node.
func (n *nodeRPC) pins(ctx context.Context) iter.Seq2[cid.Cid, error] {
	return func(yield func(cid.Cid, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stall := time.AfterFunc(streamStall, func() { cancel(errSilent) })
		defer stall.Stop()
		body, err := n.do(ctx, "pin/ls", url.Values{"stream": {"true"}, "type": {"recursive"}})
		if err != nil {
			yield(cid.Undef, err)
			return
		}
		defer body.Close()
		for all := newObjects(body); ; {
			var one listed
			err := all.next(&one)
			if errors.Is(err, io.EOF) {
				return
			}
			var c cid.Cid
			if err == nil {
				c, err = cid.Decode(one.Cid)
			}
			if err != nil {
				yield(cid.Undef, fmt.Errorf("pin/ls at node %s: %w: %w", n.name, errCut, err))
				return
			}
			stall.Reset(streamStall)
			if !yield(c, nil) {
				return
			}
		}
	}
}

// remove unpins a CID at the node alone.
func (n *nodeRPC) remove(ctx context.Context, c cid.Cid) error {
	return n.get(ctx, "pin/rm", url.Values{"arg": {c.String()}}, nil)
}

// nodeOf finds a node by its ID; nil if its URL is not known. Another node may be there by now: then
// no peer has the one that was.
func (e *Engine) nodeOf(ctx context.Context, id string) *nodeRPC {
	if id == "" {
		return nil
	}
	for _, n := range e.nodes {
		if known, _ := n.state(); known == id {
			return n
		}
	}
	for _, n := range e.nodes {
		known, _ := n.state()
		if known != "" && (e.peerOf(known) != "" || !n.askedBefore(askAgain)) {
			continue
		}
		_ = n.look(ctx) // one that is away is asked again the next time
		if known, _ = n.state(); known == id {
			return n
		}
	}
	return nil
}

// askedBefore reports whether it is so long since it was asked who the node is.
func (n *nodeRPC) askedBefore(ago time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.asked) >= ago
}

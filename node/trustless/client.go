package trustless

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-ipfs/holdfast/node/guard"
)

const (
	// defaultMaxBlock is what a message of Bitswap takes, and so the most that peers
	// can pass on. The specification asks for 2 MiB, and Kubo sends more.
	defaultMaxBlock = 4 << 20
	// Up to smallAnswer an answer is read at once. Before the rest is read it waits for
	// room, of which there is largeAnswers for all answers together.
	smallAnswer  = 1 << 20
	largeAnswers = 24 << 20
	// An answer is given up if nothing of it comes for this long. That holds for its
	// beginning, too, for which a gateway may have to look for the block itself.
	stallTimeout = 10 * time.Second
	// All of an answer may take stallTimeout and the time for the largest block at this
	// rate. Something slower is no help for a DAG of many blocks.
	minRate = 64 << 10 // bytes a second
	// From a domain to its gateway, from there to the subdomain of a CID.
	maxRedirects = 3
	// So much is read of an answer that is not a block: enough to say why, and mostly
	// enough that the connection can be used again.
	maxText = 4 << 10
)

// Config is how a client fetches. Only Transport is needed.
type Config struct {
	// Transport makes the requests, and decides whom it connects to and how
	// often at once: that of a guard.Guard. If it can close idle connections,
	// [Client.Close] has it do so.
	Transport http.RoundTripper
	// MaxBlock is the most bytes of a block; zero is 4 MiB.
	MaxBlock int
	// UserAgent is what the client calls itself; "" is "holdfast".
	UserAgent string
	// Now tells the time, for gateways that say until when they are busy. Nil is
	// time.Now.
	Now func() time.Time
}

// Client fetches blocks. Its methods may be called concurrently.
type Client struct {
	cfg     Config
	http    *http.Client
	timeout time.Duration
	large   *semaphore.Weighted // what answers may have in memory beyond smallAnswer
}

// New makes a client. The caller closes it.
func New(cfg Config) *Client {
	cfg.MaxBlock = cmp.Or(cfg.MaxBlock, defaultMaxBlock)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "holdfast")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Client{
		cfg: cfg,
		http: &http.Client{
			Transport:     cfg.Transport,
			CheckRedirect: guard.Redirects(maxRedirects),
		},
		timeout: stallTimeout + time.Duration(cfg.MaxBlock)*time.Second/minRate,
		large:   semaphore.NewWeighted(max(largeAnswers, int64(cfg.MaxBlock))),
	}
}

// Close closes the connections that are not in use. It may be called twice;
// requests under way are not ended by it but by their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Block fetches a block from a gateway, and checks its hash. Errors: [ErrNotFound],
// [*BusyError], [*BadError], [*UnreachableError]; the context's once that has ended. Any
// other error is about the CID and not about the gateway.
func (c *Client) Block(ctx context.Context, p Provider, k cid.Cid) ([]byte, error) {
	if data, ok := inline(k); ok {
		return data, nil
	}
	if _, err := k.Prefix().Sum(nil); err != nil {
		return nil, fmt.Errorf("fetch block %s: its hash cannot be computed: %w", k, err)
	}
	data, err := c.get(ctx, http.MethodGet, p, k)
	if err != nil {
		return nil, fmt.Errorf("fetch block %s from %s: %w", k, p, err)
	}
	if sum, err := k.Prefix().Sum(data); err != nil || !sum.Equals(k) {
		return nil, fmt.Errorf("fetch block %s from %s: %w", k, p, bad("the gateway gave %d bytes that are not the block", len(data)))
	}
	return data, nil
}

// Has asks a gateway whether it would give a block. If it says so, that proves nothing.
// Errors: as Block.
func (c *Client) Has(ctx context.Context, p Provider, k cid.Cid) error {
	if _, ok := inline(k); ok {
		return nil
	}
	if _, err := c.get(ctx, http.MethodHead, p, k); err != nil {
		return fmt.Errorf("ask %s for block %s: %w", p, k, err)
	}
	return nil
}

// probe is what every gateway has: https://specs.ipfs.tech/http-gateways/trustless-gateway/#dedicated-probe-paths
const probe = "bafkqaaa"

// Probe asks whether a server is a gateway at all. Errors: as Block.
func (c *Client) Probe(ctx context.Context, p Provider) error {
	k, err := cid.Decode(probe)
	if err != nil {
		return err
	}
	data, err := c.get(ctx, http.MethodGet, p, k)
	if err == nil && len(data) > 0 {
		err = bad("the gateway gave %d bytes for no block", len(data))
	}
	if err != nil {
		return fmt.Errorf("ask %s whether it is a gateway: %w", p, err)
	}
	return nil
}

// inline gives the data of a CID that has it in it.
func inline(k cid.Cid) ([]byte, bool) {
	if !k.Defined() || k.Prefix().MhType != multihash.IDENTITY {
		return nil, false
	}
	d, err := multihash.Decode(k.Hash())
	if err != nil {
		return nil, false
	}
	return d.Digest, true
}

// Why a request is given up.
var (
	errStalled = fmt.Errorf("nothing came for %v", stallTimeout)
	errSlow    = errors.New("it is too slow")
)

// get makes one request, and gives the answer's bytes, unchecked.
func (c *Client) get(parent context.Context, method string, p Provider, k cid.Cid) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	slow := time.AfterFunc(c.timeout, func() { cancel(errSlow) })
	defer slow.Stop()
	stall := time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	defer stall.Stop()

	r, err := http.NewRequestWithContext(ctx, method, p.block(k), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/vnd.ipld.raw")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", c.cfg.UserAgent)
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, failure(parent, ctx, err)
	}
	defer answer.Body.Close()
	body := &lively{answer.Body, stall}
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, maxText)) // as much of it as comes
		return nil, statusError(answer.Header, answer.StatusCode, string(text), c.cfg.Now())
	}
	if e := answer.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, bad("the gateway encodes a block as %q", e)
	}
	if method == http.MethodHead {
		return nil, nil
	}
	if n := answer.ContentLength; n > int64(c.cfg.MaxBlock) {
		return nil, bad("the gateway has %d bytes for a block of at most %d", n, c.cfg.MaxBlock)
	}
	data, err := c.read(ctx, body, answer.ContentLength)
	if err != nil {
		return nil, failure(parent, ctx, err)
	}
	if len(data) > c.cfg.MaxBlock {
		return nil, bad("the gateway has more than %d bytes for a block of at most that", c.cfg.MaxBlock)
	}
	return data, nil
}

// read reads an answer, up to one byte more than a block may have. length is what the answer
// says; below zero is that it does not say.
func (c *Client) read(ctx context.Context, body *lively, length int64) ([]byte, error) {
	most := int64(c.cfg.MaxBlock) + 1
	if length >= 0 {
		most = min(most, length)
	}
	data, err := io.ReadAll(io.LimitReader(body, min(most, smallAnswer)))
	if err != nil || most <= smallAnswer || len(data) < smallAnswer {
		return data, err
	}
	body.stall.Stop() // while it waits for room, the gateway is not to blame
	if err := c.large.Acquire(ctx, most-smallAnswer); err != nil {
		return nil, err
	}
	defer c.large.Release(most - smallAnswer)
	body.stall.Reset(stallTimeout)
	whole := bytes.NewBuffer(make([]byte, 0, most+bytes.MinRead))
	whole.Write(data)
	_, err = whole.ReadFrom(io.LimitReader(body, most-smallAnswer))
	return whole.Bytes(), err
}

// failure says why there is no answer, or only half of one.
func failure(parent, ctx context.Context, err error) error {
	if parent.Err() != nil {
		return parent.Err()
	}
	if errors.Is(err, guard.ErrRedirect) {
		return &BadError{Why: "the gateway leads elsewhere", Err: err}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &UnreachableError{err}
}

// lively is a body that puts off a timer while something comes.
type lively struct {
	io.Reader
	stall *time.Timer
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.stall.Reset(stallTimeout)
	}
	return n, err
}

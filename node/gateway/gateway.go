// Package gateway serves blocks and DAGs over HTTP to anybody, as a trustless gateway: raw
// blocks and CARs, which the client checks against the CID that it asked for. Clients
// without Bitswap, such as those in browsers, and other servers fetch by it what is
// pinned here.
//
// https://specs.ipfs.tech/http-gateways/trustless-gateway/
//
// It serves only what is on disk and never asks the network, so that nobody can make the
// server fetch something. It serves websites only at hosts that [People] has: a client cannot
// check them. It resolves no names but the DNSLinks of such hosts. The handlers are boxo's; large CARs are written by package dagcar, which reads
// ahead of the client. If a block of a CAR cannot be given, the connection is cut, so that the
// client does not take what came for the whole.
//
// # Denylists
//
// A denied path or block is answered with 410 Gone, as by Kubo's gateway. The block store
// beneath boxo's BlockService denies blocks. A wrapper around the BlockService, as nopfs has
// one, would not do: a session takes the block store and the exchange out of the wrapper,
// and so gets around it (https://github.com/ipfs-shipyard/nopfs/issues/34).
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// An answer that does not get further for this long ends. The blocks are on a local
	// disk, so it is the client that takes nothing, and it holds a place.
	stallTimeout = 30 * time.Second
	// MaxDuration is the longest time that an answer may take. A CAR of 100 GiB takes an
	// hour at 250 Mbit/s. If it is cut off, clients ask for the rest.
	MaxDuration = time.Hour
	// maxSegments is how many names a path may have behind its root. Boxo resolves each
	// beginning of a path for itself, so the work grows with the square of the number.
	maxSegments = 100
)

var errLongPath = boxo.NewErrorStatusCode(
	fmt.Errorf("the path has more than %d segments: ask for what is below the CID of one of its directories", maxSegments),
	http.StatusBadRequest)

// checkLength refuses a path such as /ipfs/CID/a/b that has too many segments.
func checkLength(path string) error {
	if strings.Count(strings.Trim(path, "/"), "/") > maxSegments+1 {
		return errLongPath
	}
	return nil
}

// Config is what a gateway serves, and how much at once.
type Config struct {
	// Blocks has what is served, and identity CIDs. It must not ask others for what it does
	// not have. A [pin.ErrDenied] of it is answered with 410, and a [pin.ErrUnreadable]
	// with 500: the block is here and cannot be read. Within a CAR any error cuts
	// the answer off.
	Blocks blockstore.Blockstore
	// Below reads the blocks below a root as Blocks would, many at once. Nil reads Blocks.
	Below dagcar.Source
	// Links lists what a block links to, in its order.
	Links func(c cid.Cid, data []byte) ([]cid.Cid, error)
	// Seen makes a set for one CAR, which closes it.
	Seen func() dagcar.Seen
	// Room is the memory that all requests share, and others may share with them. Nil is without a limit.
	Room *room.Room
	// DeniedPath gives an error for a path that is denied, such as "/ipfs/CID/some/file".
	// Nil denies none. Blocks denies blocks by itself.
	DeniedPath func(path string) error
	// MaxRequests is how many requests are answered at the same time. Others get 429. Zero
	// is no limit.
	MaxRequests int
	// People is the part for browsers. Nil is none: then everything that is served can be
	// checked by the client.
	People *People
	// Metrics gets boxo's metrics, with names that begin with ipfs_http_gw. Nil discards
	// them.
	Metrics prometheus.Registerer
	// Logger gets the causes of answers of 500. Nil discards.
	Logger *slog.Logger
}

// New makes the handler of a gateway. There is nothing to close. An answer reads
// Config.Blocks until its request ends, and for a moment longer.
func New(cfg Config) (http.Handler, error) {
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Blocks = noted{cfg.Blocks}
	blocks := service(cfg.bounded(cfg.Blocks))
	inner, err := boxo.NewBlocksBackend(blocks, boxo.WithNameSystem(newDNSLinks(cfg.People)))
	if err != nil {
		return nil, fmt.Errorf("make the gateway: %w", err)
	}
	backend := &backend{inner, cfg, merkledag.NewDAGService(blocks)}
	options := boxo.Config{
		DeserializedResponses: false,
		NoDNSLink:             true,
		DisableHTMLErrors:     cfg.People == nil,
		RetrievalTimeout:      stallTimeout,
		MaxConcurrentRequests: cfg.MaxRequests,
		MaxRequestDuration:    MaxDuration,
		MetricsRegistry:       cfg.Metrics,
	}
	if cfg.People != nil {
		options.PublicGateways = cfg.People.gateways()
	}
	handler := cfg.guard(boxo.NewHandler(options, backend), backend)
	if cfg.People != nil {
		handler = boxo.NewHostnameHandler(options, backend, cfg.People.serve(handler))
	}
	return boxo.NewHeaders(nil).ApplyCors().Wrap(cfg.tellFaults(handler)), nil
}

// service is boxo's view of the blocks.
func service(b blockstore.Blockstore) blockservice.BlockService {
	b = gone{b}
	return blockservice.New(b, offline.Exchange(b))
}

// guard refuses what is not served here. For a CAR, boxo would answer 200 before it looks for
// the root.
func (c Config) guard(next http.Handler, b *backend) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := checkLength(r.URL.Path); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if c.DeniedPath != nil {
			if err := c.DeniedPath(r.URL.Path); err != nil {
				http.Error(w, err.Error(), http.StatusGone)
				return
			}
		}
		root, err := c.root(r, b)
		if err != nil {
			status := http.StatusBadRequest
			if e, ok := errors.AsType[*boxo.ErrorStatusCode](err); ok {
				status = e.StatusCode
			}
			http.Error(w, err.Error(), status)
			return
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead { // boxo refuses others
			switch has, err := c.has(r, root); {
			case errors.Is(err, pin.ErrDenied):
				http.Error(w, err.Error(), http.StatusGone)
				return
			case err == nil && !has:
				http.Error(w, root.String()+" is not here", http.StatusNotFound)
				return
			}
		}
		next.ServeHTTP(w, r) // any other error comes up there again
	})
}

// root gives the CID that the path of a request begins with, or that its name leads to. Errors:
// [boxo.ErrorStatusCode]; or that the path has no CID where one should be.
func (c Config) root(r *http.Request, b *backend) (cid.Cid, error) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/ipfs/")
	if !ok {
		return c.named(r, b)
	}
	first, _, _ := strings.Cut(rest, "/")
	root, err := pin.ParseCID(first)
	if err != nil {
		return cid.Undef, fmt.Errorf("%.100q %w", first, err)
	}
	return root, nil
}

// named gives the root of the DNSLink that a request is for.
func (c Config) named(r *http.Request, b *backend) (cid.Cid, error) {
	host, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/ipns/"), "/")
	if c.People == nil || !slices.Contains(c.People.DNSLinkHosts, host) {
		return cid.Undef, boxo.NewErrorStatusCode(errors.New("only /ipfs/CID is served here, as ?format=raw or ?format=car, or as its operator allows"), http.StatusNotFound)
	}
	p, err := path.NewPath(r.URL.Path)
	if err != nil {
		return cid.Undef, err
	}
	im, _, _, err := b.ResolveMutable(r.Context(), p)
	if err != nil {
		return cid.Undef, boxo.NewErrorStatusCode(fmt.Errorf("it cannot be found out what %s leads to: %w", host, err), http.StatusBadGateway)
	}
	if err := b.allow(im); err != nil {
		return cid.Undef, err
	}
	return im.RootCid(), nil
}

// has reports whether a root is served.
func (c Config) has(r *http.Request, root cid.Cid) (bool, error) {
	has, err := c.Blocks.Has(r.Context(), root)
	if err == nil && has && c.People != nil && c.People.Complete != nil && isForPeople(r) {
		has, err = c.People.Complete(r.Context(), root)
	}
	return has, err
}

// gone is a block store. Its denials are errors that boxo answers with 410.
type gone struct{ blockstore.Blockstore }

func (g gone) Has(ctx context.Context, c cid.Cid) (bool, error) {
	has, err := g.Blockstore.Has(ctx, c)
	return has, gone410(err)
}

func (g gone) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := g.Blockstore.Get(ctx, c)
	if err != nil {
		noteMissed(ctx)
	}
	return b, gone410(err)
}

func (g gone) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := g.Blockstore.GetSize(ctx, c)
	return n, gone410(err)
}

func gone410(err error) error {
	if errors.Is(err, pin.ErrDenied) {
		return boxo.NewErrorStatusCode(err, http.StatusGone)
	}
	return err
}

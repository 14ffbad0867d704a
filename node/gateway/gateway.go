// Package gateway serves blocks and DAGs over HTTP to whoever asks, as a
// trustless gateway: raw blocks and CARs, which the client checks against the
// CID it asked for. It is by this that clients without Bitswap, such as those
// in browsers, and other servers fetch what is pinned here.
//
// https://specs.ipfs.tech/http-gateways/trustless-gateway/
//
// It gives only what is on disk and never asks the network, so that nobody can
// make the server fetch something. There are no websites and no IPNS: what
// would have to be believed is not served. The handler itself is boxo's.
//
// # Denylists
//
// A path that is denied, and a block that is, is answered with 410 Gone, as
// Kubo's gateway does. Blocks are denied by the block store beneath boxo's
// BlockService and not by a wrapper around that, as nopfs has one: a session of
// a BlockService takes the block store and the exchange out of whatever wraps
// it, and so gets around it. (https://github.com/ipfs-shipyard/nopfs/issues/34)
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	boxo "github.com/ipfs/boxo/gateway"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// An answer that gets no further for this long ends: the blocks are on a
	// local disk, and a client that takes nothing holds a place.
	stallTimeout = 30 * time.Second
	// MaxDuration is the longest that an answer may take. A CAR of 100 GiB takes
	// an hour at 250 Mbit/s; clients ask for the rest of one that was cut off.
	MaxDuration = time.Hour
)

// Config is what a gateway serves, and how much at once.
type Config struct {
	// Blocks is what is given out, and has what is its own CID. It must not ask
	// anybody else for what it does not have. An error of it that is a [pin.ErrDenied] is 410,
	// and a [pin.ErrUnreadable] 500: it is here, and others may have it. In the midst of a
	// CAR any error cuts the answer off.
	Blocks blockstore.Blockstore
	// DeniedPath says why a path such as "/ipfs/CID/some/file" is not to be
	// served; nil denies none. Blocks denies blocks by itself.
	DeniedPath func(path string) error
	// MaxRequests is how many requests are answered at the same time; more get
	// 429. Zero is no limit.
	MaxRequests int
	// Metrics takes what boxo counts, under names that begin with ipfs_http_gw;
	// nil throws it away.
	Metrics prometheus.Registerer
	// Logger gets the causes of what is answered 500. Nil logs nothing.
	Logger *slog.Logger
}

// New makes the handler of a gateway. It owns nothing; an answer under way
// reads Config.Blocks until its request ends, and for a moment longer.
func New(cfg Config) (http.Handler, error) {
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Blocks = noted{cfg.Blocks}
	backend, err := boxo.NewBlocksBackend(service(cfg.Blocks))
	if err != nil {
		return nil, fmt.Errorf("make the gateway: %w", err)
	}
	handler := boxo.NewHandler(boxo.Config{
		DeserializedResponses: false,
		NoDNSLink:             true,
		DisableHTMLErrors:     true,
		RetrievalTimeout:      stallTimeout,
		MaxConcurrentRequests: cfg.MaxRequests,
		MaxRequestDuration:    MaxDuration,
		MetricsRegistry:       cfg.Metrics,
	}, backend)
	return boxo.NewHeaders(nil).ApplyCors().Wrap(tellFaults(cfg.Logger, cfg.guard(handler))), nil
}

// service is boxo's view of the blocks.
func service(b blockstore.Blockstore) blockservice.BlockService {
	b = gone{b}
	return blockservice.New(b, offline.Exchange(b))
}

// guard lets through what is served here at all. Of a CAR boxo would answer 200
// before it has looked for the root.
func (c Config) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.Path, "/ipfs/")
		if !ok {
			http.Error(w, "only /ipfs/CID is served here, as ?format=raw or ?format=car", http.StatusNotFound)
			return
		}
		if c.DeniedPath != nil {
			if err := c.DeniedPath(r.URL.Path); err != nil {
				http.Error(w, err.Error(), http.StatusGone)
				return
			}
		}
		first, _, _ := strings.Cut(rest, "/")
		root, err := pin.ParseCID(first)
		if err != nil {
			http.Error(w, fmt.Sprintf("%.100q %v", first, err), http.StatusBadRequest)
			return
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead { // boxo refuses others
			switch has, err := c.Blocks.Has(r.Context(), root); {
			case errors.Is(err, pin.ErrDenied):
				http.Error(w, err.Error(), http.StatusGone)
				return
			case err == nil && !has:
				http.Error(w, root.String()+" is not here", http.StatusNotFound)
				return
			}
		}
		next.ServeHTTP(w, r) // which meets any other error again
	})
}

// gone is a block store whose denials boxo answers with 410.
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

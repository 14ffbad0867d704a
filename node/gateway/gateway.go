// Package gateway serves blocks and DAGs over HTTP to anybody, as a trustless gateway: raw
// blocks and CARs, which the client checks against the CID that it asked for. Clients
// without Bitswap, such as those in browsers, and other servers fetch by it what is
// pinned here.
//
// https://specs.ipfs.tech/http-gateways/trustless-gateway/
//
// It serves only what is on disk and never asks the network, so that nobody can make the
// server fetch something. It serves neither websites nor IPNS: a client could not check
// them. The handler itself is boxo's; large CARs are written by package dagcar, which reads
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
	"strings"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	boxo "github.com/ipfs/boxo/gateway"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// An answer that does not get further for this long ends. The blocks are on a local
	// disk, so it is the client that takes nothing, and it holds a place.
	stallTimeout = 30 * time.Second
	// MaxDuration is the longest time that an answer may take. A CAR of 100 GiB takes an
	// hour at 250 Mbit/s. If it is cut off, clients ask for the rest.
	MaxDuration = time.Hour
)

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
	// DeniedPath gives an error for a path that is denied, such as "/ipfs/CID/some/file".
	// Nil denies none. Blocks denies blocks by itself.
	DeniedPath func(path string) error
	// MaxRequests is how many requests are answered at the same time. Others get 429. Zero
	// is no limit.
	MaxRequests int
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
	boxoBackend, err := boxo.NewBlocksBackend(service(cfg.Blocks))
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
	}, &backend{boxoBackend, cfg})
	return boxo.NewHeaders(nil).ApplyCors().Wrap(tellFaults(cfg.Logger, cfg.guard(handler))), nil
}

// service is boxo's view of the blocks.
func service(b blockstore.Blockstore) blockservice.BlockService {
	b = gone{b}
	return blockservice.New(b, offline.Exchange(b))
}

// guard refuses what is not served here. For a CAR, boxo would answer 200 before it looks for
// the root.
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
		next.ServeHTTP(w, r) // any other error comes up there again
	})
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

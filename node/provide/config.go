package provide

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Strategy is what of a DAG is told.
type Strategy string

// The strategies, each of which tells what those before it do.
const (
	Roots    Strategy = "roots"    // the root
	Entities Strategy = "entities" // and the roots of files and directories
	All      Strategy = "all"      // and every other block
)

// Strategies lists them, the narrowest first.
func Strategies() []Strategy { return []Strategy{Roots, Entities, All} }

// rank orders strategies by how much they tell; -1 is none.
func (s Strategy) rank() int { return slices.Index(Strategies(), s) }

const (
	// DefaultInterval is within what everything is told again: records in the
	// DHT live for 48 hours, so one sweep may fail.
	DefaultInterval = 22 * time.Hour
	// MaxInterval is the life of a record in the DHT.
	MaxInterval = 48 * time.Hour
)

// Network is a DHT to tell.
type Network struct {
	// Name is short, the same in every run, and not that of another network.
	Name string
	// Self is who provides, and Addrs where it can be reached. Nothing is told
	// while there are no addresses.
	Self  peer.ID
	Addrs func() []ma.Multiaddr
	// Closest finds the peers that are responsible for a key. An error means
	// that the network cannot be reached.
	Closest func(ctx context.Context, key string) ([]peer.ID, error)
	// Sender speaks to them.
	Sender pb.MessageSender
	// Replicas is how many of them are told of each key.
	Replicas int
	// Keep records in the node's own part of the DHT that it provides a key; nil
	// is nothing.
	Keep func(context.Context, multihash.Multihash) error
	// Host keeps connections and addresses while they are in use; nil is none.
	Host host.Host
	// Counts reports whether a root that was told here is told; nil is always.
	// It is for a network that stands in for another that cannot be reached: what
	// it was told counts for as long as it does. It is quick.
	Counts func() bool
}

func (n Network) counts() bool { return n.Counts == nil || n.Counts() }

// Config is what a [Provider] works with.
type Config struct {
	Strategy Strategy      // "" is Roots
	Interval time.Duration // within what everything is told again; 0 is DefaultInterval
	// Workers is how many regions are told at the same time in each network, of
	// up to 20 peers at once each. 0 is 16, as in Kubo.
	Workers int
	// Networks are told each of everything.
	Networks []Network
	// Datastore keeps the state; nil keeps it in memory. The caller closes it
	// after the provider.
	Datastore datastore.Batching
	// Roots yields every DAG that is complete, and Complete says whether one is.
	// Nil is none but those that are announced and not withdrawn.
	Roots    func(context.Context) iter.Seq2[pin.DAG, error]
	Complete func(context.Context, pin.DAG) (bool, error)
	// Blocks is where DAGs are walked; for Roots it may be nil.
	Blocks blockstore.Blockstore
	// Holds reports whether a block is one to give to others. What is not is not
	// told; nil is all that are in Blocks. It is not asked of roots.
	Holds func(context.Context, multihash.Multihash) (bool, error)
	// Logger is told what is wrong; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Strategy = cmp.Or(c.Strategy, Roots)
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Workers = cmp.Or(c.Workers, 16)
	if c.Strategy.rank() < 0 {
		return c, fmt.Errorf("provide.strategy is %q, and can be one of %q", c.Strategy, Strategies())
	}
	if c.Interval < 0 || c.Interval > MaxInterval {
		return c, fmt.Errorf("provide.interval is %v, and can be up to %v, the life of a record", c.Interval, MaxInterval)
	}
	if c.Datastore == nil {
		c.Datastore = dssync.MutexWrap(datastore.NewMapDatastore())
	}
	if c.Holds == nil && c.Blocks != nil {
		c.Holds = func(ctx context.Context, h multihash.Multihash) (bool, error) {
			return c.Blocks.Has(ctx, cid.NewCidV1(cid.Raw, h))
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

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

// Strategy says which keys of a DAG are announced.
type Strategy string

// The strategies. Each announces what those before it do, and more.
const (
	Roots    Strategy = "roots"    // the root
	Entities Strategy = "entities" // the roots of files and directories, too
	All      Strategy = "all"      // every block
)

// Strategies lists them, the narrowest first.
func Strategies() []Strategy { return []Strategy{Roots, Entities, All} }

// rank orders strategies by how much they announce; -1 is for no strategy.
func (s Strategy) rank() int { return slices.Index(Strategies(), s) }

const (
	// DefaultInterval is the time within which everything is announced again. Records in
	// the DHT live for 48 hours, so one sweep may fail.
	DefaultInterval = 22 * time.Hour
	// MaxInterval is the life of a record in the DHT.
	MaxInterval = 48 * time.Hour
)

// Network is a DHT in which keys are announced.
type Network struct {
	// Name is short, the same in every run, and different from other networks' names.
	Name string
	// Self is the peer that provides, and Addrs where it can be reached. While there are no
	// addresses nothing is announced.
	Self  peer.ID
	Addrs func() []ma.Multiaddr
	// Closest finds the peers that are responsible for a key. An error means that the
	// network cannot be reached.
	Closest func(ctx context.Context, key string) ([]peer.ID, error)
	// Sender sends messages to peers.
	Sender pb.MessageSender
	// Replicas is how many peers get each key.
	Replicas int
	// Keep records in the node's own part of the DHT that the node provides a key. Nil
	// records nothing.
	Keep func(context.Context, multihash.Multihash) error
	// Host keeps connections and addresses while they are in use; nil keeps none.
	Host host.Host
	// Counts reports whether a root counts as announced once it was announced here. Nil is
	// always. It is for a network that stands in for another one that cannot be reached:
	// what was announced in it counts as long as it stands in. It is quick.
	Counts func() bool
}

func (n Network) counts() bool { return n.Counts == nil || n.Counts() }

// Config is what a [Provider] works with.
type Config struct {
	Strategy Strategy      // "" is Roots
	Interval time.Duration // within which everything is announced again; 0 is DefaultInterval
	// Workers is how many regions are announced at the same time in each network, each to
	// up to 20 peers at once. 0 is 16, as in Kubo.
	Workers int
	// Networks each get all keys.
	Networks []Network
	// Datastore keeps the state; nil keeps it in memory. The caller closes it
	// after the provider.
	Datastore datastore.Batching
	// Roots yields every DAG that is complete, and Complete reports whether one is. If they
	// are nil, the complete DAGs are those that were announced and not withdrawn.
	Roots    func(context.Context) iter.Seq2[pin.DAG, error]
	Complete func(context.Context, pin.DAG) (bool, error)
	// Blocks is where DAGs are walked; with the strategy Roots it may be nil.
	Blocks blockstore.Blockstore
	// Holds reports whether a block is served to others. Others are not announced. Nil is
	// all that are in Blocks. It is not called for roots.
	Holds func(context.Context, multihash.Multihash) (bool, error)
	// Logger gets what is wrong; nil discards.
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

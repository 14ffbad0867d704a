package provide

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/multiformats/go-multihash"
)

const (
	// How many of the workers are kept for the sweep, and how many for what was just pinned,
	// so that neither waits for the other. As in Kubo.
	sweepWorkers = 2
	burstWorkers = 1

	// A region may be later than its turn by this much, since regions are cut anew when the
	// network changes. For short intervals it is a tenth.
	maxDelay = time.Hour
)

// sweep is kad-dht's sweeping providers, one for each network, over one set of
// keys. (kad-dht's own provider for two networks does not work with one alone, and leaves keys
// that were withdrawn in its queue.)
type sweep struct {
	keys keystore.Keystore
	nets []*provider.SweepingProvider
}

// newSweep starts to announce the keys that ds has. told is called for each key that a peer of
// a network took.
func newSweep(cfg Config, ds datastore.Batching, filter func(context.Context, multihash.Multihash) (bool, error),
	told func(n int, key multihash.Multihash)) (_ *sweep, err error) {
	s := new(sweep)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	keys, err := keystore.NewKeystore(namespace.Wrap(ds, datastore.NewKey("/keys")))
	if err != nil {
		return nil, fmt.Errorf("open the keys to provide: %w", err)
	}
	s.keys = keys
	if filter != nil {
		s.keys = &held{Keystore: keys, holds: filter, log: cfg.Logger}
	}
	for i, n := range cfg.Networks {
		a := newAim(n, func(k multihash.Multihash) { told(i, k) })
		options := []provider.Option{
			provider.WithPeerID(n.Self),
			provider.WithSelfAddrs(n.Addrs),
			provider.WithRouter(a),
			provider.WithMessageSender(a),
			provider.WithReplicationFactor(n.Replicas),
			provider.WithKeystore(s.keys),
			provider.WithDatastore(namespace.Wrap(ds, datastore.NewKey("/"+n.Name))),
			provider.WithResumeCycle(true),
			provider.WithReprovideInterval(cfg.Interval),
			provider.WithMaxReprovideDelay(min(maxDelay, max(cfg.Interval/10, 1))),
			provider.WithMaxWorkers(max(cfg.Workers, sweepWorkers+burstWorkers)),
			provider.WithDedicatedPeriodicWorkers(sweepWorkers),
			provider.WithDedicatedBurstWorkers(burstWorkers),
			provider.WithDhtType(n.Name),
		}
		if n.Keep != nil {
			options = append(options, provider.WithAddLocalRecord(n.Keep))
		}
		if n.Host != nil {
			options = append(options, provider.WithHost(n.Host))
		}
		p, err := provider.New(options...)
		if err != nil {
			return nil, fmt.Errorf("provide to the %s network: %w", n.Name, err)
		}
		s.nets = append(s.nets, p)
	}
	return s, nil
}

// close stops announcing, and leaves on disk what is needed to go on.
func (s *sweep) close() error {
	var errs []error
	for _, p := range s.nets {
		errs = append(errs, p.Close())
	}
	if s.keys != nil {
		errs = append(errs, s.keys.Close())
	}
	return errors.Join(errs...)
}

// start adds keys, and announces the new ones at once.
func (s *sweep) start(ctx context.Context, keys ...multihash.Multihash) error {
	fresh, err := s.add(ctx, keys)
	if err != nil {
		return err
	}
	return s.tell(fresh...)
}

// add adds keys, which are announced when their turn comes, and gives the new ones.
func (s *sweep) add(ctx context.Context, keys []multihash.Multihash) (fresh []multihash.Multihash, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if fresh, err = s.keys.Put(ctx, keys...); err != nil {
		return nil, fmt.Errorf("add %d keys to provide: %w", len(keys), err)
	}
	for _, p := range s.nets {
		if err := p.AddToSchedule(fresh...); err != nil {
			return nil, fmt.Errorf("schedule %d keys to provide: %w", len(fresh), err)
		}
	}
	return fresh, nil
}

// tell announces keys as soon as there is a worker. In a network that cannot be reached they
// are announced when their turn comes.
func (s *sweep) tell(keys ...multihash.Multihash) error {
	all := make([]int, len(s.nets))
	for i := range all {
		all[i] = i
	}
	return s.tellTo(all, keys...)
}

// tellTo does so in some of the networks.
func (s *sweep) tellTo(nets []int, keys ...multihash.Multihash) error {
	var errs []error
	for _, i := range nets {
		if err := s.nets[i].ProvideOnce(keys...); err != nil {
			errs = append(errs, fmt.Errorf("provide %d keys: %w", len(keys), err))
		}
	}
	return errors.Join(errs...)
}

// stop ends the announcing of keys.
func (s *sweep) stop(ctx context.Context, keys ...multihash.Multihash) error {
	if len(keys) == 0 {
		return nil
	}
	for _, p := range s.nets { // their lines; the keys go with the first
		if err := p.StopProviding(keys...); err != nil {
			return fmt.Errorf("stop providing %d keys: %w", len(keys), err)
		}
	}
	if err := s.keys.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("stop providing %d keys: %w", len(keys), err)
	}
	return nil
}

package daemon

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// checkEvery is how often records, pinset and nodes are compared.
const checkEvery = 10 * time.Minute

var (
	// frontKey has the name by which the pinset knows this server. It is there if a cluster
	// keeps what the records of a directory name. A backup has it, like the other two keys: a
	// restored directory does not start without it.
	frontKey = datastore.NewKey(store.BackedUpKeys + "front")
	heirsKey = datastore.NewKey(store.BackedUpKeys + "heirs")
	// delegatesKey has the nodes' addresses as they last were: no pin is answered without any, and
	// pins are taken while no peer answers.
	delegatesKey = datastore.NewKey(store.BackedUpKeys + "delegates")
)

// errFront is the error of what needs the blocks that a cluster keeps.
var errFront error = &admin.StatusError{
	Status: http.StatusNotImplemented,
	Err:    errors.New("a cluster keeps what is pinned here (cluster.peers), so this server has no blocks"),
	Hint:   "run it on the cluster's nodes; `holdfast cluster check` compares the pins of this server with them",
}

// frontOf reads by which name a cluster's pinset knows the server of a directory; "" if what is
// pinned there is kept there.
func frontOf(ctx context.Context, ds datastore.Datastore) (string, error) {
	b, err := ds.Get(ctx, frontKey)
	if errors.Is(err, datastore.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read where what is pinned is kept: %w", err)
	}
	return string(b), nil
}

// startCluster makes the engine over the cluster.
func (p *Program) startCluster(ctx context.Context) (*cluster.Engine, error) {
	c, err := clusterConfig(p.Config.Cluster)
	if err != nil {
		return nil, err
	}
	ds := p.core.store.Datastore()
	if c.Heirs, err = readList(ctx, ds, heirsKey); err != nil {
		return nil, err
	}
	if c.Delegates, err = readList(ctx, ds, delegatesKey); err != nil {
		return nil, err
	}
	life := p.Data.File(datadir.LifeName)
	newest, err := p.core.store.NewestRequest(ctx)
	if err != nil {
		return nil, err
	}
	if c.Life, err = readLife(life, newest); err != nil {
		return nil, err
	}
	c.Instance, c.Journal, c.Logger = p.core.front, ds, p.Log
	c.Staging = &staging{store: p.core.store, denials: p.denials, dir: p.Data.File(datadir.TempDirName), log: p.Log}
	c.NewLife = func(since time.Time) (cluster.Life, error) { return newLife(life, newest, since) }
	c.Account = accountReplication{p.core.auth}.of
	if !p.Config.Node.AllowPrivateAddresses {
		c.AllowOrigin = publicOrigin
	}
	e, err := cluster.New(ctx, c, p.core.store)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return e, nil
}

// clusterConfig reads the files that the configuration names.
func clusterConfig(c config.Cluster) (is cluster.Config, err error) {
	is = cluster.Config{Peers: c.Peers, Nodes: c.Nodes, Username: c.Username, LostAfter: time.Duration(c.LostAfter)}
	if is.Replication, err = pin.ParseReplication(c.Replication); err != nil {
		return is, fmt.Errorf("cluster.replication: %w", err)
	}
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return is, hint.Add(fmt.Errorf("read the password of the cluster: %w", err), "cluster.password_file names the file")
		}
		if is.Password = strings.TrimRight(string(b), "\r\n"); is.Password == "" || strings.ContainsAny(is.Password, "\r\n") {
			return is, hint.Add(fmt.Errorf("the password of the cluster in %s is no single line", c.PasswordFile), "cluster.password_file names the file")
		}
	}
	if c.CAFile != "" {
		b, err := os.ReadFile(c.CAFile)
		if err != nil {
			return is, hint.Add(fmt.Errorf("read the certificates of the cluster: %w", err), "cluster.ca_file names the file")
		}
		is.Roots = x509.NewCertPool()
		if !is.Roots.AppendCertsFromPEM(b) {
			return is, hint.Add(fmt.Errorf("there is no certificate in %s", c.CAFile), "cluster.ca_file names a file in PEM")
		}
	}
	return is, nil
}

// readLife reads which life of the directory this is, and begins one if there is none: a backup does
// not have it. newest is when the newest request of the records was made.
func readLife(path string, newest time.Time) (l cluster.Life, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newLife(path, newest, time.Time{})
	}
	if err != nil {
		return l, fmt.Errorf("read %s: %w", datadir.LifeName, err)
	}
	var newestAt, since int64
	switch n, err := fmt.Sscan(string(b), &l.Name, &newestAt, &since); {
	case n == 0:
		return newLife(path, newest, time.Time{})
	case n == 1 && err != nil: // of a version that wrote no time
		l.Newest = newest
		return l, writeLife(path, l)
	}
	l.Newest = time.UnixMilli(newestAt)
	if since > 0 {
		l.Since = time.UnixMilli(since)
	}
	return l, nil
}

// newLife begins a life. since is as [cluster.Life] has it.
func newLife(path string, newest, since time.Time) (cluster.Life, error) {
	l := cluster.Life{Name: strings.ToLower(rand.Text()[:8]), Newest: newest, Since: since}
	return l, writeLife(path, l)
}

func writeLife(path string, l cluster.Life) error {
	newest, since := max(l.Newest.UnixMilli(), 0), max(l.Since.UnixMilli(), 0) // the zero time is 0
	if err := durable.WriteFile(path, datadir.LifeName+".new", fmt.Appendf(nil, "%s %d %d\n", l.Name, newest, since), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", datadir.LifeName, err)
	}
	return nil
}

// readList reads a list that writeList wrote; nil if there is none.
func readList(ctx context.Context, ds datastore.Datastore, key datastore.Key) (all []string, err error) {
	b, err := ds.Get(ctx, key)
	if errors.Is(err, datastore.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return all, nil
}

func writeList(ctx context.Context, ds datastore.Datastore, key datastore.Key, all []string) error {
	b, err := json.Marshal(all)
	if err == nil {
		err = errors.Join(ds.Put(ctx, key, b), ds.Sync(ctx, key))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// publicOrigin reports whether the nodes may be told to connect to an origin: to a public address,
// or to that which the request came from. An origin with a name or a relay is left out: a node that
// is a Kubo would connect to whatever address the name or the relay has. So is one with a second
// address, since nothing says which of them a node takes.
func publicOrigin(o pin.Origin) bool {
	a, err := multiaddr.NewMultiaddr(o.Addr)
	if err != nil {
		return false
	}
	for i, c := range a {
		switch c.Protocol().Code {
		case multiaddr.P_IP4, multiaddr.P_IP6:
			ip, ok := netip.AddrFromSlice(c.RawValue())
			if i > 0 || !ok || !guard.Public(ip) && ip.Unmap() != o.From.Unmap() {
				return false
			}
		case multiaddr.P_CIRCUIT, multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6, multiaddr.P_DNSADDR:
			return false
		default:
			if i == 0 {
				return false
			}
		}
	}
	return len(a) > 0
}

// accountReplication reads how many copies the pins of an account have.
type accountReplication struct{ accounts *auth.Service }

func (a accountReplication) of(ctx context.Context, id string) (pin.Replication, error) {
	is, err := a.accounts.AccountByID(ctx, id)
	if errors.Is(err, auth.ErrNoAccount) || errors.Is(err, auth.ErrDamaged) {
		return pin.Replication{}, nil
	}
	if err != nil {
		return pin.Replication{}, err
	}
	r, err := pin.ParseReplication(is.Replication)
	if err != nil { // it was checked when it was set
		return pin.Replication{}, nil
	}
	return r, nil
}

// stateEvery is how often the peers are asked what they have under way, for metrics. The list may
// be long.
const stateEvery = 30 * time.Second

// keepClusterState asks the cluster how it is, until ctx ends.
func (p *Program) keepClusterState(ctx context.Context) {
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	var told []string
	for {
		is := p.cluster.State(ctx)
		p.clusterIs.Store(&is)
		if at := p.cluster.Delegates(); !slices.Equal(at, told) {
			if err := writeList(ctx, p.core.store.Datastore(), delegatesKey, at); err == nil { // else the next time
				told = at
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

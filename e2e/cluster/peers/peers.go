// Package peers runs the real ipfs-cluster: a cluster of some peers on loopback, each over an
// IPFS node that its caller runs. Ports are free ones, mDNS is off, and no packet leaves the
// machine.
//
//	c, err := peers.Start(ctx, r, peers.Options{Nodes: []string{"/ip4/127.0.0.1/tcp/5001", ...}})
//	defer c.Stop()
//	err = c.Peers[0].Pin(ctx, cid, url.Values{"replication-min": {"2"}})
package peers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// servicePackage is the tool that the module in ../service pins.
const servicePackage = "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service"

// Build builds ipfs-cluster-service into the user's cache, which takes a minute or two the first
// time, since it leaves out what is in C. It must be called from within the e2e module.
func Build(ctx context.Context) (path string, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the e2e module: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for ipfs-cluster: %w", err)
	}
	path = filepath.Join(cache, "holdfast-e2e", "ipfs-cluster-service")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, servicePackage)
	cmd.Dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "cluster", "service")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ipfs-cluster: %w\n%s", err, out)
	}
	return path, nil
}

// Options say how the cluster is. Zero values are defaults.
type Options struct {
	// Binary is what Build gave; "" builds it.
	Binary string
	// Nodes are the multiaddrs of the RPC of the IPFS nodes, such as /unix/path/of/rpc.sock. The
	// cluster has a peer over each.
	Nodes []string
	// Min and Max are the replication factors of pins that name none; 0 is everywhere.
	Min, Max int
	// PinTimeout is how long a pin may make no progress; default 20 s.
	PinTimeout time.Duration
	// RecoverEvery is how often what failed is tried again; default 10 s.
	RecoverEvery time.Duration
	// Concurrent is how many pins a peer has under way; default 10, which is cluster's.
	Concurrent int
	// BatchSize and BatchAge bound a batch of changes; default 100 and 1 s. Size below 0 is no
	// batches, which is cluster's default.
	BatchSize int
	BatchAge  time.Duration
	// Username and Password are asked of who calls the REST API; "" asks for none.
	Username, Password string
	// Through gives an address at which the others reach a peer, in the place of the one where it
	// listens: that of a proxy. Nil is none.
	Through func(peer int, listens string) (multiaddr string, err error)
	// Change may change the configuration of a peer further, before it starts.
	Change func(peer int, c Config)
}

// Config is the service.json of a peer.
type Config map[string]any

// Section gives a part of it, which is made if it is not there.
func (c Config) Section(names ...string) map[string]any {
	m := map[string]any(c)
	for _, n := range names {
		next, ok := m[n].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[n] = next
		}
		m = next
	}
	return m
}

// Cluster is some peers that know each other.
type Cluster struct {
	Peers []*Peer
}

// Start makes a cluster and waits until all of its peers see each other.
func Start(ctx context.Context, r *rig.Rig, o Options) (c *Cluster, err error) {
	if o.Binary == "" {
		if o.Binary, err = Build(ctx); err != nil {
			return nil, err
		}
	}
	o.PinTimeout = or(o.PinTimeout, 20*time.Second)
	o.RecoverEvery = or(o.RecoverEvery, 10*time.Second)
	o.Concurrent = or(o.Concurrent, 10)
	o.BatchSize = or(o.BatchSize, 100)
	o.BatchAge = or(o.BatchAge, time.Second)
	o.Min, o.Max = or(o.Min, -1), or(o.Max, -1)
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	c = new(Cluster)
	for i := range o.Nodes {
		p, err := newPeer(ctx, r, o, i)
		if err != nil {
			return nil, err
		}
		c.Peers = append(c.Peers, p)
	}
	for i, p := range c.Peers {
		if err := p.configure(c, o, i, hex.EncodeToString(secret)); err != nil {
			return nil, fmt.Errorf("configure cluster peer %d: %w", i, err)
		}
	}
	made := c
	defer func() {
		if err != nil {
			made.Kill()
		}
	}()
	for _, p := range c.Peers {
		if err := p.Launch(); err != nil {
			return nil, err
		}
	}
	for _, p := range c.Peers {
		if err := p.Ready(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.AwaitPeers(ctx, len(c.Peers))
}

func or[T comparable](v, unless T) T {
	var zero T
	if v == zero {
		return unless
	}
	return v
}

// AwaitPeers waits until every peer that runs has metrics of so many, so that it allocates to
// them.
func (c *Cluster) AwaitPeers(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the peers do not see each other in 2 minutes"))
	defer cancel()
	return rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		for _, p := range c.Peers {
			if !p.Runs() {
				continue
			}
			for _, name := range []string{"ping", "freespace", "tag:group"} {
				m, err := p.Metrics(ctx, name)
				if err != nil || len(m) < n {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

// Stop ends the peers that run, as an operator does.
func (c *Cluster) Stop() (err error) {
	for _, p := range c.Peers {
		if p.Runs() {
			err = errors.Join(err, p.Stop())
		}
	}
	return err
}

// Kill ends them at once.
func (c *Cluster) Kill() {
	for _, p := range c.Peers {
		if p.Process != nil {
			p.Kill()
		}
	}
}

// ByID gives the peer with that id; nil if there is none.
func (c *Cluster) ByID(id string) *Peer {
	for _, p := range c.Peers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Peer is an ipfs-cluster-service. Its Process is nil before it is launched.
type Peer struct {
	*rig.Process
	ID    string
	REST  string // base URL of its API, without a slash at the end
	Proxy string // base URL of its IPFS proxy

	Username, Password string

	rig    *rig.Rig
	binary string
	dir    string
	swarm  string // multiaddr that ends in /p2p/ID
	ports  []int
}

func newPeer(ctx context.Context, r *rig.Rig, o Options, i int) (*Peer, error) {
	dir, err := r.TempDir(fmt.Sprintf("cluster-%d", i))
	if err != nil {
		return nil, err
	}
	p := &Peer{rig: r, binary: o.Binary, dir: dir, Username: o.Username, Password: o.Password}
	if out, err := p.command(ctx, "init", "--consensus", "crdt").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init cluster peer %d: %w\n%s", i, err, out)
	}
	b, err := os.ReadFile(filepath.Join(p.conf(), "identity.json"))
	if err != nil {
		return nil, err
	}
	var identity struct{ ID string }
	if err := json.Unmarshal(b, &identity); err != nil {
		return nil, fmt.Errorf("read the identity of cluster peer %d: %w", i, err)
	}
	if p.ports, err = FreePorts(3); err != nil {
		return nil, err
	}
	p.ID = identity.ID
	at := loopback(p.ports[0])
	if o.Through != nil {
		if at, err = o.Through(i, fmt.Sprintf("127.0.0.1:%d", p.ports[0])); err != nil {
			return nil, err
		}
	}
	p.swarm = at + "/p2p/" + p.ID
	p.REST = fmt.Sprintf("http://127.0.0.1:%d", p.ports[1])
	p.Proxy = fmt.Sprintf("http://127.0.0.1:%d", p.ports[2])
	return p, nil
}

func (p *Peer) conf() string { return filepath.Join(p.dir, "conf") }

func (p *Peer) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.binary, append([]string{"-c", p.conf()}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir}
	return cmd
}

func loopback(port int) string { return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port) }

// configure changes what init wrote. Timings are shorter than cluster's, so that tests are.
func (p *Peer) configure(c *Cluster, o Options, i int, secret string) error {
	path := filepath.Join(p.conf(), "service.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole := Config{}
	if err := json.Unmarshal(b, &whole); err != nil {
		return err
	}
	main := whole.Section("cluster")
	main["peername"] = fmt.Sprintf("peer%d", i)
	main["secret"] = secret
	main["listen_multiaddress"] = []string{loopback(p.ports[0])}
	if o.Through != nil {
		main["announce_multiaddress"] = []string{strings.TrimSuffix(p.swarm, "/p2p/"+p.ID)}
	}
	main["mdns_interval"] = "0s"
	main["enable_relay_hop"] = false
	main["monitor_ping_interval"] = "2s"
	main["pin_recover_interval"] = o.RecoverEvery.String()
	main["state_sync_interval"] = "10s"
	main["replication_factor_min"], main["replication_factor_max"] = o.Min, o.Max
	var others []string
	for _, other := range c.Peers {
		if other != p {
			others = append(others, other.swarm)
		}
	}
	main["peer_addresses"] = others
	crdt := whole.Section("consensus", "crdt")
	crdt["trusted_peers"] = []string{"*"}
	crdt["rebroadcast_interval"] = "2s"
	if o.BatchSize > 0 {
		crdt["batching"] = map[string]any{"max_batch_size": o.BatchSize, "max_batch_age": o.BatchAge.String()}
	}
	delete(whole.Section("api"), "pinsvcapi")
	rest := whole.Section("api", "restapi")
	rest["http_listen_multiaddress"] = loopback(p.ports[1])
	if o.Username != "" {
		rest["basic_auth_credentials"] = map[string]string{o.Username: o.Password}
	}
	proxy := whole.Section("api", "ipfsproxy")
	proxy["listen_multiaddress"], proxy["node_multiaddress"] = loopback(p.ports[2]), o.Nodes[i]
	node := whole.Section("ipfs_connector", "ipfshttp")
	node["node_multiaddress"] = o.Nodes[i]
	node["connect_swarms_delay"] = "1s"
	node["pin_timeout"] = o.PinTimeout.String()
	whole.Section("pin_tracker", "stateless")["concurrent_pins"] = o.Concurrent
	whole.Section("monitor", "pubsubmon")["check_interval"] = "2s"
	whole.Section("informer", "disk")["metric_ttl"] = "4s"
	whole.Section("informer", "tags")["metric_ttl"] = "4s"
	whole.Section("informer", "pinqueue")["metric_ttl"] = "4s"
	if o.Change != nil {
		o.Change(i, whole)
	}
	if b, err = json.MarshalIndent(whole, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// Launch starts the peer, or starts it again with what it has, as the unit in deploy/cluster does.
func (p *Peer) Launch() (err error) {
	if p.Process != nil {
		if out, err := p.command(context.Background(), "state", "crdt", "mark-dirty").CombinedOutput(); err != nil {
			return fmt.Errorf("mark cluster peer %s dirty: %w\n%s", p.ID, err, out)
		}
	}
	p.Process, err = p.rig.Start("cluster peer "+p.ID, filepath.Join(p.dir, "log"), p.command(context.Background(), "daemon"))
	return err
}

// Ready waits until the peer answers.
func (p *Peer) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("not ready in 2 minutes"))
	defer cancel()
	err := rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		if !p.Runs() {
			return false, errors.New("it has ended")
		}
		return p.Do(ctx, "GET", "/id", nil) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for cluster peer %s: %w\n%s", p.ID, err, p.Tail())
	}
	return nil
}

// Runs reports whether its process runs.
func (p *Peer) Runs() bool {
	if p.Process == nil {
		return false
	}
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// FreePorts gives TCP ports of the loopback address that nobody uses now. They are below those that
// systems give to sockets that name none, so that no connection takes one of them before its time.
func FreePorts(n int) (ports []int, err error) {
	const first, last, tries = 10_000, 32_000, 1000
	for range tries {
		l, failed := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+mrand.IntN(last-first)))
		if failed != nil {
			err = failed
			continue
		}
		defer l.Close() // all together, so that no port comes twice
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find free ports: %w", err)
}

// Clear removes all that the peer has, once it has ended.
func (p *Peer) Clear() error { return os.RemoveAll(p.dir) }

package clustertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
)

// Pin is a pin of the pinset.
type Pin struct {
	CID         string            `json:"cid"`
	Type        string            `json:"type"`
	Name        string            `json:"name"`
	Allocations []string          `json:"allocations"`
	Min         int               `json:"replication_factor_min"`
	Max         int               `json:"replication_factor_max"`
	Expires     time.Time         `json:"expire_at"`
	Metadata    map[string]string `json:"metadata"`
	Origins     []string          `json:"origins"`
	Timestamp   time.Time         `json:"timestamp"`
}

// Content is how large a DAG is, and whether all of it can be fetched.
type Content struct {
	Blocks, Bytes uint64
	All           bool
}

// Cluster is some peers, what they agreed on, and what there is in the network.
type Cluster struct {
	t *testing.T

	mu       sync.Mutex
	peers    []*Peer
	pinset   map[string]*Pin
	pending  []write
	held     bool // writes wait for Commit
	network  map[string]Content
	password string
	posts    int
	refused  int // pins for which there were too few peers
}

// write is a change that waits for its batch.
type write struct {
	by  *Peer // who acknowledged it
	cid string
	pin *Pin // nil removes it
}

// New makes a cluster of n peers, each with a node that is a Holdfast.
func New(t *testing.T, n int) *Cluster {
	c := &Cluster{t: t, pinset: make(map[string]*Pin), network: make(map[string]Content)}
	for i := range n {
		c.peers = append(c.peers, newPeer(c, i))
	}
	t.Cleanup(func() {
		for _, p := range c.peers {
			p.close()
		}
	})
	return c
}

// Peer is the i-th peer.
func (c *Cluster) Peer(i int) *Peer { return c.peers[i] }

// URLs are the REST APIs of all peers.
func (c *Cluster) URLs() (all []string) {
	for _, p := range c.peers {
		all = append(all, p.url)
	}
	return all
}

// NodeURLs are the RPCs of all nodes.
func (c *Cluster) NodeURLs() (all []string) {
	for _, p := range c.peers {
		all = append(all, p.Node.server.URL)
	}
	return all
}

// SetPassword makes the peers want a password, for any user.
func (c *Cluster) SetPassword(p string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.password = p
}

// Serve says what there is of a DAG in the network from now on. What waits for it is pinned.
func (c *Cluster) Serve(cid string, is Content) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.network[cid] = is
	for _, p := range c.peers {
		p.try()
	}
}

// Hold makes writes wait for Commit, as for the end of a batch.
func (c *Cluster) Hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// Commit ends a batch, and all that follow are ended at once.
func (c *Cluster) Commit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	c.commit()
}

func (c *Cluster) commit() {
	all := c.pending
	c.pending = nil
	for _, w := range all {
		c.apply(w)
	}
}

func (c *Cluster) apply(w write) {
	if w.pin == nil {
		delete(c.pinset, w.cid)
	} else {
		c.pinset[w.cid] = w.pin
	}
	for _, p := range c.peers {
		delete(p.other, w.cid)
		p.hear(w.cid)
	}
}

// write takes a change.
func (c *Cluster) write(w write) {
	if c.held {
		c.pending = append(c.pending, w)
		return
	}
	c.apply(w)
}

// Get reads a pin of the pinset; nil if it is not there.
func (c *Cluster) Get(cid string) *Pin {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pinset[cid]; p != nil {
		copied := *p
		copied.Metadata, copied.Allocations = maps.Clone(p.Metadata), slices.Clone(p.Allocations)
		return &copied
	}
	return nil
}

// Put makes a pin of the pinset, as another client of the cluster does.
func (c *Cluster) Put(p Pin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Type = "pin"
	c.apply(write{cid: p.CID, pin: &p})
}

// Lose takes a pin out of the pinset, as a lost batch does: nobody is told.
func (c *Cluster) Lose(cid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pinset, cid)
	for _, p := range c.peers {
		delete(p.ops, cid)
		p.Node.remove(cid)
	}
}

// Reset empties the pinset, as a cluster that starts with an empty state does. The nodes keep what they
// have.
func (c *Cluster) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.pinset)
	for _, p := range c.peers {
		clear(p.ops)
	}
}

// Posts counts the pins that clients asked for.
func (c *Cluster) Posts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.posts
}

// Refused counts the pins that clients asked for and for which there were too few peers.
func (c *Cluster) Refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// Pinset lists the CIDs of the pinset.
func (c *Cluster) Pinset() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.pinset))
}

// Copies counts the nodes that have a DAG pinned.
func (c *Cluster) Copies(cid string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		if _, ok := p.Node.pins[cid]; ok {
			n++
		}
	}
	return n
}

// allocate chooses peers as cluster does.
func (c *Cluster) allocate(now *Pin, low, high int, first []string) ([]string, error) {
	if low < 0 {
		return nil, nil
	}
	var current, prior, other []string
	for _, p := range c.peers {
		switch {
		case p.away() || p.full:
		case now != nil && slices.Contains(now.Allocations, p.ID):
			current = append(current, p.ID)
		case slices.Contains(first, p.ID):
			prior = append(prior, p.ID)
		default:
			other = append(other, p.ID)
		}
	}
	// Which copy goes is chance.
	rand.Shuffle(len(current), func(i, j int) { current[i], current[j] = current[j], current[i] })
	needed, wanted := low-len(current), high-len(current)
	more := append(prior, other...)
	switch {
	case wanted < 0:
		return current[:high], nil
	case needed <= 0:
		return now.Allocations, nil
	case len(more) < needed:
		//lint:ignore ST1005 as cluster writes it
		return nil, fmt.Errorf("not enough peers to allocate CID. Needed at least: %d. Wanted at most: %d. Available candidates: %d. See logs for more info.",
			needed, wanted, len(more))
	}
	return append(current, more[:min(wanted, len(more))]...), nil
}

// pinOf reads the options of a pin.
func pinOf(cid string, get func(string) string, keys map[string][]string) (p Pin, first []string, err error) {
	p = Pin{CID: cid, Type: "pin", Name: get("name"), Metadata: make(map[string]string), Timestamp: time.Now()}
	for key, n := range map[string]*int{"replication-min": &p.Min, "replication-max": &p.Max} {
		if s := get(key); s != "" {
			if *n, err = strconv.Atoi(s); err != nil {
				return p, nil, fmt.Errorf("parameter %s is invalid", key)
			}
		}
	}
	if s := get("expire-at"); s != "" {
		if p.Expires, err = time.Parse(time.RFC3339, s); err != nil {
			return p, nil, fmt.Errorf("expire-at cannot be parsed: %w", err)
		}
	}
	if s := get("origins"); s != "" {
		p.Origins = strings.Split(s, ",")
		for _, o := range p.Origins {
			if _, err := multiaddr.NewMultiaddr(o); err != nil || !strings.Contains(o, "/p2p/") {
				return p, nil, fmt.Errorf("origin %s cannot be read, or has no peer ID: %w", o, err)
			}
		}
	}
	for k, v := range keys {
		if name, ok := strings.CutPrefix(k, "meta-"); ok && name != "" {
			p.Metadata[name] = v[0]
		}
	}
	if s := get("user-allocations"); s != "" {
		first = strings.Split(s, ",")
	}
	return p, first, nil
}

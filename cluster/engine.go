package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-datastore"

	"github.com/holdfast-ipfs/holdfast/internal/keyed"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Records is what the engine needs to know of the requests of this server.
type Records interface {
	pin.Work
	// Held says what holds a DAG: the attempt, which is zero before the first Begin. held is
	// false if no request holds it.
	Held(ctx context.Context, d pin.DAG) (a pin.Attempt, complete, held bool, err error)
	// RequestsFor reads the requests for a DAG that are queued, pinning or pinned, at most limit
	// of them.
	RequestsFor(ctx context.Context, d pin.DAG, limit int) ([]pin.Request, error)
	// LastAttempt is the highest number that an attempt can have by now.
	LastAttempt(ctx context.Context) (pin.Attempt, error)
	// NewestRequest is when the newest request was made that there ever was; zero if there was none.
	NewestRequest(ctx context.Context) (time.Time, error)
}

// Config says where the cluster is, and what is wanted of it.
type Config struct {
	// Peers are the base URLs of the REST API of the peers. One that answers suffices to begin.
	Peers []string
	// Nodes are the base URLs of the RPC of some peers' nodes, which say how large a DAG is, or
	// [UnixScheme] and the path of a socket. Empty:
	// sizes are not known, and accounts are charged nothing.
	Nodes []string
	// Username and Password are for the peers; none if both are empty.
	Username, Password string
	// Roots are what certificates of peers and nodes are checked with. Nil is the host's.
	Roots *x509.CertPool
	// Instance names this server in the pinset.
	Instance string
	// Life is that of the records. A restored backup does not have it: what was asked for in another
	// life is not removed for want of a record.
	Life Life
	// NewLife makes another Life, with what the records had when the engine was made and with that Since,
	// and keeps it. It is called when the pinset shows that the records are older than it: then Life was
	// copied with them. Nil gives none.
	NewLife func(since time.Time) (Life, error)
	// Heirs is what [Engine.Inherit] last gave: the instances of servers that were lost and whose
	// requests this one took over, with the ID of an account after it, or without one for all of it.
	Heirs []string
	// Replication is for requests that say nothing else.
	Replication pin.Replication
	// Account gives the replication that the requests of an account have; zero says nothing. Nil is
	// the same for all.
	Account func(ctx context.Context, account string) (pin.Replication, error)
	// Delegates are what [Engine.Delegates] last gave, for as long as no peer answers.
	Delegates []string
	// AllowOrigin reports whether the nodes may be told to connect to an origin. Nil allows all.
	AllowOrigin func(o pin.Origin) bool
	// Staging keeps uploads until the nodes have them. Nil takes none.
	Staging Staging
	// Journal remembers what was let go of until no node has it. Nil remembers nothing.
	Journal datastore.Datastore
	Logger  *slog.Logger

	// The following have defaults.
	LookEvery    time.Duration // how often each peer is asked whether it answers; default 5s
	AnswerTime   time.Duration // how long a peer or a node may take to answer about one CID; default 5s
	HearWithin   time.Duration // a pin of which a peer has not heard for so long is asked for again; default 30s
	ReplaceAfter time.Duration // after so long a new pin goes elsewhere than to a peer that is away; default 2m
	LostAfter    time.Duration // after so long a copy that is away counts as lost: other peers get the DAG; default 30m
	PollMin      time.Duration // the shortest time between two looks at the copies of a pin; default 50ms
	PollMax      time.Duration // the longest, unless thousands are fetched at the same time; default 3s
}

// Engine is a [pin.Engine] over a cluster, and a [pin.Describer].
type Engine struct {
	cfg      Config
	records  Records
	log      *slog.Logger
	peers    []*peer
	nodes    []*nodeRPC
	locks    *keyed.Locks // of the pins of DAGs that are written
	seed     maphash.Seed
	known    known
	posts    posts
	journal  journal
	lastRoom lastRoom
	heirs    atomic.Pointer[[]string]
	life     atomic.Pointer[Life]
	began    began
	check    checker
	fetching atomic.Int64 // calls of Fetch that are under way
	warned   atomic.Int64 // when it was last logged that pins do not come to all peers, in Unix nanoseconds
	moving   sync.Map     // has the [pin.DAG]s that a drain moves at present

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

var (
	_ pin.Engine    = (*Engine)(nil)
	_ pin.Describer = (*Engine)(nil)
)

const (
	// firstLook is how long New waits for the peers.
	firstLook = 3 * time.Second
)

// New makes an engine, and asks each peer once whether it is there. It is no error if none is: the
// engine waits for them. The caller closes it, after the manager of pins.
func New(ctx context.Context, cfg Config, records Records) (*Engine, error) {
	cfg = cfg.withDefaults()
	if len(cfg.Peers) == 0 {
		return nil, errors.New("a cluster needs the URL of a peer")
	}
	e := &Engine{cfg: cfg, records: records, log: cfg.Logger, seed: maphash.MakeSeed(), locks: keyed.New(256), known: newKnown()}
	e.check.init()
	e.heirs.Store(&cfg.Heirs)
	e.life.Store(&cfg.Life)
	if len(cfg.Nodes) > 0 { // else no node can be looked at
		e.journal.ds = cfg.Journal
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if e.began, err = beginningOf(ctx, records); err != nil {
		return nil, err
	}
	client := newHTTPClient(cfg)
	for _, base := range cfg.Peers {
		u, err := url.Parse(base)
		if err != nil {
			return nil, fmt.Errorf("the URL of a cluster peer: %w", err)
		}
		e.peers = append(e.peers, &peer{
			base: strings.TrimRight(base, "/"), host: u.Host, username: cfg.Username, password: cfg.Password,
			http: client, turns: newTurns(), limit: cfg.AnswerTime, log: cfg.Logger, err: errNew,
			ctx: e.ctx, work: &e.work,
		})
	}
	for _, base := range cfg.Nodes {
		n := newNodeRPC(base, client, cfg.AnswerTime)
		n.ctx, n.work = e.ctx, &e.work
		e.nodes = append(e.nodes, n)
	}
	look, done := context.WithTimeoutCause(ctx, firstLook, errSilent)
	defer done()
	e.lookAtAll(look)
	for _, p := range e.peers {
		e.work.Go(func() { e.watch(p) })
	}
	return e, nil
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.LookEvery, 5*time.Second)
	set(&c.AnswerTime, 5*time.Second)  // it has that in memory, or asks its node on the same machine
	set(&c.HearWithin, 30*time.Second) // far longer than a batch
	set(&c.ReplaceAfter, 2*time.Minute)
	set(&c.LostAfter, 30*time.Minute) // a machine that is restarted has its copies back by then
	set(&c.PollMin, 50*time.Millisecond)
	set(&c.PollMax, 3*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// newHTTPClient makes the client for all peers and nodes. It follows no redirect: the password
// is for those that the operator named.
func newHTTPClient(cfg Config) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	const conns = maxCalls + spareConns
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.MaxIdleConns = conns, conns, 0
	t.Proxy = nil // peers are on a network of their own
	if cfg.Roots != nil {
		t.TLSClientConfig = tlsWith(cfg.Roots)
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Close ends what the engine does in the background.
func (e *Engine) Close() error {
	e.cancel()
	e.work.Wait()
	if len(e.peers) > 0 {
		e.peers[0].http.CloseIdleConnections()
	}
	for _, n := range e.nodes {
		n.http.CloseIdleConnections()
	}
	return nil
}

// watch asks a peer again and again whether it answers.
func (e *Engine) watch(p *peer) {
	tick := time.NewTicker(e.cfg.LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
		_ = p.look(e.ctx) // it notes the error
	}
}

// lookAtAll asks every peer and node who it is.
func (e *Engine) lookAtAll(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range e.peers {
		all.Go(func() {
			if err := p.look(ctx); err != nil && errors.Is(context.Cause(ctx), errSilent) {
				p.note(err)
			}
		})
	}
	for _, n := range e.nodes {
		all.Go(func() { _ = n.look(ctx) }) // it is asked again when it is needed
	}
	all.Wait()
}

// size is how many peers the cluster has, as far as is known; 0 if that is not known.
func (e *Engine) size() int { return len(e.members()) }

// members are the IDs of all peers that some peer knows, whether they answer or not.
func (e *Engine) members() []string {
	all := make(map[string]struct{})
	for _, p := range e.peers {
		is, _ := p.state()
		if is.ID != "" {
			all[is.ID] = struct{}{}
		}
		for _, m := range is.Members {
			all[m] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// byID finds a peer by its ID; nil if its URL is not known.
func (e *Engine) byID(id string) *peer {
	for _, p := range e.peers {
		if is, _ := p.state(); is.ID == id {
			return p
		}
	}
	return nil
}

// peerOf finds the ID of the peer whose node has an ID; "" if none is known.
func (e *Engine) peerOf(node string) string {
	for _, p := range e.peers {
		if is, _ := p.state(); node != "" && is.Node.ID == node {
			return is.ID
		}
	}
	return ""
}

// nameOf is a peer for people, by its ID.
func (e *Engine) nameOf(id string) string {
	if p := e.byID(id); p != nil {
		return p.name()
	}
	return shortID(id)
}

// isGone reports whether the copies of a peer are not waited for any more: it was away for too long, or
// nobody knows it.
func (e *Engine) isGone(id string) bool {
	if p := e.byID(id); p != nil {
		return p.awayFor() >= e.cfg.LostAfter
	}
	for _, p := range e.peers { // it may be one that did not answer since the start
		if is, _ := p.state(); is.ID == "" {
			return false
		}
	}
	return !slices.Contains(e.members(), id)
}

// shortID is the end of an ID, where IDs differ.
func shortID(id string) string {
	const shown = 8
	if len(id) <= shown {
		return id
	}
	return "..." + id[len(id)-shown:]
}

// Reachable returns an error if no peer answers.
func (e *Engine) Reachable() error {
	var errs []error
	for _, p := range e.peers {
		_, err := p.state()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// each calls fn with one peer after the other until one does what it is asked, beginning with the
// one that is this DAG's: so what is read follows what was written. It returns the error of
// a peer that refuses, an error of fn that is no peer's, and an [*pin.AwayError] if no peer answers.
func (e *Engine) each(ctx context.Context, d pin.DAG, fn func(*peer) error) error {
	return e.eachFrom(ctx, d, 0, fn)
}

// peerFor is the peer that a DAG's calls go to first, or that many after it.
func (e *Engine) peerFor(d pin.DAG, skip int) *peer {
	n := uint64(len(e.peers))
	return e.peers[(maphash.String(e.seed, string(d))%n+uint64(skip))%n]
}

// eachFrom is each that begins so many peers later.
func (e *Engine) eachFrom(ctx context.Context, d pin.DAG, skip int, fn func(*peer) error) error {
	var last error
	for i := range e.peers {
		p := e.peerFor(d, skip+i)
		if _, err := p.state(); err != nil {
			if last == nil || errors.Is(err, errUnauthorized) {
				last = err
			}
			continue
		}
		err := fn(p)
		if _, ofPeer := errors.AsType[*peerError](err); !ofPeer || ctx.Err() != nil {
			return err
		}
		last = err
	}
	return errAllAway(last)
}

// lock waits until nobody else writes the pin of a DAG. Errors: ctx's.
func (e *Engine) lock(ctx context.Context, d pin.DAG) (unlock func(), err error) {
	return e.locks.Lock(ctx, string(d))
}

// freespace reads how many bytes each peer has room for. A peer without room is not among them.
func (e *Engine) freespace(ctx context.Context) (map[string]uint64, error) {
	var all []metric
	err := e.each(ctx, "", func(p *peer) (err error) {
		all, err = p.metrics(ctx, "freespace")
		return err
	})
	room := make(map[string]uint64)
	for _, m := range all {
		if n, err := strconv.ParseUint(m.Value, 10, 64); err == nil && m.Valid && n > 0 {
			room[m.Peer] = n
		}
	}
	return room, err
}

// roomAge is how old an answer about some bytes may be: an upload asks before each block. Each peer
// measures its room every 15 s or so.
const roomAge = time.Second

// lastRoom is what freespace last gave.
type lastRoom struct {
	mu   sync.Mutex
	at   time.Time
	room map[string]uint64
}

// recent gives the room of the last moments, or reads it.
func (l *lastRoom) recent(read func() (map[string]uint64, error)) (map[string]uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at) < roomAge {
		return l.room, nil
	}
	room, err := read()
	if err == nil {
		l.at, l.room = time.Now(), room
	}
	return room, err
}

// Room implements [pin.Engine].
func (e *Engine) Room(ctx context.Context, bytes uint64) error {
	read := func() (map[string]uint64, error) { return e.freespace(ctx) }
	var room map[string]uint64
	var err error
	if bytes > 0 {
		room, err = e.lastRoom.recent(read)
	} else {
		room, err = read()
	}
	if err != nil {
		return err
	}
	var with []uint64
	for _, n := range room {
		if n >= bytes {
			with = append(with, n)
		}
	}
	if need := e.leastWithRoom(); len(with) < need {
		return fmt.Errorf("%w: %d of the cluster's peers have room, and %d copies are wanted", pin.ErrDiskFull, len(with), need)
	}
	return nil
}

// leastWithRoom is how many peers have to have room for new pins that ask for nothing else.
func (e *Engine) leastWithRoom() int { return max(e.cfg.Replication.Min, 1) }

// Announce implements [pin.Engine]: each node announces what it has.
func (e *Engine) Announce(pin.DAG) {}

// Withdraw implements [pin.Engine].
func (e *Engine) Withdraw(pin.DAG) {}

// Announced implements [pin.Engine].
func (e *Engine) Announced(pin.DAG) (time.Time, bool) { return time.Time{}, false }

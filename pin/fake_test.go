package pin_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// content is what the fake network has of one DAG.
type content struct {
	blocks  int           // of the whole DAG; 0 is a DAG that nobody has
	serve   int           // how many come before the source goes silent; 0 is all
	delay   time.Duration // between two blocks
	writes  time.Duration // how long the last of them take to be durable
	size    uint64        // of a block, in bytes; 0 is 100
	claims  uint64        // what its root says that all of it has
	refuse  string        // the reason why the DAG is refused, if it is
	errs    []error       // what the next fetches end with
	note    string
	trouble string // of single blocks, as the first fetch finds out
	peers   int    // that it comes from
	fetches int    // how many began
}

// network is a [pin.Engine] whose DAGs the test makes up.
type network struct {
	t         *testing.T
	mu        sync.Mutex
	dags      map[pin.DAG]*content
	changed   chan struct{} // closed and replaced when a DAG changes
	walking   map[pin.Attempt]int
	working   int // fetches that hold a worker
	most      int // the most that did at the same time
	told      []pin.DAG
	heard     map[pin.DAG]time.Time
	deaf      bool          // nothing is announced
	full      bool          // every fetch finds that the disk is
	away      bool          // no fetch reaches the place
	alone     bool          // which is so for the DAG that is fetched alone
	works     bool          // somebody else works on what does not come
	answers   time.Duration // after how long peers have said that they do not have a root
	withdrawn []pin.DAG
	order     []pin.DAG // in which DAGs were completed
	origins   map[pin.DAG][]string
	kept      map[pin.Attempt]pin.DAG // what was fetched, in part at least, and not dropped
	whole     map[pin.Attempt]bool    // of those, the whole ones
	had       map[pin.Attempt]int     // of those, how many blocks are there
	dropped   []pin.Attempt
	fault     func(method string) error
	stuck     pin.Attempt // the place is away for the Drop of this one
	drops     int         // calls of Drop
	// number gives the attempts of uploads, and uploads has what each took.
	number  func(context.Context) (pin.Attempt, error)
	uploads map[pin.Attempt]map[cid.Cid][]byte
	here    bool // what is uploaded was here before
}

func newNetwork(t *testing.T) *network {
	return &network{t: t, dags: make(map[pin.DAG]*content), changed: make(chan struct{}),
		walking: make(map[pin.Attempt]int), heard: make(map[pin.DAG]time.Time), origins: make(map[pin.DAG][]string),
		kept: make(map[pin.Attempt]pin.DAG), whole: make(map[pin.Attempt]bool), had: make(map[pin.Attempt]int), uploads: make(map[pin.Attempt]map[cid.Cid][]byte)}
}

// setFault makes Drop and Room first call fault with their own names, and return its error.
func (n *network) setFault(fault func(method string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = fault
}

func (n *network) fails(ctx context.Context, method string) error {
	n.mu.Lock()
	fault := n.fault
	n.mu.Unlock()
	if err := ctx.Err(); err != nil || fault == nil {
		return err
	}
	return fault(method)
}

func (n *network) Drop(ctx context.Context, a pin.Attempt, _ pin.DAG) error {
	n.mu.Lock()
	if n.walking[a] > 0 {
		n.t.Errorf("attempt %d is dropped while a fetch writes under it", a)
	}
	n.drops++
	stuck := n.stuck
	n.mu.Unlock()
	if a == stuck {
		return &pin.AwayError{Reason: "the place does not answer"}
	}
	if err := n.fails(ctx, "Drop"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropped = append(n.dropped, a)
	delete(n.kept, a)
	delete(n.whole, a)
	delete(n.had, a)
	delete(n.uploads, a)
	return nil
}

func (n *network) Room(ctx context.Context, _ uint64) error {
	return n.fails(ctx, "Room")
}

// keeps reports whether all of a DAG is kept, and whether any of it is.
func (n *network) keeps(d pin.DAG) (all, some bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a, kept := range n.kept {
		if kept == d {
			some = true
			all = all || n.whole[a]
		}
	}
	return all, some
}

// set changes the content of a DAG.
func (n *network) set(d pin.DAG, c content) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dags[d] = &c
	close(n.changed)
	n.changed = make(chan struct{})
}

// look returns what there is of a DAG, and a channel that is closed when that changes.
func (n *network) look(d pin.DAG) (*content, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.dags[d]
	if c == nil {
		c = new(content)
		n.dags[d] = c
	}
	return c, n.changed
}

// fetches is how many fetches of a DAG have begun.
func (n *network) fetches(d pin.DAG) int {
	c, _ := n.look(d)
	n.mu.Lock()
	defer n.mu.Unlock()
	return c.fetches
}

// walks is how many fetches are under way.
func (n *network) walks() (walks int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.walking {
		walks += w
	}
	return walks
}

// hints are the origins given to the last fetch of a DAG.
func (n *network) hints(d pin.DAG) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.origins[d]
}

func (n *network) announced() []pin.DAG {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

// completed returns the DAGs that were fetched, in order.
func (n *network) completed() []pin.DAG {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.order)
}

func (n *network) Announce(d pin.DAG) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, d)
	n.heard[d] = time.Now()
}

func (n *network) Withdraw(d pin.DAG) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.withdrawn = append(n.withdrawn, d)
}

func (n *network) Announced(d pin.DAG) (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf {
		return time.Time{}, false
	}
	at := n.heard[d]
	if time.Since(at) < announceTime {
		at = time.Time{} // it takes a moment
	}
	return at, true
}

// taken returns the DAGs that were withdrawn, in order.
func (n *network) taken() []pin.DAG {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.withdrawn)
}

// announceTime is how long it takes to announce a DAG.
const announceTime = time.Minute

func (n *network) Fetch(ctx context.Context, j pin.Job) (pin.Totals, error) {
	n.mu.Lock()
	n.walking[j.Attempt]++
	if n.walking[j.Attempt] > 1 {
		n.t.Errorf("two walks under attempt %d", j.Attempt)
	}
	n.origins[j.DAG] = nil
	for _, o := range j.Origins {
		n.origins[j.DAG] = append(n.origins[j.DAG], o.Addr)
	}
	n.mu.Unlock()
	held := false
	release := func() {
		if held {
			n.mu.Lock()
			n.working--
			n.mu.Unlock()
			held = false
			j.Slot.Release()
		}
	}
	defer func() {
		release()
		n.mu.Lock()
		n.walking[j.Attempt]--
		n.mu.Unlock()
	}()
	c, _ := n.look(j.DAG)
	n.mu.Lock()
	j.Progress.SetAnswerTime(n.answers)
	c.fetches++
	var planned error
	if len(c.errs) > 0 {
		planned, c.errs = c.errs[0], c.errs[1:]
	}
	if n.full {
		planned = &pin.DiskFullError{Kept: 1, More: 1}
	}
	if n.away {
		planned = &pin.AwayError{Reason: "the place does not answer", Alone: n.alone}
	}
	there := n.had[j.Attempt]
	if j.Repair {
		there = 0
	}
	n.mu.Unlock()
	if planned != nil {
		return pin.Totals{}, planned
	}
	got, gained := 0, false
	for {
		c, changed := n.look(j.DAG)
		if c.refuse != "" {
			return pin.Totals{}, pin.Refused("%s", c.refuse)
		}
		if j.Limits.Blocks > 0 && uint64(c.blocks) > j.Limits.Blocks {
			return pin.Totals{}, pin.Refused("it has %d blocks", c.blocks)
		}
		j.Progress.SetNote(c.note)
		j.Progress.SetClaimed(c.claims)
		if c.fetches == 1 {
			j.Progress.SetTroubles(c.trouble)
		}
		j.Progress.Asked(c.peers, 0, 0)
		if c.blocks > 0 && got >= c.blocks {
			if c.writes > 0 {
				j.Progress.Writes.Store(true)
				release()
				select {
				case <-time.After(c.writes):
				case <-ctx.Done():
					return pin.Totals{}, context.Cause(ctx)
				}
			}
			n.mu.Lock()
			n.order = append(n.order, j.DAG)
			n.whole[j.Attempt] = true
			n.mu.Unlock()
			return pin.Totals{Blocks: uint64(got), Bytes: uint64(got) * cmp.Or(c.size, 100)}, nil
		}
		if c.blocks == 0 || c.serve > 0 && got >= c.serve { // nothing comes
			n.mu.Lock()
			works := n.works
			n.mu.Unlock()
			var idle, work <-chan time.Time
			if works {
				j.Progress.Works()
				work = time.After(time.Minute)
			}
			if held && !gained {
				release()
			} else if held {
				idle = time.After(j.IdleTimeout)
			}
			select {
			case <-changed:
			case <-work:
			case <-idle:
				release()
			case <-ctx.Done():
				return pin.Totals{}, context.Cause(ctx)
			}
			continue
		}
		if held {
			n.mu.Lock()
			n.working-- // Acquire may hand the worker to another
			n.mu.Unlock()
		}
		if err := j.Slot.Acquire(ctx); err != nil {
			held = false
			return pin.Totals{}, err
		}
		held = true
		n.mu.Lock()
		n.working++
		n.most = max(n.most, n.working)
		n.mu.Unlock()
		select {
		case <-time.After(c.delay):
		case <-ctx.Done():
			return pin.Totals{}, context.Cause(ctx)
		}
		got++
		received := got > there
		gained = gained || received
		n.mu.Lock()
		n.kept[j.Attempt] = j.DAG
		n.had[j.Attempt] = max(n.had[j.Attempt], got)
		n.mu.Unlock()
		j.Progress.Advance(int(cmp.Or(c.size, 100)), received)
	}
}

// records are in memory. Their faults are the network's too.
type records struct {
	*pintest.Records
	net *network
}

func (r *records) SetFault(fault func(method string) error) {
	r.net.setFault(fault)
	r.Records.SetFault(fault)
}

// rig is a manager on a fake network and fake records, in a synctest bubble.
type rig struct {
	*pin.Manager
	t    *testing.T
	net  *network
	recs *records
	cfg  pin.Config
	log  *logtest.Buffer
}

// logged returns the lines of the log that contain a text.
func (r *rig) logged(text string) (lines []string) {
	r.t.Helper()
	synctest.Wait()
	for l := range strings.Lines(r.log.String()) {
		if strings.Contains(l, text) {
			lines = append(lines, l)
		}
	}
	return lines
}

// account ids, for tests that need no more than two.
var (
	alice = uuid.NewSHA1(uuid.Nil, []byte("alice")).String()
	bob   = uuid.NewSHA1(uuid.Nil, []byte("bob")).String()
)

// run runs a test in a bubble, with a manager that is closed at its end.
func run(t *testing.T, cfg pin.Config, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := new(logtest.Buffer)
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		net := newNetwork(t)
		r := &rig{t: t, net: net, cfg: cfg, log: log, recs: &records{Records: pintest.NewRecords(time.Now), net: net}}
		net.number = r.recs.NewUpload
		r.start()
		defer func() { r.Close() }()
		test(r)
	})
}

func (r *rig) start() {
	r.t.Helper()
	m, err := pin.New(r.t.Context(), r.cfg, r.recs, r.net)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Manager = m
}

// add asks for DAG number n.
func (r *rig) add(account string, n int, origins ...string) pin.View {
	r.t.Helper()
	s := pintest.DAGSpec(n)
	s.Origins = origins
	v, err := r.Add(r.t.Context(), account, s)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r *rig) get(v pin.View) pin.View {
	r.t.Helper()
	v, err := r.Get(r.t.Context(), v.Account, v.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// after lets time pass and then checks the status of a request.
func (r *rig) after(d time.Duration, v pin.View, want pin.Status) pin.View {
	r.t.Helper()
	time.Sleep(d) // of the bubble
	synctest.Wait()
	v = r.get(v)
	if v.Status != want {
		r.t.Fatalf("request for %s is %s after %v, want %s; info %v", v.CID, v.Status, d, want, v.Info)
	}
	return v
}

// busy is how many fetches hold a worker, and the maximum so far.
func (r *rig) busy() (now, most int) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.net.working, r.net.most
}

// dropped is how many attempts were dropped.
func (r *rig) dropped() int {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return len(r.net.dropped)
}

func dag(n int) pin.DAG { return pintest.DAGSpec(n).DAG() }

func origin(peer string) string { return fmt.Sprintf("/ip4/127.0.0.1/tcp/4001/p2p/%s", peer) }

package metrics

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// Collector tells Prometheus what the parts of a server count, which know
// nothing of it. All that is read is quick to read, whatever the store holds.
type Collector struct {
	// read gives what can be read, and what kept it from reading the rest.
	read     func(context.Context) (*Reading, error)
	families []family
}

// Reading is what there is to tell at one moment.
type Reading struct {
	Queue    *store.Queue // nil: it could not be read
	Free     *uint64      // nil: it could not be asked
	Counted  store.Counts
	Reclaims store.ReclaimCounts
	Levels   []store.Level
	Pins     pin.Stats
	Node     node.Stats
	Failures map[auth.Failure]uint64
	Conns    int
	Ready    bool
	Writable bool // what is written comes to disk
	Sound    bool // no table of the database was found damaged
	Damage   store.FoundDamage
	Now      time.Time
}

// family is a metric: all values of one name.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	tell func(*Reading, teller)
}

// teller takes a value, with a value for each of the family's labels.
type teller func(value float64, labels ...string)

// NewCollector tells what read gives at each scrape: what can be read, and with it what
// kept it from reading the rest.
func NewCollector(read func(context.Context) (*Reading, error)) *Collector {
	return &Collector{families: families(), read: read}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families {
		out <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout) // a scrape brings no context
	defer cancel()
	r, err := c.tryRead(ctx)
	if err != nil { // it is logged, and the rest is told
		out <- prometheus.NewInvalidMetric(unread, err)
	}
	if r == nil { // of which nothing is known
		out <- prometheus.MustNewConstMetric(c.families[0].desc, prometheus.GaugeValue, 0)
		return
	}
	for _, f := range c.families {
		f.tell(r, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}

// unread names what could not be read, for the log.
var unread = prometheus.NewDesc("holdfast_unread", "What could not be read.", nil, nil)

// tryRead is read; a panic, which would end the process, is an error.
func (c *Collector) tryRead(ctx context.Context) (r *Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.read(ctx)
}

// families is every metric that is read at a scrape.
func families() []family {
	var all []family
	add := func(kind prometheus.ValueType, name, help string, labels []string, tell func(*Reading, teller)) {
		all = append(all, family{prometheus.NewDesc(name, help, labels, nil), kind, tell})
	}
	gauge := func(name, help string, value func(*Reading) float64) {
		add(prometheus.GaugeValue, name, help, nil, func(r *Reading, tell teller) { tell(value(r)) })
	}
	counter := func(name, help string, value func(*Reading) uint64) {
		add(prometheus.CounterValue, name, help, nil, func(r *Reading, tell teller) { tell(float64(value(r))) })
	}

	gauge("holdfast_ready", "1 while new pins can come, as /readyz says, else 0.",
		func(r *Reading) float64 { return number(r.Ready) })
	gauge("holdfast_store_writable", "1 while what is written comes to disk, else 0: the disk fails, or is too full even for removals.",
		func(r *Reading) float64 { return number(r.Writable) })

	gauge("holdfast_store_sound", "0 once a table of the database was found damaged, else 1. Nothing is changed or stored then, and the next start refuses the database.",
		func(r *Reading) float64 { return number(r.Sound) })
	gauge("holdfast_store_unreadable_blocks", "Blocks that somebody wanted and that could not be read, or have another hash, and were not fetched again, since the start; a thousand at most.",
		func(r *Reading) float64 { return float64(r.Damage.Blocks) })
	gauge("holdfast_store_damaged_records", "Records that could not be read and were not written again, since the start; ten thousand at most.",
		func(r *Reading) float64 { return float64(r.Damage.Records) })

	// Pins.
	add(prometheus.GaugeValue, "holdfast_pins", "Pin requests of all accounts, by status.", []string{"status"},
		func(r *Reading, tell teller) {
			if r.Queue == nil {
				return
			}
			for status, n := range r.Queue.Requests {
				tell(float64(n), string(status))
			}
		})
	add(prometheus.GaugeValue, "holdfast_pins_oldest_queued_age_seconds", "Age of the oldest request that is queued; 0 if none is.", nil,
		func(r *Reading, tell teller) {
			if r.Queue != nil {
				tell(since(r.Queue.Oldest, r.Now))
			}
		})
	add(prometheus.GaugeValue, "holdfast_dags", "DAGs that are to be brought to disk, by what is done for them.", []string{"state"},
		func(r *Reading, tell teller) {
			tell(float64(r.Pins.Waiting), "waiting")
			tell(float64(r.Pins.Seeking), "seeking")
			tell(float64(r.Pins.Ready), "ready")
			tell(float64(r.Pins.Fetching), "fetching")
			tell(float64(r.Pins.Parked), "parked")
		})
	gauge("holdfast_dags_kept", "DAGs that are not whole and wait for a source, with blocks on disk; counted once a minute.",
		func(r *Reading) float64 { return float64(r.Pins.Kept) })
	gauge("holdfast_dags_kept_bytes", "Bytes of those blocks.",
		func(r *Reading) float64 { return float64(r.Pins.KeptBytes) })
	gauge("holdfast_pin_workers", "DAGs that can be fetched at the same time.",
		func(r *Reading) float64 { return float64(r.Pins.Workers) })
	add(prometheus.CounterValue, "holdfast_dags_ended_total", "DAGs that were brought to an end, by result.", []string{"result"},
		func(r *Reading, tell teller) {
			tell(float64(r.Pins.Pinned), "pinned")
			tell(float64(r.Pins.Failed), "failed")
		})
	counter("holdfast_dag_interruptions_total", "Tries that ended with an error of the server's own, such as a full disk.",
		func(r *Reading) uint64 { return r.Pins.Interrupted })

	// The network.
	gauge("holdfast_peers", "Peers that are connected, by direct connections.",
		func(r *Reading) float64 { return float64(r.Node.Peers) })
	gauge("holdfast_wants_in_flight", "Blocks that are wanted and did not come yet.",
		func(r *Reading) float64 { return float64(r.Node.WantsInFlight) })
	counter("holdfast_wants_reasked_total", "Asks that were lost and sent again.",
		func(r *Reading) uint64 { return r.Node.Reasks })
	counter("holdfast_walk_stalls_total", "Times that a walk got nothing for seconds from sources that it had asked.",
		func(r *Reading) uint64 { return r.Node.Stalls })
	gauge("holdfast_walk_longest_gap_seconds", "Longest time between two blocks of one walk in the last minute or two.",
		func(r *Reading) float64 { return r.Node.LongestGap.Seconds() })
	counter("holdfast_blocks_received_total", "Blocks that came from other nodes and gateways and were wanted.",
		func(r *Reading) uint64 { return r.Node.BlocksReceived })
	counter("holdfast_blocks_received_bytes_total", "Bytes of those blocks.",
		func(r *Reading) uint64 { return r.Node.BytesReceived })
	counter("holdfast_blocks_unwanted_total", "Blocks that came and nobody wanted, or not any more.",
		func(r *Reading) uint64 { return r.Node.BlocksUnwanted })
	counter("holdfast_blocks_served_total", "Blocks that have arrived at other nodes.",
		func(r *Reading) uint64 { return r.Node.BlocksServed })
	counter("holdfast_blocks_served_bytes_total", "Bytes of those blocks.",
		func(r *Reading) uint64 { return r.Node.BytesServed })
	add(prometheus.GaugeValue, "holdfast_provider_lookups", "Lookups of who has a block, by state.", []string{"state"},
		func(r *Reading, tell teller) {
			tell(float64(r.Node.Lookups), "running")
			tell(float64(r.Node.LookupsWaiting), "waiting")
		})

	// What is told of announcing, if there is any.
	announcing := func(kind prometheus.ValueType, name, help string, value func(s *provide.Stats, now time.Time) float64) {
		add(kind, name, help, nil, func(r *Reading, tell teller) {
			if r.Node.Provide != nil {
				tell(value(r.Node.Provide, r.Now))
			}
		})
	}
	announcing(prometheus.GaugeValue, "holdfast_provide_lag_seconds", "By how much the renewal of announcements is late.",
		func(s *provide.Stats, now time.Time) float64 { return s.Lag(now).Seconds() })
	announcing(prometheus.GaugeValue, "holdfast_provide_keys", "Keys that are announced again and again, roots of pins among them.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.Keys) })
	announcing(prometheus.GaugeValue, "holdfast_provide_waiting_roots", "Roots of pins that nobody was told of yet.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.Untold) })
	announcing(prometheus.GaugeValue, "holdfast_provide_oldest_waiting_age_seconds", "For how long the oldest of those waits; 0 if there is none.",
		func(s *provide.Stats, now time.Time) float64 { return since(s.OldestUntold, now) })
	announcing(prometheus.GaugeValue, "holdfast_provide_late_regions", "Parts of the key space whose keys should have been announced again by now.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.LateRegions) })
	announcing(prometheus.CounterValue, "holdfast_provided_total", "Announcements of content that were made.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.KeysTold) })
	announcing(prometheus.CounterValue, "holdfast_provide_failures_total", "Announcements of content that nobody took.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.KeysFailed) })

	// The store. What was counted is told once it was.
	counted := func(name, help string, value func(store.Counts) float64) {
		add(prometheus.GaugeValue, name, help, nil, func(r *Reading, tell teller) {
			if !r.Counted.At.IsZero() {
				tell(value(r.Counted))
			}
		})
	}
	counted("holdfast_store_live_blocks", "Blocks that some pin needs, counted now and then.",
		func(c store.Counts) float64 { return float64(c.Live.Blocks) })
	counted("holdfast_store_live_bytes", "Bytes of the blocks that some pin needs, each counted once, now and then.",
		func(c store.Counts) float64 { return float64(c.Live.Bytes) })
	counted("holdfast_store_dead_blocks", "Blocks that the next reclaim deletes, counted now and then.",
		func(c store.Counts) float64 { return float64(c.Dead.Blocks) })
	counted("holdfast_store_dead_bytes", "Bytes of the blocks that the next reclaim deletes, counted now and then.",
		func(c store.Counts) float64 { return float64(c.Dead.Bytes) })
	counted("holdfast_store_disk_bytes", "Bytes that the database takes on disk, counted now and then.",
		func(c store.Counts) float64 { return float64(c.Disk) })
	counted("holdfast_store_counted_timestamp_seconds", "When that was counted last.",
		func(c store.Counts) float64 { return seconds(c.At) })
	add(prometheus.GaugeValue, "holdfast_store_free_bytes", "Bytes that are free on the database's file system.", nil,
		func(r *Reading, tell teller) {
			if r.Free != nil {
				tell(float64(*r.Free))
			}
		})
	counter("holdfast_reclaim_runs_total", "Reclaims that came to their end.",
		func(r *Reading) uint64 { return r.Reclaims.Runs })
	counter("holdfast_reclaim_failures_total", "Reclaims that met an error.",
		func(r *Reading) uint64 { return r.Reclaims.Failed })
	counter("holdfast_reclaimed_blocks_total", "Blocks that reclaims deleted.",
		func(r *Reading) uint64 { return r.Reclaims.Blocks })
	counter("holdfast_reclaimed_bytes_total", "Bytes of the blocks that reclaims deleted.",
		func(r *Reading) uint64 { return r.Reclaims.Bytes })
	counter("holdfast_reclaim_freed_bytes_total", "Bytes of disk that reclaims gave back.",
		func(r *Reading) uint64 { return r.Reclaims.Freed })
	add(prometheus.CounterValue, "holdfast_reclaim_duration_seconds_total", "Time that reclaims took.", nil,
		func(r *Reading, tell teller) { tell(r.Reclaims.Elapsed.Seconds()) })
	add(prometheus.GaugeValue, "holdfast_reclaim_last_timestamp_seconds", "When the last reclaim came to its end; none if there was none.", nil,
		func(r *Reading, tell teller) {
			if !r.Reclaims.Last.IsZero() {
				tell(seconds(r.Reclaims.Last))
			}
		})
	add(prometheus.GaugeValue, "badger_level_tables", "Tables of the database's tree, by level.", []string{"level"},
		func(r *Reading, tell teller) {
			for i, l := range r.Levels {
				tell(float64(l.Tables), strconv.Itoa(i))
			}
		})
	add(prometheus.GaugeValue, "badger_level_bytes", "Bytes of the database's tree, by level.", []string{"level"},
		func(r *Reading, tell teller) {
			for i, l := range r.Levels {
				tell(float64(l.Bytes), strconv.Itoa(i))
			}
		})

	// The API.
	add(prometheus.CounterValue, "holdfast_auth_failures_total", "Times that somebody was not let in, by why.", []string{"reason"},
		func(r *Reading, tell teller) {
			for f, n := range r.Failures {
				tell(float64(n), f.String())
			}
		})
	gauge("holdfast_http_connections", "Connections to the API.",
		func(r *Reading) float64 { return float64(r.Conns) })
	return all
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// since is how many seconds ago a time was; 0 if it is zero, or ahead.
func since(t, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

package main

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// collector tells Prometheus what the parts of a server count, which know
// nothing of it. All that is read is quick to read, whatever the store holds.
type collector struct {
	read     func(context.Context) (*reading, error)
	families []family
}

// reading is what there is to tell at one moment.
type reading struct {
	queue    store.Queue
	free     uint64
	counted  store.Counts
	reclaims store.ReclaimCounts
	levels   []store.Level
	pins     pin.Stats
	node     node.Stats
	failures map[auth.Failure]uint64
	conns    int
	ready    bool
	now      time.Time
}

// family is a metric: all values of one name.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	tell func(*reading, teller)
}

// teller takes a value, with a value for each of the family's labels.
type teller func(value float64, labels ...string)

// newCollector tells what read gives at each scrape.
func newCollector(read func(context.Context) (*reading, error)) *collector {
	return &collector{families: families(), read: read}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families {
		out <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout) // a scrape brings no context
	defer cancel()
	r, err := c.read(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.families[0].desc, err)
		return
	}
	for _, f := range c.families {
		f.tell(r, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}

// families is every metric that is read at a scrape.
func families() []family {
	var all []family
	add := func(kind prometheus.ValueType, name, help string, labels []string, tell func(*reading, teller)) {
		all = append(all, family{prometheus.NewDesc(name, help, labels, nil), kind, tell})
	}
	gauge := func(name, help string, value func(*reading) float64) {
		add(prometheus.GaugeValue, name, help, nil, func(r *reading, tell teller) { tell(value(r)) })
	}
	counter := func(name, help string, value func(*reading) uint64) {
		add(prometheus.CounterValue, name, help, nil, func(r *reading, tell teller) { tell(float64(value(r))) })
	}

	gauge("holdfast_ready", "1 while new pins can come, as /readyz says, else 0.",
		func(r *reading) float64 { return number(r.ready) })

	// Pins.
	add(prometheus.GaugeValue, "holdfast_pins", "Pin requests of all accounts, by status.", []string{"status"},
		func(r *reading, tell teller) {
			for status, n := range r.queue.Requests {
				tell(float64(n), string(status))
			}
		})
	gauge("holdfast_pins_oldest_queued_age_seconds", "Age of the oldest request that is queued; 0 if none is.",
		func(r *reading) float64 { return since(r.queue.Oldest, r.now) })
	add(prometheus.GaugeValue, "holdfast_dags", "DAGs that are to be brought to disk, by what is done for them.", []string{"state"},
		func(r *reading, tell teller) {
			tell(float64(r.pins.Waiting), "waiting")
			tell(float64(r.pins.Seeking), "seeking")
			tell(float64(r.pins.Ready), "ready")
			tell(float64(r.pins.Fetching), "fetching")
			tell(float64(r.pins.Parked), "parked")
		})
	gauge("holdfast_pin_workers", "DAGs that can be fetched at the same time.",
		func(r *reading) float64 { return float64(r.pins.Workers) })
	add(prometheus.CounterValue, "holdfast_dags_ended_total", "DAGs that were brought to an end, by result.", []string{"result"},
		func(r *reading, tell teller) {
			tell(float64(r.pins.Pinned), "pinned")
			tell(float64(r.pins.Failed), "failed")
		})
	counter("holdfast_dag_interruptions_total", "Tries that ended with an error of the server's own, such as a full disk.",
		func(r *reading) uint64 { return r.pins.Interrupted })

	// The network.
	gauge("holdfast_peers", "Peers that are connected, by direct connections.",
		func(r *reading) float64 { return float64(r.node.Peers) })
	gauge("holdfast_wants_in_flight", "Blocks that are wanted and did not come yet.",
		func(r *reading) float64 { return float64(r.node.WantsInFlight) })
	counter("holdfast_wants_reasked_total", "Asks that were lost and sent again.",
		func(r *reading) uint64 { return r.node.Reasks })
	counter("holdfast_walk_stalls_total", "Times that a walk got nothing for seconds from sources that it had asked.",
		func(r *reading) uint64 { return r.node.Stalls })
	gauge("holdfast_walk_longest_gap_seconds", "Longest time between two blocks of one walk in the last minute or two.",
		func(r *reading) float64 { return r.node.LongestGap.Seconds() })
	counter("holdfast_blocks_received_total", "Blocks that came from other nodes and gateways and were wanted.",
		func(r *reading) uint64 { return r.node.BlocksReceived })
	counter("holdfast_blocks_received_bytes_total", "Bytes of those blocks.",
		func(r *reading) uint64 { return r.node.BytesReceived })
	counter("holdfast_blocks_unwanted_total", "Blocks that came and nobody wanted, or not any more.",
		func(r *reading) uint64 { return r.node.BlocksUnwanted })
	counter("holdfast_blocks_served_total", "Blocks that were sent to other nodes.",
		func(r *reading) uint64 { return r.node.BlocksServed })
	counter("holdfast_blocks_served_bytes_total", "Bytes of those blocks.",
		func(r *reading) uint64 { return r.node.BytesServed })
	add(prometheus.GaugeValue, "holdfast_provider_lookups", "Lookups of who has a block, by state.", []string{"state"},
		func(r *reading, tell teller) {
			tell(float64(r.node.Lookups), "running")
			tell(float64(r.node.LookupsWaiting), "waiting")
		})

	// What is told of announcing, if there is any.
	announcing := func(kind prometheus.ValueType, name, help string, value func(s *provide.Stats, now time.Time) float64) {
		add(kind, name, help, nil, func(r *reading, tell teller) {
			if r.node.Provide != nil {
				tell(value(r.node.Provide, r.now))
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
		add(prometheus.GaugeValue, name, help, nil, func(r *reading, tell teller) {
			if !r.counted.At.IsZero() {
				tell(value(r.counted))
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
	gauge("holdfast_store_free_bytes", "Bytes that are free on the database's file system.",
		func(r *reading) float64 { return float64(r.free) })
	counter("holdfast_reclaim_runs_total", "Reclaims that came to their end.",
		func(r *reading) uint64 { return r.reclaims.Runs })
	counter("holdfast_reclaim_failures_total", "Reclaims that met an error.",
		func(r *reading) uint64 { return r.reclaims.Failed })
	counter("holdfast_reclaimed_blocks_total", "Blocks that reclaims deleted.",
		func(r *reading) uint64 { return r.reclaims.Blocks })
	counter("holdfast_reclaimed_bytes_total", "Bytes of the blocks that reclaims deleted.",
		func(r *reading) uint64 { return r.reclaims.Bytes })
	counter("holdfast_reclaim_freed_bytes_total", "Bytes of disk that reclaims gave back.",
		func(r *reading) uint64 { return r.reclaims.Freed })
	add(prometheus.CounterValue, "holdfast_reclaim_duration_seconds_total", "Time that reclaims took.", nil,
		func(r *reading, tell teller) { tell(r.reclaims.Elapsed.Seconds()) })
	add(prometheus.GaugeValue, "holdfast_reclaim_last_timestamp_seconds", "When the last reclaim came to its end; none if there was none.", nil,
		func(r *reading, tell teller) {
			if !r.reclaims.Last.IsZero() {
				tell(seconds(r.reclaims.Last))
			}
		})
	add(prometheus.GaugeValue, "badger_level_tables", "Tables of the database's tree, by level.", []string{"level"},
		func(r *reading, tell teller) {
			for i, l := range r.levels {
				tell(float64(l.Tables), strconv.Itoa(i))
			}
		})
	add(prometheus.GaugeValue, "badger_level_bytes", "Bytes of the database's tree, by level.", []string{"level"},
		func(r *reading, tell teller) {
			for i, l := range r.levels {
				tell(float64(l.Bytes), strconv.Itoa(i))
			}
		})

	// The API.
	add(prometheus.CounterValue, "holdfast_auth_failures_total", "Times that somebody was not let in, by why.", []string{"reason"},
		func(r *reading, tell teller) {
			for f, n := range r.failures {
				tell(float64(n), f.String())
			}
		})
	gauge("holdfast_http_connections", "Connections to the API.",
		func(r *reading) float64 { return float64(r.conns) })
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

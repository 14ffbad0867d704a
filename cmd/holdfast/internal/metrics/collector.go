package metrics

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// Collector gives Prometheus what the parts of a server count. These parts know nothing of
// Prometheus. A scrape is quick, however large the store is.
type Collector struct {
	// read gives what can be read, and an error for the rest.
	read     func(context.Context) (*Reading, error)
	families []family
}

// Reading is the state of a server at one moment.
type Reading struct {
	Queue    *store.Queue // nil: it could not be read
	Free     *uint64      // bytes; nil: it could not be read
	Counted  store.Counts
	Reclaims store.ReclaimCounts
	Levels   []store.Level
	Pins     pin.Stats
	Node     node.Stats
	Failures map[auth.Failure]uint64
	Conns    int
	Ready    bool
	Writable bool // writes reach the disk
	Sound    bool // no table of the database was found damaged
	Damage   store.FoundDamage
	// Backup is when the newest backup at backup.to was made; zero if none is known. Nil:
	// backup.to is not set.
	Backup       *time.Time
	BackupFailed bool // the last attempt failed
	// Cluster is how the cluster was, within the last half minute. Nil: what is pinned is kept here.
	Cluster *cluster.State
	Now     time.Time
}

// family is a metric: all values of one name.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	emit func(*Reading, emitter)
}

// emitter takes a value, with a value for each of the family's labels.
type emitter func(value float64, labels ...string)

// NewCollector makes a collector that calls read at each scrape. read gives what it can read,
// and an error for the rest. A nil Reading says that nothing is known.
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
	if err != nil { // it is logged, and the other metrics are served
		out <- prometheus.NewInvalidMetric(unread, err)
	}
	if r == nil { // holdfast_ready is 0 then, and the only metric
		out <- prometheus.MustNewConstMetric(c.families[0].desc, prometheus.GaugeValue, 0)
		return
	}
	for _, f := range c.families {
		f.emit(r, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}

// unread is the metric of what could not be read. It is only in the log.
var unread = prometheus.NewDesc("holdfast_unread", "What could not be read.", nil, nil)

// tryRead calls read. It makes a panic an error, as a panic here would end the process.
func (c *Collector) tryRead(ctx context.Context) (r *Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.read(ctx)
}

// families lists every metric that is read at a scrape. The first is holdfast_ready.
func families() []family {
	var all []family
	add := func(kind prometheus.ValueType, name, help string, labels []string, emit func(*Reading, emitter)) {
		all = append(all, family{prometheus.NewDesc(name, help, labels, nil), kind, emit})
	}
	gauge := func(name, help string, value func(*Reading) float64) {
		add(prometheus.GaugeValue, name, help, nil, func(r *Reading, emit emitter) { emit(value(r)) })
	}
	counter := func(name, help string, value func(*Reading) uint64) {
		add(prometheus.CounterValue, name, help, nil, func(r *Reading, emit emitter) { emit(float64(value(r))) })
	}

	gauge("holdfast_ready", "1 while new pins can come, as /readyz says, else 0.",
		func(r *Reading) float64 { return number(r.Ready) })
	gauge("holdfast_store_writable", "1 while writes reach the disk, else 0: the disk fails, or is too full even for removals.",
		func(r *Reading) float64 { return number(r.Writable) })

	gauge("holdfast_store_sound", "0 once a table of the database was found damaged, else 1. Nothing is changed or stored then, and the next start refuses the database.",
		func(r *Reading) float64 { return number(r.Sound) })
	gauge("holdfast_store_unreadable_blocks", "Blocks that somebody wanted and that could not be read, or have another hash, and were not fetched again, since the start; a thousand at most.",
		func(r *Reading) float64 { return float64(r.Damage.Blocks) })
	gauge("holdfast_store_damaged_records", "Records that could not be read and were not written again, since the start; ten thousand at most.",
		func(r *Reading) float64 { return float64(r.Damage.Records) })

	// Backups, if they are configured.
	add(prometheus.GaugeValue, "holdfast_backup_last_timestamp_seconds", "When the newest backup at backup.to was made, 0 if there is none.", nil,
		func(r *Reading, emit emitter) {
			switch {
			case r.Backup == nil:
			case r.Backup.IsZero():
				emit(0)
			default:
				emit(float64(r.Backup.Unix()))
			}
		})
	add(prometheus.GaugeValue, "holdfast_backup_failed", "1 while the last attempt to make a backup at backup.to failed, else 0.", nil,
		func(r *Reading, emit emitter) {
			if r.Backup != nil {
				emit(number(r.BackupFailed))
			}
		})

	// Pins.
	add(prometheus.GaugeValue, "holdfast_pins", "Pin requests of all accounts, by status.", []string{"status"},
		func(r *Reading, emit emitter) {
			if r.Queue == nil {
				return
			}
			for status, n := range r.Queue.Requests {
				emit(float64(n), string(status))
			}
		})
	add(prometheus.GaugeValue, "holdfast_pins_oldest_queued_age_seconds", "Age of the oldest request that is queued; 0 if none is.", nil,
		func(r *Reading, emit emitter) {
			if r.Queue != nil {
				emit(since(r.Queue.Oldest, r.Now))
			}
		})
	add(prometheus.GaugeValue, "holdfast_dags", "DAGs that are not on disk yet, by state.", []string{"state"},
		func(r *Reading, emit emitter) {
			emit(float64(r.Pins.Waiting), "waiting")
			emit(float64(r.Pins.Seeking), "seeking")
			emit(float64(r.Pins.Ready), "ready")
			emit(float64(r.Pins.Fetching), "fetching")
			emit(float64(r.Pins.Parked), "parked")
		})
	gauge("holdfast_dags_kept", "DAGs that are not whole and wait for a source, with blocks on disk; counted once a minute.",
		func(r *Reading) float64 { return float64(r.Pins.Kept) })
	gauge("holdfast_dags_kept_bytes", "Bytes of those blocks.",
		func(r *Reading) float64 { return float64(r.Pins.KeptBytes) })
	gauge("holdfast_pin_workers", "DAGs that can be fetched at the same time.",
		func(r *Reading) float64 { return float64(r.Pins.Workers) })
	add(prometheus.CounterValue, "holdfast_dags_ended_total", "DAGs whose fetching has ended, by result.", []string{"result"},
		func(r *Reading, emit emitter) {
			emit(float64(r.Pins.Pinned), "pinned")
			emit(float64(r.Pins.Failed), "failed")
		})
	counter("holdfast_dag_interruptions_total", "Attempts that ended with an error of the server, such as a full disk.",
		func(r *Reading) uint64 { return r.Pins.Interrupted })

	// The network.
	gauge("holdfast_peers", "Peers with a direct connection.",
		func(r *Reading) float64 { return float64(r.Node.Peers) })
	gauge("holdfast_wants_in_flight", "Blocks that were asked for and have not come yet.",
		func(r *Reading) float64 { return float64(r.Node.WantsInFlight) })
	counter("holdfast_wants_reasked_total", "Requests for blocks that were lost and sent again.",
		func(r *Reading) uint64 { return r.Node.Reasks })
	counter("holdfast_walk_stalls_total", "Times that a walk received nothing for seconds from the sources that it had asked.",
		func(r *Reading) uint64 { return r.Node.Stalls })
	gauge("holdfast_walk_longest_gap_seconds", "Longest time between two blocks of one walk, in the last minute or two.",
		func(r *Reading) float64 { return r.Node.LongestGap.Seconds() })
	counter("holdfast_blocks_received_total", "Wanted blocks that came from other nodes and gateways.",
		func(r *Reading) uint64 { return r.Node.BlocksReceived })
	counter("holdfast_blocks_received_bytes_total", "Bytes of those blocks.",
		func(r *Reading) uint64 { return r.Node.BytesReceived })
	counter("holdfast_blocks_unwanted_total", "Blocks that came although nobody wanted them any more.",
		func(r *Reading) uint64 { return r.Node.BlocksUnwanted })
	counter("holdfast_blocks_served_total", "Blocks that have arrived at other nodes.",
		func(r *Reading) uint64 { return r.Node.BlocksServed })
	counter("holdfast_blocks_served_bytes_total", "Bytes of those blocks.",
		func(r *Reading) uint64 { return r.Node.BytesServed })
	add(prometheus.GaugeValue, "holdfast_provider_lookups", "Lookups of who has a block, by state.", []string{"state"},
		func(r *Reading, emit emitter) {
			emit(float64(r.Node.Lookups), "running")
			emit(float64(r.Node.LookupsWaiting), "waiting")
		})

	// Announcements. There are none with provide.enabled = false.
	announcing := func(kind prometheus.ValueType, name, help string, value func(s *provide.Stats, now time.Time) float64) {
		add(kind, name, help, nil, func(r *Reading, emit emitter) {
			if r.Node.Provide != nil {
				emit(value(r.Node.Provide, r.Now))
			}
		})
	}
	announcing(prometheus.GaugeValue, "holdfast_provide_lag_seconds", "By how much the renewal of announcements is late.",
		func(s *provide.Stats, now time.Time) float64 { return s.Lag(now).Seconds() })
	announcing(prometheus.GaugeValue, "holdfast_provide_keys", "Keys that are announced regularly, roots of pins included.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.Keys) })
	announcing(prometheus.GaugeValue, "holdfast_provide_waiting_roots", "Roots of pins that have not been announced yet.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.Untold) })
	announcing(prometheus.GaugeValue, "holdfast_provide_oldest_waiting_age_seconds", "Age of the oldest of those; 0 if there is none.",
		func(s *provide.Stats, now time.Time) float64 { return since(s.OldestUntold, now) })
	announcing(prometheus.GaugeValue, "holdfast_provide_late_regions", "Parts of the key space whose keys should have been announced again by now.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.LateRegions) })
	announcing(prometheus.CounterValue, "holdfast_provided_total", "Announcements of content that were made.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.KeysTold) })
	announcing(prometheus.CounterValue, "holdfast_provide_failures_total", "Announcements of content that no peer accepted.",
		func(s *provide.Stats, _ time.Time) float64 { return float64(s.KeysFailed) })

	// The store. Counts are left out until the first count has ended.
	counted := func(name, help string, value func(store.Counts) float64) {
		add(prometheus.GaugeValue, name, help, nil, func(r *Reading, emit emitter) {
			if !r.Counted.At.IsZero() {
				emit(value(r.Counted))
			}
		})
	}
	counted("holdfast_store_live_blocks", "Blocks that some pin needs, as of the last count.",
		func(c store.Counts) float64 { return float64(c.Live.Blocks) })
	counted("holdfast_store_live_bytes", "Bytes of the blocks that some pin needs, each counted once, as of the last count.",
		func(c store.Counts) float64 { return float64(c.Live.Bytes) })
	counted("holdfast_store_dead_blocks", "Blocks that the next reclaim deletes, as of the last count.",
		func(c store.Counts) float64 { return float64(c.Dead.Blocks) })
	counted("holdfast_store_dead_bytes", "Bytes of the blocks that the next reclaim deletes, as of the last count.",
		func(c store.Counts) float64 { return float64(c.Dead.Bytes) })
	counted("holdfast_store_disk_bytes", "Bytes that the database takes on disk, as of the last count.",
		func(c store.Counts) float64 { return float64(c.Disk) })
	counted("holdfast_store_counted_timestamp_seconds", "When the last count was made.",
		func(c store.Counts) float64 { return seconds(c.At) })
	add(prometheus.GaugeValue, "holdfast_store_free_bytes", "Bytes that are free on the database's file system.", nil,
		func(r *Reading, emit emitter) {
			if r.Free != nil {
				emit(float64(*r.Free))
			}
		})
	counter("holdfast_reclaim_runs_total", "Reclaims that ended without an error.",
		func(r *Reading) uint64 { return r.Reclaims.Runs })
	counter("holdfast_reclaim_failures_total", "Reclaims that failed.",
		func(r *Reading) uint64 { return r.Reclaims.Failed })
	counter("holdfast_reclaimed_blocks_total", "Blocks that reclaims deleted.",
		func(r *Reading) uint64 { return r.Reclaims.Blocks })
	counter("holdfast_reclaimed_bytes_total", "Bytes of the blocks that reclaims deleted.",
		func(r *Reading) uint64 { return r.Reclaims.Bytes })
	counter("holdfast_reclaim_freed_bytes_total", "Bytes of disk that reclaims gave back.",
		func(r *Reading) uint64 { return r.Reclaims.Freed })
	add(prometheus.CounterValue, "holdfast_reclaim_duration_seconds_total", "Time that reclaims took.", nil,
		func(r *Reading, emit emitter) { emit(r.Reclaims.Elapsed.Seconds()) })
	add(prometheus.GaugeValue, "holdfast_reclaim_last_timestamp_seconds", "When the last reclaim ended; missing before the first.", nil,
		func(r *Reading, emit emitter) {
			if !r.Reclaims.Last.IsZero() {
				emit(seconds(r.Reclaims.Last))
			}
		})
	add(prometheus.GaugeValue, "badger_level_tables", "Tables of the database's tree, by level.", []string{"level"},
		func(r *Reading, emit emitter) {
			for i, l := range r.Levels {
				emit(float64(l.Tables), strconv.Itoa(i))
			}
		})
	add(prometheus.GaugeValue, "badger_level_bytes", "Bytes of the database's tree, by level.", []string{"level"},
		func(r *Reading, emit emitter) {
			for i, l := range r.Levels {
				emit(float64(l.Bytes), strconv.Itoa(i))
			}
		})

	all = append(all, clusterFamilies()...)

	// The API.
	add(prometheus.CounterValue, "holdfast_auth_failures_total", "Refused logins, tokens and registrations, by reason.", []string{"reason"},
		func(r *Reading, emit emitter) {
			for f, n := range r.Failures {
				emit(float64(n), f.String())
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

// since is how many seconds ago t was. It is 0 for the zero time and for a later time.
func since(t, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}

// seconds is a time in the form of Prometheus: seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

package metrics

import (
	"expvar"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// badgerCollector gives Badger's counters the names and types that Prometheus wants. Badger
// counts by expvar, for the whole process.
type badgerCollector struct{}

// badgerVar is one of Badger's counters. If label is not "", it is a map with a value for
// each value of the label, such as each level.
type badgerVar struct {
	From, to, help, label string
	kind                  prometheus.ValueType
}

// BadgerVars lists the counters.
func BadgerVars() []badgerVar {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []badgerVar{
		{"badger_get_num_user", "badger_gets_total", "Lookups of keys.", "", counter},
		{"badger_get_with_result_num_user", "badger_gets_found_total", "Lookups that found the key.", "", counter},
		{"badger_put_num_user", "badger_puts_total", "Keys that were written.", "", counter},
		{"badger_write_bytes_user", "badger_written_bytes_total", "Bytes of keys and values that were written.", "", counter},
		{"badger_iterator_num_user", "badger_iterators_total", "Iterators that were opened.", "", counter},
		{"badger_get_num_memtable", "badger_memtable_gets_total", "Lookups of a key in memory.", "", counter},
		{"badger_get_num_lsm", "badger_lsm_gets_total", "Lookups of a key in the tree, by level.", "level", counter},
		{"badger_hit_num_lsm_bloom_filter", "badger_lsm_bloom_hits_total", "Lookups in the tree that a Bloom filter saved, by level or kind.", "level", counter},
		{"badger_read_bytes_lsm", "badger_lsm_read_bytes_total", "Bytes of values that were read from the tree.", "", counter},
		{"badger_write_bytes_l0", "badger_l0_written_bytes_total", "Bytes that were written to memory, and go to the tree's level 0.", "", counter},
		{"badger_write_bytes_compaction", "badger_compaction_written_bytes_total", "Bytes that compaction wrote, by level.", "level", counter},
		{"badger_compaction_current_num_lsm", "badger_compacting_tables", "Tables that are being compacted.", "", gauge},
		{"badger_read_num_vlog", "badger_vlog_reads_total", "Values that were read from the value log.", "", counter},
		{"badger_read_bytes_vlog", "badger_vlog_read_bytes_total", "Bytes of those values.", "", counter},
		{"badger_write_num_vlog", "badger_vlog_writes_total", "Values that were written to the value log.", "", counter},
		{"badger_write_bytes_vlog", "badger_vlog_written_bytes_total", "Bytes that were written to the value log.", "", counter},
	}
}

func (v badgerVar) desc() *prometheus.Desc {
	var labels []string
	if v.label != "" {
		labels = []string{v.label}
	}
	return prometheus.NewDesc(v.to, v.help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (badgerCollector) Describe(out chan<- *prometheus.Desc) {
	for _, v := range BadgerVars() {
		out <- v.desc()
	}
}

// Collect implements [prometheus.Collector].
func (badgerCollector) Collect(out chan<- prometheus.Metric) {
	for _, v := range BadgerVars() {
		desc := v.desc()
		send := func(n expvar.Var, labels ...string) {
			if value, err := strconv.ParseFloat(n.String(), 64); err == nil {
				out <- prometheus.MustNewConstMetric(desc, v.kind, value, labels...)
			}
		}
		switch from := expvar.Get(v.From).(type) {
		case *expvar.Int:
			send(from)
		case *expvar.Map:
			from.Do(func(kv expvar.KeyValue) { send(kv.Value, kv.Key) })
		}
	}
}

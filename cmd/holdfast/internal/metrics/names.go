package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// conventional renames metrics as the conventions of Prometheus want it. libp2p has counters
// without _total, and gauges that end in _total or _count.
type conventional struct{ prometheus.Gatherer }

// Gather implements [prometheus.Gatherer]. A metric keeps its name if the new one is taken.
func (c conventional) Gather() ([]*dto.MetricFamily, error) {
	all, err := c.Gatherer.Gather()
	taken := make(map[string]bool, len(all))
	for _, f := range all {
		taken[f.GetName()] = true
	}
	for _, f := range all {
		if name := conventionalName(f.GetName(), f.GetType()); !taken[name] {
			taken[name] = true
			f.Name = proto.String(name)
		}
	}
	return all, err
}

func conventionalName(name string, kind dto.MetricType) string {
	switch kind {
	case dto.MetricType_COUNTER:
		return strings.TrimSuffix(name, "_total") + "_total"
	case dto.MetricType_GAUGE:
		return strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_count")
	}
	return name
}

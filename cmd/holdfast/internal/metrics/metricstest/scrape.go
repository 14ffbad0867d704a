// Package metricstest reads metrics as Prometheus does, for tests of what they say.
package metricstest

import (
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Scrape is the metrics of one scrape, by their names.
type Scrape map[string]*dto.MetricFamily

// Parse reads the answer to a scrape.
func Parse(t *testing.T, text string) Scrape {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Value is the value of the series with these labels, each "name=value".
func (s Scrape) Value(name string, labels ...string) (float64, bool) {
	f := s[name]
	for _, m := range f.GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName()+"="+l.GetValue())
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(have, l) }) {
			continue
		}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			return m.GetCounter().GetValue(), true
		case dto.MetricType_GAUGE:
			return m.GetGauge().GetValue(), true
		case dto.MetricType_HISTOGRAM:
			return float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

// Want checks the value of a series.
func (s Scrape) Want(t *testing.T, value float64, name string, labels ...string) {
	t.Helper()
	if got, ok := s.Value(name, labels...); !ok || got != value {
		t.Errorf("%s%v is %v (there: %v), want %v", name, labels, got, ok, value)
	}
}

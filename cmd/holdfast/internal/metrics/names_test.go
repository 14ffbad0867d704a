package metrics

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestConventionalNames(t *testing.T) {
	for _, c := range []struct {
		name string
		kind dto.MetricType
		want string
	}{
		{"a_b", dto.MetricType_COUNTER, "a_b_total"},
		{"a_b_total", dto.MetricType_COUNTER, "a_b_total"},
		{"a_b_total", dto.MetricType_GAUGE, "a_b"},
		{"a_b_count", dto.MetricType_GAUGE, "a_b"},
		{"a_b_count", dto.MetricType_HISTOGRAM, "a_b_count"},
	} {
		if got := conventionalName(c.name, c.kind); got != c.want {
			t.Errorf("a %v named %s is told as %s, want %s", c.kind, c.name, got, c.want)
		}
	}
	// A name that is taken is not given twice.
	r := prometheus.NewRegistry()
	for _, name := range []string{"a", "a_count", "a_total"} {
		r.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "A."}))
	}
	all, err := conventional{r}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range all {
		if seen[f.GetName()] {
			t.Errorf("%s is told twice", f.GetName())
		}
		seen[f.GetName()] = true
	}
}

package daemon

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics/metricstest"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/provide"
)

const (
	dashboardFile = "../../../../deploy/grafana/holdfast.json"
	alertsDir     = "../../../../deploy/prometheus"
)

func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("this test needs promtool (apt-get install --no-install-recommends prometheus): %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// expressions gives every PromQL expression of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("the dashboard: %v", err)
	}
	var found []string
	var look func(any)
	look = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if e, ok := v["expr"].(string); ok {
				found = append(found, e)
			}
			// A variable's query is label_values(METRIC, LABEL).
			if e, ok := v["definition"].(string); ok {
				metric, _, ok := strings.Cut(strings.TrimPrefix(e, "label_values("), ", ")
				if !ok {
					t.Errorf("the variable's query %q is not understood", e)
				}
				found = append(found, metric)
			}
			for _, x := range v {
				look(x)
			}
		case []any:
			for _, x := range v {
				look(x)
			}
		}
	}
	look(doc)
	return found
}

// metricsIn gives the metrics that an expression reads: every word that is no
// function, keyword or label.
func metricsIn(expr string) []string {
	expr = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	expr = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`).ReplaceAllString(expr, "")
	expr = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`).ReplaceAllString(expr, "")
	var names []string
	for _, m := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`).FindAllString(expr, -1) {
		switch {
		case strings.HasSuffix(m, "("): // a function
		case slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, strings.TrimSpace(m)):
		default:
			names = append(names, strings.TrimSpace(m))
		}
	}
	return names
}

// exported are the names of the metrics of a running server, and of those that a server has
// only with routing.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	_, p, _ := two(t)
	get(t, p.URL()+"/healthz")
	names := map[string]bool{}
	add := func(s metricstest.Scrape) {
		for name, f := range s {
			names[name] = true
			if f.GetType().String() == "HISTOGRAM" {
				names[name+"_bucket"], names[name+"_sum"], names[name+"_count"] = true, true, true
			}
		}
	}
	add(metricstest.Parse(t, scrape(t, p)))
	// Every metric of the server's collector, with invented values.
	r := prometheus.NewRegistry()
	r.MustRegister(metrics.NewCollector(func(context.Context) (*metrics.Reading, error) {
		now := time.Unix(1_800_000_000, 0)
		made := metrics.Reading{Now: now, Node: node.Stats{Provide: &provide.Stats{}}}
		made.Counted.At, made.Reclaims.Last, made.Backup = now, now, &now
		made.Cluster = &cluster.State{Peers: []cluster.PeerState{{URL: "http://s1.internal:9094", Known: true}}}
		made.Cluster.Last.Ended = now
		return &made, nil
	}))
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		names[f.GetName()] = true
	}
	return names
}

// The dashboard and the alerts use only metrics that exist.
func TestDashboardUsesWhatIsTold(t *testing.T) {
	exists := exported(t)
	exprs := expressions(t)
	if len(exprs) < 30 {
		t.Fatalf("the dashboard has %d expressions", len(exprs))
	}
	used := map[string]bool{}
	for _, e := range exprs {
		names := metricsIn(e)
		if len(names) == 0 {
			t.Errorf("no metric is found in %s", e)
		}
		for _, name := range names {
			used[name] = true
			if !exists[name] {
				t.Errorf("the dashboard uses %s, which no server has: %s", name, e)
			}
		}
	}
	alerts, err := os.ReadFile(filepath.Join(alertsDir, "holdfast-alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(?:holdfast|badger|libp2p|go|process)_[a-z0-9_]+`).FindAllString(string(alerts), -1)
	if len(names) < 10 {
		t.Fatalf("the alerts have the metrics %v", names)
	}
	for _, name := range names {
		if !exists[name] {
			t.Errorf("the alerts use %s, which no server has", name)
		}
	}
	// Every metric of ours is in the dashboard.
	descs := make(chan *prometheus.Desc, 1000)
	metrics.NewCollector(nil).Describe(descs)
	close(descs)
	for d := range descs {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]
		if !used[name] && !slices.Contains(notShown, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if slices.Contains(notShown, name) {
			t.Errorf("the dashboard shows %s, and a list here says that it does not", name)
		}
	}
}

// notShown are metrics of ours that have no place in the dashboard: counts beside
// bytes, and what alerts look at.
var notShown = []string{
	"holdfast_provider_lookups", "holdfast_provided_total", "holdfast_provide_failures_total", "holdfast_provide_keys",
	"holdfast_provide_waiting_roots", "holdfast_provide_late_regions", "holdfast_store_live_blocks", "holdfast_store_dead_blocks",
	"holdfast_store_counted_timestamp_seconds", "holdfast_reclaim_runs_total", "holdfast_reclaim_failures_total",
	"holdfast_reclaimed_blocks_total", "holdfast_reclaim_duration_seconds_total",
	"holdfast_reclaim_last_timestamp_seconds", "badger_level_tables",
}

// Prometheus takes the dashboard's expressions, the alerts and the example, and
// the alerts go off when they should.
func TestPrometheusTakesWhatIsDeployed(t *testing.T) {
	promtool(t, alertsDir, "check", "config", "holdfast.yml")
	promtool(t, alertsDir, "check", "rules", "holdfast-alerts.yml")
	promtool(t, alertsDir, "test", "rules", "holdfast-alerts_test.yml")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range expressions(t) {
		e = strings.ReplaceAll(e, "$__rate_interval", "5m")
		quoted, err := json.Marshal(e) // JSON's strings are YAML's too
		if err != nil {
			t.Fatal(err)
		}
		rules.WriteString("  - record: dashboard:e" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "\n    expr: " + string(quoted) + "\n")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dashboard.yml"), []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "check", "rules", "dashboard.yml")
}

// The example asks where a server listens by default.
func TestScrapeExampleIsTheDefault(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(alertsDir, "holdfast.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `["`+config.DefaultMetricsListen+`"]`) {
		t.Errorf("the example does not ask %s", config.DefaultMetricsListen)
	}
}

func TestMetricsInAnExpression(t *testing.T) {
	for expr, want := range map[string][]string{
		`sum by (le, route) (rate(a_total{x="b_c"}[5m]))`:                {"a_total"},
		`a - on (job) group_left (x) b`:                                  {"a", "b"},
		`histogram_quantile(0.9, sum(rate(c_bucket[$__rate_interval])))`: {"c_bucket"},
		`60 * topk(5, d{a=~"$b"}) and e`:                                 {"d", "e"},
	} {
		if got := metricsIn(expr); !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", expr, got, want)
		}
	}
}

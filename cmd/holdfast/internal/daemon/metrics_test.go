package daemon

import (
	"bytes"
	"expvar"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics/metricstest"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// scrape reads the metrics of a program.
func scrape(t *testing.T, p *Program) string {
	t.Helper()
	status, body := get(t, p.metricsURL+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d: %s", status, body)
	}
	return body
}

// two are programs of which one has a DAG of two blocks, and the other pinned
// that from it, by QUIC.
func two(t *testing.T) (source, p *Program, size float64) {
	t.Helper()
	ctx := t.Context()
	root, leaf := twoBlocks(t)
	start := func() *Program {
		p, _ := testProgram(t, testDataDir(t))
		p.Config.Node.AllowPrivateAddresses = true
		p.Config.Node.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		return p
	}
	source, p = start(), start()
	hold(t, source, root, leaf)
	a, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: "alice@example.org", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.pins.Add(ctx, a.ID, pin.Spec{CID: root.Cid().String(), Root: root.Cid(), Origins: source.node.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(logtest.Patience); v.Status != pin.Pinned; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the pin is %s: %v", v.Status, v.Info)
		}
		if v, err = p.pins.Get(ctx, a.ID, v.ID); err != nil {
			t.Fatal(err)
		}
	}
	return source, p, float64(len(root.RawData()) + len(leaf.RawData()))
}

// The metrics follow the conventions, as Prometheus' own tool checks them.
func TestMetricsFollowTheConventions(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("this test needs promtool (apt-get install --no-install-recommends prometheus): %v", err)
	}
	_, p, _ := two(t)
	// Those of libp2p that nothing here uses, for lack of strangers.
	autorelay.NewMetricsTracer(autorelay.WithRegisterer(p.metrics.Registry))
	relay.NewMetricsTracer(relay.WithRegisterer(p.metrics.Registry))
	holepunch.NewMetricsTracer(holepunch.WithRegisterer(p.metrics.Registry))
	get(t, p.URL()+"/nowhere")
	check := func(text string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		return cmd.CombinedOutput()
	}
	if out, err := check(scrape(t, p)); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	// The tool checks that.
	if out, err := check("# TYPE holdfast_things counter\nholdfast_things 1\n"); err == nil {
		t.Errorf("promtool takes a counter without _total: %s", out)
	}
}

func TestMetricsTell(t *testing.T) {
	source, p, size := two(t)
	var status int
	for range 3 {
		status, _ = get(t, p.URL()+"/api/psa/pins")
	}
	if status != http.StatusUnauthorized {
		t.Fatalf("without a token the answer is %d", status)
	}
	s := metricstest.Parse(t, scrape(t, p))
	s.Want(t, 1, "holdfast_ready")
	s.Want(t, 1, "holdfast_pins", "status=pinned")
	s.Want(t, 0, "holdfast_pins", "status=queued")
	s.Want(t, 0, "holdfast_pins_oldest_queued_age_seconds")
	s.Want(t, 1, "holdfast_dags_ended_total", "result=pinned")
	s.Want(t, 0, "holdfast_dags", "state=fetching")
	s.Want(t, 16, "holdfast_pin_workers")
	s.Want(t, 2, "holdfast_blocks_received_total")
	s.Want(t, size, "holdfast_blocks_received_bytes_total")
	s.Want(t, 0, "holdfast_wants_in_flight")
	s.Want(t, 1, "holdfast_peers")
	s.Want(t, 3, "holdfast_auth_failures_total", "reason=no_token")
	s.Want(t, 3, "holdfast_http_requests_total", "route=/api/psa/pins", "method=GET", "code=401")
	s.Want(t, 3, "holdfast_http_request_duration_seconds", "route=/api/psa/pins", "method=GET")
	if v, ok := s.Value("holdfast_store_free_bytes"); !ok || v < 64<<20 {
		t.Errorf("%v bytes are free", v)
	}
	if v, ok := s.Value("holdfast_http_connections"); !ok || v < 1 {
		t.Errorf("there are %v connections, and one is ours", v)
	}
	if _, ok := s["holdfast_provide_lag_seconds"]; ok {
		t.Error("the lag of announcing is told, and nothing is announced")
	}
	for _, name := range []string{
		"holdfast_build_info", "go_goroutines", "process_resident_memory_bytes",
		"badger_puts_total", "badger_vlog_writes_total", "badger_level_tables", "badger_compacting_tables",
		"libp2p_swarm_connections_opened_total", "libp2p_rcmgr_connections", "libp2p_rcmgr_memory",
		"libp2p_identify_identify_total", "libp2p_autonat_reachability_status", "libp2p_eventbus_subscribers",
	} {
		if _, ok := s[name]; !ok {
			t.Errorf("%s is not told", name)
		}
	}

	// They count once the other node has read all of a stream, which is soon.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s = metricstest.Parse(t, scrape(t, source))
		if v, _ := s.Value("holdfast_blocks_served_total"); v > 0 || time.Now().After(deadline) {
			break
		}
	}
	s.Want(t, 2, "holdfast_blocks_served_total")
	s.Want(t, size, "holdfast_blocks_served_bytes_total")

	// What is in the store is counted at once when it starts.
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again, _ := testProgram(t, p.Data)
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(10 * time.Millisecond) {
		s = metricstest.Parse(t, scrape(t, again))
		if _, ok := s["holdfast_store_counted_timestamp_seconds"]; ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the store was not counted")
		}
	}
	s.Want(t, 2, "holdfast_store_live_blocks")
	s.Want(t, size, "holdfast_store_live_bytes")
	s.Want(t, 0, "holdfast_store_dead_bytes")
	if v, ok := s.Value("holdfast_store_disk_bytes"); !ok || v <= 0 {
		t.Errorf("the database takes %v bytes", v)
	}
}

// All requests to the gateway are counted.
func TestMetricsOfTheGateway(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	p.Config.Gateway.Listen = "127.0.0.1:0"
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	root, leaf := twoBlocks(t)
	hold(t, p, root, leaf)
	status, body := get(t, p.gateway.url()+"/ipfs/"+leaf.Cid().String()+"?format=raw")
	if status != http.StatusOK || len(body) != len(leaf.RawData()) {
		t.Fatalf("the gateway answers %d, %d bytes", status, len(body))
	}
	get(t, p.gateway.url()+"/made/up")
	s := metricstest.Parse(t, scrape(t, p))
	s.Want(t, 1, "holdfast_http_requests_total", "route="+metrics.GatewayRoute, "method=GET", "code=200")
	if v, _ := s.Value("holdfast_http_response_bytes_total", "route="+metrics.GatewayRoute); v < float64(len(body)) {
		t.Errorf("%v bytes were sent, of a block of %d", v, len(body))
	}
	for _, m := range s["holdfast_http_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if strings.Contains(l.GetValue(), "made") {
				t.Errorf("%s is %q", l.GetName(), l.GetValue())
			}
		}
	}
}

// Paths and methods that clients invent make no time series.
func TestMetricsAreBounded(t *testing.T) {
	p, _ := runProgram(t)
	ask := func(method, path string) {
		r, err := http.NewRequestWithContext(t.Context(), method, p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	series := func() (n int) {
		for name, f := range metricstest.Parse(t, scrape(t, p)) {
			if strings.HasPrefix(name, "holdfast_http_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	all := func(i int) {
		for _, path := range []string{"/", "/x%d", "/api/psa/pins/%d", "/api/psa/%d", "/api/admin/users/%d", "/api/auth/tokens/%d", "/api/%d", "/healthz/%d"} {
			path = strings.ReplaceAll(path, "%d", fmt.Sprint(i))
			ask(http.MethodGet, path)
			ask(fmt.Sprintf("MADEUP%d", i), path)
		}
	}
	all(0)
	before := series()
	for i := range 20 {
		all(i + 1)
	}
	if after := series(); after != before {
		t.Errorf("there were %d time series of requests, and %d after 320 more", before, after)
	}
	for _, m := range metricstest.Parse(t, scrape(t, p))["holdfast_http_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if strings.Contains(l.GetValue(), "MADEUP") || strings.Contains(l.GetValue(), "x1") {
				t.Errorf("%s is %q", l.GetName(), l.GetValue())
			}
		}
	}
}

func TestMetricsListen(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	p.Config.Metrics.Listen = ""
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if run, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName)); !ok || run.Metrics != "" || p.monitor != nil {
		t.Errorf("switched off, metrics are at %q", run.Metrics)
	}
	if status, _ := get(t, p.URL()+"/metrics"); status != http.StatusNotFound {
		t.Errorf("the API answers %d to /metrics", status)
	}

	p, _ = runProgram(t)
	run, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName))
	if !ok || run.Metrics != p.metricsURL || !strings.HasPrefix(run.Metrics, "http://127.0.0.1:") || strings.HasSuffix(run.Metrics, ":0") {
		t.Errorf("run.json has %+v", run)
	}
	if status, _ := get(t, run.Metrics+"/api/psa/pins"); status != http.StatusNotFound {
		t.Errorf("the API is served beside the metrics: %d", status)
	}

	// A configured address that is taken is an error.
	taken := strings.TrimPrefix(run.Metrics, "http://")
	second, _ := testProgram(t, testDataDir(t))
	second.Config.Metrics.Listen = taken
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("with an address that is taken the error is %v", err)
	}

	// The default address is not: there may be a second server.
	if l, err := net.Listen("tcp", config.DefaultMetricsListen); err == nil {
		defer l.Close()
	} // else somebody else has it, which is as good
	third, lines := testProgram(t, testDataDir(t))
	third.Config.Metrics.Listen = config.DefaultMetricsListen
	if err := third.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if run, ok := datadir.ReadRunFile(third.Data.File(datadir.RunFileName)); !ok || run.Metrics != "" {
		t.Errorf("run.json has %+v", run)
	}
	lines.Await(t, "no metrics are served: another program has the default address")
}

// badgerByDirectory are those that each database of the process has for itself,
// by its directory: what is on disk the store tells better.
func badgerByDirectory() []string {
	return []string{"badger_size_bytes_lsm", "badger_size_bytes_vlog", "badger_write_pending_num_memtable"}
}

// Every counter of Badger is in the metrics. This fails for a new or renamed one.
func TestBadgersMetricsAreKnown(t *testing.T) {
	known := badgerByDirectory()
	for _, v := range metrics.BadgerVars() {
		known = append(known, v.From)
		if expvar.Get(v.From) == nil {
			t.Errorf("Badger has no %s", v.From)
		}
	}
	expvar.Do(func(kv expvar.KeyValue) {
		if strings.HasPrefix(kv.Key, "badger_") && !slices.Contains(known, kv.Key) {
			t.Errorf("Badger has %s, which is not told", kv.Key)
		}
	})
}

// No token and no password is in the metrics.
func TestMetricsTellNoSecrets(t *testing.T) {
	p, _ := runProgram(t)
	const secret = "hunter2hunter2"
	for _, path := range []string{"/api/psa/pins?token=" + secret, "/" + secret, "/api/psa/pins/" + secret} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if bytes.Contains([]byte(scrape(t, p)), []byte(secret)) {
		t.Error("the metrics have what was sent")
	}
}

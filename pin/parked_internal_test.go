package pin

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"
)

// A look at many parked jobs costs what is due.
func TestLookCostsWhatIsDue(t *testing.T) {
	const n = 20_000
	cfg := Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}.withDefaults()
	m := &Manager{
		cfg: cfg, log: cfg.Logger, workers: newWorkers(cfg.Workers), queue: newQueue(cfg.Window),
		jobs: make(map[DAG]*job), active: make(map[*job]struct{}),
	}
	m.parked = newParked(n, m.deadline)
	looks := 0
	for _, a := range []*agenda{m.parked.tries, m.parked.ends} {
		at := a.at
		a.at = func(j *job) time.Time {
			looks++
			return at(j)
		}
	}
	for range cfg.Seekers { // so that no more are started
		m.active[&job{state: jobRunning, moved: time.Now()}] = struct{}{}
	}
	now := time.Now()
	for i := range n {
		j := m.newJob(Request{Account: "a", Spec: Spec{}})
		j.state, j.began, j.moved, j.nextTry = jobParked, now, now, now.Add(time.Duration(i-3)*time.Second)
		m.parked.keep(j)
		m.parked.add(j)
	}
	looks = 0
	m.look(now)
	if looks > 20 {
		t.Errorf("a look at %d parked jobs of which 4 are due looks at %d", n, looks)
	}
	if due := m.parked.tries.countDue(now, n); due != 4 {
		t.Errorf("%d are due, want 4", due)
	}
	if due := m.parked.tries.countDue(now.Add(time.Hour), 100); due != 100 {
		t.Errorf("%d are due, want as many as are asked for", due)
	}
}

// One account's parked jobs leave room for those of others.
func TestParkedRoom(t *testing.T) {
	const window = 100
	p := newParked(window, func(*job) time.Time { return time.Time{} })
	fill := func(account string) (kept []*job) {
		for range 2 * window {
			if j := (&job{account: account}); p.keep(j) {
				kept = append(kept, j)
			}
		}
		return kept
	}
	first := fill("0")
	for i := range 5 {
		want := window
		if i+1 >= keptWindows {
			want = keptLeast
		}
		if n := len(fill(fmt.Sprint(i + 1))); n != want {
			t.Errorf("account %d keeps %d, want %d", i+1, n, want)
		}
	}
	if len(first) != window || p.roomy("0") {
		t.Errorf("the first account keeps %d", len(first))
	}
	for _, j := range first {
		p.forget(j)
	}
	if !p.room("new") || p.keptAll != (keptWindows-1)*window+3*keptLeast {
		t.Errorf("%d are kept in the end", p.keptAll)
	}
}

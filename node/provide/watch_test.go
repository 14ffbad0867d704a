package provide

import (
	"strings"
	"testing"
	"time"
)

func TestWatcher(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	fine := func(at time.Time) Stats {
		return Stats{Online: true, Interval: DefaultInterval, Roots: 10, Stalest: at.Add(-20 * time.Hour)}
	}
	for name, tt := range map[string]struct {
		change func(i int, at time.Time, s *Stats)
		want   map[int]string // by the number of the look
	}{
		"all is well": {func(int, time.Time, *Stats) {}, nil},
		"late and catching up": {func(i int, _ time.Time, s *Stats) {
			s.SweepersBusy, s.LateRegions = true, int64(100-i%100)
		}, nil},
		"busy and not late": {func(i int, _ time.Time, s *Stats) { s.SweepersBusy = true }, nil},
		"late and idle":     {func(i int, _ time.Time, s *Stats) { s.LateRegions = int64(i) }, nil},
		"falling behind": {func(i int, _ time.Time, s *Stats) {
			s.SweepersBusy, s.LateRegions = true, int64(10*i)
		}, map[int]string{3: "30 regions are late, 20 were", 27: "270 regions are late", 51: "cannot keep up", 75: "cannot keep up"}},
		"falling behind now and then": {func(i int, _ time.Time, s *Stats) {
			s.SweepersBusy, s.LateRegions = i%3 > 0, int64(10*i)
		}, nil},
		"a root that does not get its turn": {func(i int, at time.Time, s *Stats) {
			s.Stalest = start
		}, map[int]string{97: "last provided 24h15m0s ago"}},
		"a root from before the network was away": {func(i int, at time.Time, s *Stats) {
			s.Stalest = start.Add(-90 * time.Hour)
			s.Online = i%90 > 3
		}, nil},
		"no address": {func(i int, _ time.Time, s *Stats) { s.NoAddress = i >= 5 },
			map[int]string{5: "no address", 29: "no address", 53: "no address", 77: "no address"}},
	} {
		t.Run(name, func(t *testing.T) {
			var w watcher
			for i := range 98 {
				at := start.Add(time.Duration(i) * watchEvery)
				s := fine(at)
				tt.change(i, at, &s)
				got := strings.Join(w.look(at, s), "; ")
				if want := tt.want[i]; (got == "") != (want == "") || !strings.Contains(got, want) {
					t.Errorf("at look %d it says %q, want %q", i, got, want)
				}
			}
		})
	}
}

// A short interval is not held to the hours of a long one.
func TestWatcherOfAShortInterval(t *testing.T) {
	var w watcher
	start := time.Unix(1_700_000_000, 0)
	for i := range 3 {
		s := Stats{Online: true, Interval: 10 * time.Minute, Roots: 1, Stalest: start}
		got := w.look(start.Add(time.Duration(i)*watchEvery), s)
		if (len(got) > 0) != (i == 2) {
			t.Errorf("at look %d it says %q", i, got)
		}
	}
}

func TestLag(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for ago, want := range map[time.Duration]time.Duration{
		0:                                    0,
		DefaultInterval:                      0,
		DefaultInterval + watchSlack:         0,
		DefaultInterval + watchSlack + 1e9:   time.Second,
		2*DefaultInterval + watchSlack + 1e9: DefaultInterval + time.Second,
	} {
		if got := (Stats{Interval: DefaultInterval, Stalest: now.Add(-ago)}).Lag(now); got != want {
			t.Errorf("%v ago: late by %v, want %v", ago, got, want)
		}
	}
	if got := (Stats{Interval: DefaultInterval}).Lag(now); got != 0 {
		t.Errorf("with nothing told it is late by %v", got)
	}
}

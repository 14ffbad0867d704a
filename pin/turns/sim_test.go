package turns

import (
	"fmt"
	"math"
	"sort"
	"testing"
	"time"
)

const (
	simStep   = 50 * time.Millisecond
	simAnswer = 200 * time.Millisecond
)

// sim is turns with jobs that receive nothing, and with a disk that is read at once.
type sim struct {
	*Turns
	t     *testing.T
	now   time.Time
	disk  map[string][]simRequest // of each account, those that wait for their first turn
	made  map[string]simRequest   // by key
	tries map[*Job]int
	live  map[string]*Job // in memory
	had   map[string]bool // keys of those that had a turn
}

type simRequest struct {
	key     string
	created time.Time
}

func newSim(t *testing.T, cfg Config) *sim {
	cfg.Slice, cfg.IdleSlice = 2*time.Second, 20*time.Second
	return &sim{
		Turns: New(cfg), t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		disk: make(map[string][]simRequest), made: make(map[string]simRequest),
		tries: make(map[*Job]int), live: make(map[string]*Job), had: make(map[string]bool),
	}
}

// ask makes a request.
func (s *sim) ask(account, key string) *Job {
	s.now = s.now.Add(time.Millisecond)
	r := simRequest{key, s.now}
	s.made[key] = r
	s.disk[account] = append(s.disk[account], r)
	j := &Job{Key: key, Account: account}
	s.live[key] = j
	_, spilled := s.Push(j, account)
	for _, o := range spilled {
		s.Forget(o)
		delete(s.live, o.Key)
		s.SpillUntried(o.Account, s.made[o.Key].created)
	}
	return j
}

// step lets time pass and returns the jobs whose turns began.
func (s *sim) step() []*Job {
	s.now = s.now.Add(simStep)
	out, _ := s.Evict(s.now, math.MaxInt, func(j *Job) Activity { return Activity{Since: j.Started(), Answers: simAnswer} })
	for _, j := range out {
		s.Ended(j)
		s.tries[j]++
		if s.Keep(j) {
			s.Park(j, Parking{NextTry: s.now.Add(min(5*time.Second<<min(s.tries[j]-1, 10), 5*time.Minute))})
		} else {
			s.Forget(j)
			delete(s.live, j.Key)
		}
	}
	for _, account := range s.ToRead() {
		tail, limit := s.BeginRead(account)
		read := 0
		rest := s.disk[account]
		rest = rest[sort.Search(len(rest), func(i int) bool { return rest[i].created.After(tail) }):]
		for len(rest) > 0 && read < limit {
			r := rest[0]
			rest = rest[1:]
			if s.had[r.key] { // it is not queued any more
				continue
			}
			read++
			tail = r.created
			if s.live[r.key] == nil {
				s.live[r.key] = &Job{Key: r.key, Account: account}
				s.PushOld(s.live[r.key], account)
			}
		}
		s.EndRead(account, tail, len(rest) > 0)
	}
	var began []*Job
	for j := s.Next(s.now); j != nil; j = s.Next(s.now) {
		s.had[j.Key] = true
		began = append(began, j)
	}
	if n := len(s.Running()); n > s.cfg.Places {
		s.t.Fatalf("%d run in %d places", n, s.cfg.Places)
	}
	return began
}

// Behind many dead requests, of one account or of sixteen, a new request has a turn at once.
// The dead ones have theirs at a thousand a second, in their order, and are tried again
// meanwhile.
func TestWhatIsAskedForNowIsTriedNow(t *testing.T) {
	for _, accounts := range []int{1, 16} {
		t.Run(fmt.Sprint(accounts), func(t *testing.T) {
			const dead = 20_000
			s := newSim(t, Config{Places: 512, Window: 1000})
			for n := range dead {
				s.ask(fmt.Sprint(n%accounts), fmt.Sprintf("%02d dead %06d", n%accounts, n))
			}
			last := make(map[string]string) // of each account, the oldest that had a turn
			tried, again, seconds := 0, 0, 0.0
			for second := 0; s.WaitingJobs(1) > 0; second++ {
				if second == 60 {
					t.Fatalf("%d of %d were tried within a minute", tried, dead)
				}
				live := s.ask(fmt.Sprint(second%accounts), fmt.Sprint("live ", second))
				for range int(time.Second / simStep) {
					for _, j := range s.step() {
						switch {
						case j.Kind() == Again:
							again++
						case j.Kind() == Oldest && j.Key < last[j.Account]:
							t.Fatalf("%q is tried after %q", j.Key, last[j.Account])
						case j.Kind() == Oldest && j.Key[:2] < "17":
							last[j.Account] = j.Key
							fallthrough
						default:
							tried++
						}
					}
				}
				if live.State() == Waiting {
					t.Fatalf("a live one has had no turn a second after it was asked for, in second %d", second)
				}
				seconds++
			}
			if rate := dead / seconds; rate < 1000 {
				t.Errorf("%.0f a second were tried", rate)
			}
			if again == 0 {
				t.Error("none was tried again meanwhile")
			}
			if n := len(s.live); n > 4*s.cfg.Window+s.cfg.Places+accounts*minKept {
				t.Errorf("%d jobs are in memory", n)
			}
		})
	}
}

// A request has its turn after those before it, however many come after it and however many
// are tried again.
func TestNoneWaitsForThoseAfterIt(t *testing.T) {
	const before = 2000
	s := newSim(t, Config{Places: 64, Window: 100})
	for n := range before {
		s.ask("a", fmt.Sprint("before ", n))
	}
	s.ask("a", "it")
	for n := range 200 { // so that it is not among the newest
		s.ask("a", fmt.Sprint("after ", n))
	}
	n := 0
	for step := 0; ; step++ {
		// Five eighths of 64 places, each for 250 ms at most, are 160 a second.
		if seconds := float64(step) * simStep.Seconds(); seconds > before/150 {
			t.Fatalf("it has had no turn within %.0f s", seconds)
		}
		for range 20 {
			s.ask("a", fmt.Sprint("endless ", n))
			n++
		}
		for j := range s.parked.all {
			s.Wake(j)
		}
		done := false
		for _, j := range s.step() {
			done = done || j.Key == "it"
		}
		if done {
			return
		}
	}
}

// Each account has as many turns as any other, however many of its jobs wait.
func TestAccountsTakeTurns(t *testing.T) {
	s := newSim(t, Config{Places: 16, Window: 1000})
	for n := range 300 {
		s.ask("many", fmt.Sprint("many ", n))
	}
	for n := range 30 {
		s.ask("few", fmt.Sprint("few ", n))
	}
	turns := make(map[string]int)
	for turns["few"] < 30 {
		for _, j := range s.step() {
			if j.Kind() != Again {
				turns[j.Account]++
			}
		}
		if turns["many"] > turns["few"]+16+2 {
			t.Fatalf("after %v", turns)
		}
	}
}

// When all kinds want places, each has its share. What one does not want the others have.
func TestShares(t *testing.T) {
	s := newSim(t, Config{Places: 64, Window: 1000})
	n := 0
	run := func(seconds int, newest bool) (most [kinds]int) {
		for range seconds * int(time.Second/simStep) {
			for range 50 {
				if newest {
					s.ask("a", fmt.Sprint(n))
				} else if j := (&Job{Key: fmt.Sprint("read ", n), Account: "a"}); s.RoomForOld("a") > 0 {
					s.live[j.Key] = j
					s.PushOld(j, "a")
				}
				n++
			}
			for j := range s.parked.all {
				s.Wake(j)
			}
			s.step()
			for k, seeking := range s.seeking {
				most[k] = max(most[k], seeking)
			}
		}
		return most
	}
	run(20, true)
	// The newest have their eighth, and every 32nd turn.
	if got := run(1, true); got[Oldest] < 35 || got[Newest] < 8 || got[Newest] > 16 || got[Again] < 14 {
		t.Errorf("places by kind %v, want some %v", got, [kinds]int{Oldest: 40, Newest: 8, Again: 16})
	}
	s.queues, s.ring = make(map[string]*queue), [kinds][]*queue{}
	run(20, false)
	if got := run(1, false); got[Newest] != 0 || got[Oldest]+got[Again] < 64 || got[Again] > 19 {
		t.Errorf("places by kind %v, without any newest", got)
	}
}

// A job that receives something or waits for a worker keeps its place, and does not count
// for the share of its kind. A job without a known answer time has the whole slice.
func TestEvict(t *testing.T) {
	s := newSim(t, Config{Places: 4, Window: 10})
	looks := map[string]Activity{
		"dead": {Answers: simAnswer}, "dials": {}, "works": {Busy: true, Got: true}, "got some": {Got: true},
	}
	for key := range looks {
		j := &Job{Key: key, Account: "a"}
		s.PushOld(j, "a")
	}
	for range looks {
		s.Next(s.now)
	}
	began := s.now
	look := func(j *Job) Activity {
		l := looks[j.Key]
		l.Since = began
		return l
	}
	evicted := func(after time.Duration) (keys []string) {
		out, _ := s.Evict(began.Add(after), math.MaxInt, look)
		for _, j := range out {
			keys = append(keys, j.Key)
		}
		return keys
	}
	if got := evicted(time.Hour); len(got) != 0 {
		t.Errorf("%v have to go, and nobody waits", got)
	}
	for n := range 5 {
		s.Push(&Job{Key: fmt.Sprint("waits ", n), Account: "b"}, "b")
	}
	if got := evicted(simAnswer - 1); len(got) != 0 {
		t.Errorf("%v have to go at once", got)
	}
	if got := evicted(simAnswer); len(got) != 1 || got[0] != "dead" {
		t.Errorf("%v have to go once those who were asked have answered", got)
	}
	if got := evicted(s.cfg.Slice); len(got) != 2 {
		t.Errorf("%v have to go after a slice, want what dials and what got some", got)
	}
	if s.seeking[Oldest] != 2 {
		t.Errorf("%d seek, want 2", s.seeking[Oldest])
	}
}

package moving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// move moves pins to a service as a command does.
func move(t *testing.T, src Source, s *service, o Options) (Report, error) {
	t.Helper()
	r, err := Run(t.Context(), src, s.client(t), o)
	unique(t, s)
	sum := 0
	for _, n := range r.Outcomes {
		sum += n
	}
	if sum != r.Listed {
		t.Errorf("of %d pins %d have an outcome: %v", r.Listed, sum, r.Outcomes)
	}
	return r, err
}

var waits = Options{Patience: time.Minute}

func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		s.lag = 5
		from := newService(30)
		from.list[3].status = "failed"
		from.put(string(from.list[5].pin), time.UnixMilli(100), "pinned") // a second request for the same

		plan, err := move(t, from.client(t), s, Options{Plan: true})
		if err != nil || s.posts > 0 {
			t.Fatal(err, s.posts)
		}
		wantOutcomes(t, plan, 31, map[Outcome]int{New: 29, Again: 1, LeftOut: 1})

		var last Progress
		r, err := move(t, from.client(t), s, Options{Patience: time.Minute, Progress: func(p Progress) { last = p }})
		if err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, r, 31, map[Outcome]int{Pinned: 29, Again: 1, LeftOut: 1})
		if last.Listed != 31 || last.Done != 31 || last.Listing {
			t.Errorf("the last progress is %+v", last)
		}
		if got := r.Reasons(); len(got) != 1 || got[0].Why != "it failed at the source" || got[0].CID != cidOf(3) {
			t.Errorf("reasons %v", got)
		}

		r, err = move(t, from.client(t), s, waits)
		if err != nil || s.posts != 29 {
			t.Fatal(err, s.posts)
		}
		wantOutcomes(t, r, 31, map[Outcome]int{Here: 29, Again: 1, LeftOut: 1})
		moved, err := all(t, s.client(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range moved {
			if !strings.HasPrefix(p.Name, "pin ") || p.Meta["n"] == "" || len(p.Origins) != 2 { // the source's delegate, and this one's
				t.Errorf("moved %v", p)
			}
		}
	})
}

// A run that ended anywhere is gone on with by the next.
func TestGoesOn(t *testing.T) {
	for after := range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := newService(0)
			s.lag = 1000
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			_, err := Run(ctx, pins{pins: somePins(20)}, s.client(t), Options{Patience: time.Minute, Progress: func(p Progress) {
				if n++; n > 3*after {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("it ended with %v", err)
			}
			s.lag = 0
			r, err := move(t, pins{pins: somePins(20)}, s, waits)
			if err != nil || unique(t, s) != 20 || r.Outcomes[Pinned]+r.Outcomes[Here] != 20 {
				t.Errorf("gone on with: %v, %v, %d pins", r, err, unique(t, s))
			}
		})
	}
}

// sources are one of each kind, with the pins numbered from 0 to n.
func sources(t *testing.T, n int) map[string]Source {
	t.Helper()
	var list, kubo, cluster strings.Builder
	for i := range n {
		fmt.Fprintln(&list, cidOf(i))
		fmt.Fprintf(&kubo, `{"Cid":%q,"Type":"recursive"}`+"\n", cidOf(i))
		fmt.Fprintf(&cluster, `{"cid":%q,"type":"pin","mode":"recursive","max_depth":-1,"name":"pin %d"}`+"\n", cidOf(i), i)
	}
	k := newNode()
	k.answers["pin/ls recursive"][0] = body(kubo.String())
	k.answers["pin/ls direct"][0] = body("")
	return map[string]Source{
		"psa": newService(n).client(t), "kubo": k.client(t), "cluster": newCluster(t, body(cluster.String())), "list": NewList(strings.NewReader(list.String())),
	}
}

// A run from each kind of source, that ended half-way, is gone on with, and a third run does nothing.
func TestEverySourceGoesOn(t *testing.T) {
	for _, kind := range []string{"psa", "kubo", "cluster", "list"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 40
				s := newService(0)
				ctx, cancel := context.WithCancel(t.Context())
				_, err := Run(ctx, sources(t, n)[kind], s.client(t), Options{Patience: time.Minute, Progress: func(Progress) {
					s.mu.Lock()
					defer s.mu.Unlock()
					if s.posts >= n/2 {
						cancel()
					}
				}})
				half := unique(t, s)
				if !errors.Is(err, context.Canceled) || half < n/2 || half == n {
					t.Fatalf("it ended with %d pins: %v", half, err)
				}
				for range 2 {
					r, err := move(t, sources(t, n)[kind], s, waits)
					if err != nil || unique(t, s) != n || r.Outcomes[Pinned]+r.Outcomes[Here] != n || s.posts != n {
						t.Errorf("gone on with: %v, %v, %d pins by %d requests", r, err, unique(t, s), s.posts)
					}
				}
			})
		})
	}
}

// Two runs at the same time, and answers that are lost, make no second copy. Lists are not lost: a run
// gives up if its very first answers are lost: see TestTargetThatNeverAnswered.
func TestNoSecondCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		posts := 0
		for range 100 { // every other post's answer is lost, behind what it did
			s.faults = append(s.faults, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				if posts++; posts%2 == 0 {
					return false
				}
				s.add(w, r)
				panic("lost")
			})
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := Run(t.Context(), pins{pins: somePins(20)}, s.client(t), waits); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if n := unique(t, s); n != 20 || posts < 20 {
			t.Errorf("there are %d pins by %d posts, want 20", n, posts)
		}
	})
}

func TestTargetRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		s.refuses = cidOf(4)
		r, err := move(t, pins{pins: somePins(10)}, s, waits)
		if err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, r, 10, map[Outcome]int{Pinned: 9, Failed: 1})
		if got := r.Reasons(); len(got) != 1 || got[0] != (Reason{Failed, "cid: not this one", 1, cidOf(4)}) {
			t.Errorf("reasons %v", got)
		}
	})
}

// What fails for every pin ends the run, and what was not asked for is counted.
func TestTargetStops(t *testing.T) {
	for _, c := range []struct {
		name  string
		is    func(*service)
		err   string
		asked int
	}{
		{"quota", func(s *service) { s.quota = 7 }, "the quota is reached", 7},
		{"disk", func(s *service) { s.faults = []func(http.ResponseWriter, *http.Request) bool{nil, nil, status(507)} }, "507", -1},
		{"token", func(s *service) { s.faults = []func(http.ResponseWriter, *http.Request) bool{nil, nil, status(401)} }, "the token is refused", -1},
		{"no id", func(s *service) { s.faults = []func(http.ResponseWriter, *http.Request) bool{nil, nil, body("{}")} }, "without the id", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(0)
				c.is(s)
				r, err := move(t, pins{pins: somePins(40)}, s, waits)
				wantErr(t, err, c.err)
				if asked := r.Outcomes[Pinned] + r.Outcomes[Waiting]; asked != len(s.list) || c.asked >= 0 && asked != c.asked || r.Outcomes[NotAsked]+asked != r.Listed {
					t.Errorf("outcomes %v, and the service has %d", r.Outcomes, len(s.list))
				}
			})
		})
	}
}

// A source that ends in the middle is an error, and what it had comes.
func TestSourceEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		r, err := move(t, pins{somePins(5), errors.New("gone")}, s, waits)
		wantErr(t, err, "list the source: gone")
		if len(s.list) != 5 || r.Outcomes[Pinned]+r.Outcomes[Waiting] != 5 {
			t.Errorf("%v, and the service has %d", r.Outcomes, len(s.list))
		}
	})
}

// A pin that was removed since an import is wanted again by the next.
func TestRemovedSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		for range 2 {
			r, err := move(t, pins{pins: somePins(3)}, s, waits)
			if err != nil || r.Outcomes[Pinned] != 3 {
				t.Fatal(r, err)
			}
			s.list = nil // the keys are still known
		}
	})
}

// A service that takes no second pin of a CID says so, which is no failure.
func TestDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		s.faults = []func(http.ResponseWriter, *http.Request) bool{nil, func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, http.StatusBadRequest, "DUPLICATE_OBJECT", "you have it already")
			return true
		}}
		r, err := move(t, pins{pins: somePins(1)}, s, waits)
		if err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, r, 1, map[Outcome]int{Here: 1})
	})
}

// What nobody has is waited for as long as asked, and no longer.
func TestPatience(t *testing.T) {
	for patience, want := range map[time.Duration]time.Duration{0: 0, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(0)
			s.lag = 1 << 30
			began := time.Now()
			r, err := move(t, pins{pins: somePins(3)}, s, Options{Patience: patience})
			if err != nil {
				t.Fatal(err)
			}
			wantOutcomes(t, r, 3, map[Outcome]int{Waiting: 3})
			if took := time.Since(began); took < want || took > want+5*time.Second {
				t.Errorf("it waited %v, want %v", took, want)
			}
			if got := r.Reasons(); len(got) != 1 || got[0].Why != "so it is" {
				t.Errorf("reasons %v", got)
			}
			// The next run knows them.
			plan, err := move(t, pins{pins: somePins(3)}, s, Options{Plan: true})
			if err != nil {
				t.Fatal(err)
			}
			wantOutcomes(t, plan, 3, map[Outcome]int{Waiting: 3})
		})
	}
}

// What cannot be pinned is left out, with the reason.
func TestLeftOut(t *testing.T) {
	s := newService(0)
	var odd []Pin
	for _, c := range []string{"", "nonsense", "/ipfs/" + cidOf(1) + "/a", "bafzaajaiaejcbzdibmxyzdjbbehgvizh6g5tikvy47mshdy6gwbruvgwvd24seje", strings.Repeat("b", 1<<20)} {
		odd = append(odd, Pin{CID: c})
	}
	r, err := move(t, pins{pins: append(odd, Pin{CID: "ipfs://" + cidOf(1) + "/"}, Pin{CID: "/ipfs/" + cidOf(2)})}, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcomes(t, r, 7, map[Outcome]int{LeftOut: 5, Pinned: 2})
	for _, one := range r.Troubles {
		if len(one.CID) > 1000 {
			t.Errorf("a CID of %d bytes is kept", len(one.CID))
		}
	}
}

// What makes two pins the same one.
func TestSame(t *testing.T) {
	const v0, v1, base16 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHsf67hvA3Nn", "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354", "f0170122059948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef"
	exact, rough := &PSA{Exact: true}, &PSA{}
	for i, c := range []struct {
		a, b                   Pin
		sameExact, sameRoughly bool
	}{
		{Pin{CID: v1}, Pin{CID: base16}, true, true},
		{Pin{CID: v1}, Pin{CID: v0 + "x"}, false, false},
		{Pin{CID: v1}, Pin{CID: v1, Name: "x"}, false, false},
		{Pin{CID: v1}, Pin{CID: v1, Meta: map[string]string{"a": "b"}}, false, true},
		{Pin{CID: v1, Meta: map[string]string{"a": "bc"}}, Pin{CID: v1, Meta: map[string]string{"ab": "c"}}, false, true},
		{Pin{CID: v1, Meta: map[string]string{"a": "b", "c": "d"}}, Pin{CID: v1, Meta: map[string]string{"c": "d", "a": "b"}}, true, true},
		{Pin{CID: v1, Origins: []string{"x"}}, Pin{CID: v1}, true, true},
	} {
		if got := exact.Same(c.a) == exact.Same(c.b); got != c.sameExact {
			t.Errorf("%d: the same exactly: %v", i, got)
		}
		if got := rough.Same(c.a) == rough.Same(c.b); got != c.sameRoughly {
			t.Errorf("%d: the same roughly: %v", i, got)
		}
	}
}

// A dialling source is told to connect before pins are asked for, and again while they wait.
func TestDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		s.lag = 1 << 30
		src := &dialling{pins: pins{pins: somePins(3)}}
		if _, err := move(t, src, s, Options{Patience: 2 * time.Minute, Addrs: []string{"here"}}); err != nil {
			t.Fatal(err)
		}
		if len(src.dialled) < 4 || src.dialled[0] != "here 0" {
			t.Errorf("dialled %q", src.dialled)
		}
		// A service says only in its answers where its nodes are.
		src = &dialling{pins: pins{pins: somePins(3)}}
		s = newService(0)
		s.lag = 1 << 30
		if _, err := move(t, src, s, Options{Patience: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if len(src.dialled) < 2 || src.dialled[0] != "/ip4/1.2.3.4/tcp/1/p2p/x 3" {
			t.Errorf("dialled %q", src.dialled)
		}
		var notes []string
		src = &dialling{pins: pins{pins: somePins(3)}, err: errors.New("no route")}
		s = newService(0)
		r, err := move(t, src, s, Options{Addrs: []string{"here"}, Note: func(n string) { notes = append(notes, n) }})
		if err != nil || r.Outcomes[Waiting]+r.Outcomes[Pinned] != 3 || len(notes) != 1 || !strings.Contains(notes[0], "no route") {
			t.Errorf("%v, %v, notes %q", r, err, notes)
		}
	})
}

type dialling struct {
	pins
	dialled []string
	listed  int
	err     error
}

func (d *dialling) Dial(_ context.Context, addrs []string) error {
	d.dialled = append(d.dialled, fmt.Sprint(strings.Join(addrs, " "), " ", d.listed))
	return d.err
}

func (d *dialling) Each(ctx context.Context, fn func(Pin) error) error {
	return d.pins.Each(ctx, func(p Pin) error {
		d.listed++
		return fn(p)
	})
}

// A report names no more pins than it has room for, and counts all.
func TestReportIsBounded(t *testing.T) {
	r := Report{Outcomes: map[Outcome]int{}}
	for range maxTroubles + 10 {
		r.add(Pin{CID: "x"}, Failed, "why")
	}
	if len(r.Troubles) != maxTroubles || r.Outcomes[Failed] != maxTroubles+10 {
		t.Errorf("%d troubles, %v", len(r.Troubles), r.Outcomes)
	}
}

// A target that never answered is given up soon: its address may be wrong. One that answered is not.
func TestTargetThatNeverAnswered(t *testing.T) {
	lost := func(http.ResponseWriter, *http.Request) bool { panic("lost") }
	for _, answers := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(0)
			s.faults = make([]func(http.ResponseWriter, *http.Request) bool, answers, 10)
			for range 4 {
				s.faults = append(s.faults, lost)
			}
			began := time.Now()
			_, err := Run(t.Context(), pins{pins: somePins(5)}, s.client(t), waits)
			if answers > 0 {
				if err != nil || s.posts == 0 {
					t.Errorf("after an answer: %v, %d requests", err, s.posts)
				}
				return
			}
			wantErr(t, err, "read what is pinned at the target")
			if took := time.Since(began); s.posts > 0 || took > 2*giveUpFirst {
				t.Errorf("it was given up after %v and %d requests", took, s.posts)
			}
		})
	}
}

// A target that cannot be read at first is asked for nothing.
func TestTargetUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(3)
		s.maxPage, s.ignores = 1, "before"
		_, err := Run(t.Context(), pins{pins: somePins(5)}, s.client(t), waits)
		wantErr(t, err, "read what is pinned at the target")
		if s.posts > 0 {
			t.Errorf("%d requests were made", s.posts)
		}
	})
}

// A target may need long to list what it has, and the outcomes are still found out.
func TestConcludesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		s.maxPage = 1
		p, err := NewPSA(Server{URL: "https://pins.example.com/psa", Token: "secret-token", Rate: 0.5, Transport: direct{s}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), pins{pins: somePins(40)}, p, waits)
		if err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, r, 40, map[Outcome]int{Pinned: 40})
	})
}

// A service gets no more origins than it may refuse, and Holdfast chooses by itself.
func TestManyOrigins(t *testing.T) {
	for exact, want := range map[bool]int{false: 20, true: 30} {
		s := newService(0)
		p := s.client(t)
		p.Exact = exact
		one := somePins(1)[0]
		for i := range 30 {
			one.Origins = append(one.Origins, fmt.Sprintf("/ip4/192.0.2.%d/tcp/4001/p2p/x", i))
		}
		if _, err := p.Add(t.Context(), one, "key"); err != nil {
			t.Fatal(err)
		}
		var sent wirePin
		if err := json.Unmarshal(s.list[0].pin, &sent); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sent.Origins, one.Origins[:want]) {
			t.Errorf("exact %v: %d origins were sent, want %d", exact, len(sent.Origins), want)
		}
	}
}

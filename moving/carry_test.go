package moving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// carriers is a source that gives CARs, and a target that takes them.
type carriers struct {
	pins
	*PSA
	s *service

	mu      sync.Mutex
	given   int
	car     func(cid string) io.Reader // nil gives the CID as the CAR
	refuses func(cid string) error     // nil takes all
	uploads []string                   // "name CID", or "- CID" without a name
}

func (c *carriers) Each(ctx context.Context, fn func(Pin) error) error { return c.pins.Each(ctx, fn) }

func (c *carriers) CAR(_ context.Context, cid string) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given++
	if c.car == nil {
		return io.NopCloser(strings.NewReader(cid)), nil
	}
	r := c.car(cid)
	if r == nil {
		return nil, &AnswerError{Status: 500, Details: "it is not here"}
	}
	return io.NopCloser(r), nil
}

func (c *carriers) Upload(_ context.Context, p Pin, named bool, car io.Reader) error {
	body, err := io.ReadAll(car)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	if string(body) != p.CID {
		return errors.New("the CAR is of something else")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuses != nil {
		if err := c.refuses(p.CID); err != nil {
			return err
		}
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	name := "-"
	if named {
		name = p.Name
		c.s.put(fmt.Sprintf(`{"cid":%q,"name":%q}`, p.CID, p.Name), lastCreated(c.s), "pinned")
	}
	for i := range c.s.list { // requests for the same DAG
		if strings.Contains(string(c.s.list[i].pin), p.CID) {
			c.s.list[i].status = "pinned"
		}
	}
	c.uploads = append(c.uploads, name+" "+p.CID)
	return nil
}

func newCarriers(t *testing.T, s *service, n int) *carriers {
	t.Helper()
	s.lag = 1 << 30 // what nobody uploads waits
	list := somePins(n)
	for i := range list {
		list[i].Meta = nil // a Kubo has none
	}
	psa := s.client(t)
	psa.Exact = true
	return &carriers{pins: pins{pins: list}, PSA: psa, s: s}
}

func (c *carriers) run(t *testing.T) (Report, error) {
	t.Helper()
	r, err := Run(t.Context(), c, c, Options{CARs: true})
	unique(t, c.s)
	return r, err
}

func TestCarry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		c := newCarriers(t, s, 20)
		add := func(i int, name, status string) {
			s.put(fmt.Sprintf(`{"cid":%q,"name":%q}`, cidOf(i), name), lastCreated(s), status)
		}
		add(3, "pin 3", "queued")   // by a run before
		add(4, "other", "pinned")   // its blocks are here
		add(5, "other", "pinning")  // they are not
		add(6, "pin 6", "pinned")   // nothing is to be done
		add(7, "pin 7", "failed")   // nobody had it
		add(100, "more", "pinning") // of no concern
		r, err := c.run(t)
		if err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, r, 20, map[Outcome]int{Pinned: 18, Here: 1, Waiting: 1}) // the fake queues 4
		if c.given != 18 {
			t.Errorf("%d CARs were read, want 18: %q", c.given, c.uploads)
		}
		for _, want := range []string{"pin 1 " + cidOf(1), "- " + cidOf(3), "- " + cidOf(5), "- " + cidOf(7)} {
			if !strings.Contains("\n"+strings.Join(c.uploads, "\n")+"\n", "\n"+want+"\n") {
				t.Errorf("%q was not uploaded: %q", want, c.uploads)
			}
		}
		before := c.given
		s.lag = 0
		r, err = c.run(t)
		if err != nil || c.given != before {
			t.Fatal(err, c.given)
		}
		wantOutcomes(t, r, 20, map[Outcome]int{Here: 20})
	})
}

// Two pins of one DAG are two, and its blocks come once.
func TestCarryOneDAGTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		c := newCarriers(t, s, 0)
		for i := range 10 {
			c.pins.pins = append(c.pins.pins, Pin{CID: cidOf(1), Name: fmt.Sprint(i)})
		}
		if r, err := c.run(t); err != nil || c.given != 1 || unique(t, s) != 10 {
			t.Errorf("%v, %v, %d CARs, %d pins", r, err, c.given, unique(t, s))
		}
	})
}

func TestCarryFaults(t *testing.T) {
	tries := 0
	for name, c := range map[string]struct {
		car     func(cid string) io.Reader
		refuses func(cid string) error
		why     string // of the pin that fails
		err     string
	}{
		"the source has it not whole": {func(cid string) io.Reader {
			if cid == cidOf(4) {
				return io.MultiReader(strings.NewReader("some"), bad{&sourceError{errors.New("block was not found locally")}})
			}
			return strings.NewReader(cid)
		}, nil, "the source does not give all of it: block was not found", ""},
		"the source has it not": {func(cid string) io.Reader {
			if cid == cidOf(4) {
				return nil
			}
			return strings.NewReader(cid)
		}, nil, "the source does not give all of it: it is not here", ""},
		"the target refuses it": {nil, func(cid string) error {
			if cid == cidOf(4) {
				return &AnswerError{Status: 451, Details: "denied"}
			}
			return nil
		}, "denied", ""},
		"the target cannot be reached for a while": {nil, func(cid string) error {
			if tries++; cid == cidOf(4) && tries < 3 {
				return errors.New("connection refused")
			}
			return nil
		}, "", ""},
		"the quota is reached": {nil, func(string) error { return &AnswerError{Status: 409, Details: "the quota is reached"} }, "", "the quota is reached"},
		"the target is gone":   {nil, func(string) error { return errors.New("connection refused") }, "connection refused", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(0)
				f := newCarriers(t, s, 60)
				f.car, f.refuses = c.car, c.refuses
				r, err := f.run(t)
				if c.err != "" {
					wantErr(t, err, c.err)
					if n := r.Outcomes[Failed]; n > carryFails+posters || n+r.Outcomes[NotAsked] != r.Listed {
						t.Errorf("outcomes %v", r.Outcomes)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if c.why == "" {
					wantOutcomes(t, r, 60, map[Outcome]int{Pinned: 60})
					return
				}
				wantOutcomes(t, r, 60, map[Outcome]int{Pinned: 59, Failed: 1})
				if got := r.Troubles[0]; got.CID != cidOf(4) || !strings.Contains(got.Why, c.why) {
					t.Errorf("failed: %v, want %q", got, c.why)
				}
			})
		})
	}
}

type bad struct{ err error }

func (b bad) Read([]byte) (int, error) { return 0, b.err }

// Only a Kubo gives CARs.
func TestCarryFromElsewhere(t *testing.T) {
	s := newService(0)
	_, err := Run(t.Context(), pins{}, s.client(t), Options{CARs: true})
	wantErr(t, err, "only from a Kubo")
}

func TestKuboCARs(t *testing.T) {
	n := newNode()
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		err    string
	}{
		"whole": {body("car"), ""},
		"cut":   {cut("ca"), "the source does not give all of it: unexpected EOF"},
		"said": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Trailer", "X-Stream-Error")
			fmt.Fprint(w, "ca")
			w.Header().Set("X-Stream-Error", "block was not found locally")
			return true
		}, "block was not found locally"},
		"refused": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(500)
			fmt.Fprint(w, `{"Message":"no such block","Code":0,"Type":"error"}`)
			return true
		}, "no such block"},
	} {
		n.answers["dag/export"] = []func(http.ResponseWriter, *http.Request) bool{c.answer}
		car, err := n.client(t).CAR(t.Context(), cidOf(1))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(car)
			car.Close()
		}
		if c.err != "" {
			wantErr(t, err, c.err)
		} else if err != nil || string(got) != "car" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

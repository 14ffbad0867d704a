package pin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// Pins wait for a place that is away for as long as that takes, and say so.
func TestPlaceIsAway(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		away := func(is bool) {
			r.net.setFault(func(method string) error {
				if is && method == "Room" {
					return &pin.AwayError{Reason: "the place does not answer"}
				}
				return nil
			})
			r.net.mu.Lock()
			r.net.away = is
			r.net.mu.Unlock()
		}
		away(true)
		r.net.set(dag(1), content{blocks: 2})
		v := r.add(alice, 1)
		v = r.after(24*time.Hour, v, pin.Pinning)
		if s := v.Info["status_details"]; s != "waiting: the place does not answer" {
			t.Errorf("the pin says %q", s)
		}
		away(false)
		r.after(15*time.Second, v, pin.Pinned)
	})
}

// A pin that wants more of the place than others is not tried whenever the place has room for those. It
// waits for as long as that takes, as it does for a place that is away.
func TestPlaceIsAwayForOnePinAlone(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		wants := func(more bool) {
			r.net.mu.Lock()
			r.net.away, r.net.alone = more, more
			r.net.mu.Unlock()
		}
		wants(true)
		r.net.set(dag(1), content{blocks: 2})
		v := r.after(time.Hour, r.add(alice, 1), pin.Pinning)
		if s := v.Info["status_details"]; s != "waiting: the place does not answer" {
			t.Errorf("the pin says %q", s)
		}
		// 6 times in the first 5 minutes, and then each 5 minutes.
		if n := len(r.logged("pin interrupted")); n > 20 {
			t.Errorf("it was tried %d times in an hour", n)
		}
		v = r.after(23*time.Hour, v, pin.Pinning)
		wants(false)
		r.after(5*time.Minute+time.Second, v, pin.Pinned)
	})
}

// What the place works on does not fail because it does not say how far it is.
func TestPlaceWorks(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		works := func(is bool) {
			r.net.mu.Lock()
			r.net.works = is
			r.net.mu.Unlock()
		}
		works(true)
		v := r.after(5*time.Hour, r.add(alice, 1), pin.Pinning)
		works(false)
		r.after(29*time.Minute, v, pin.Pinning)
		r.after(2*time.Minute, v, pin.Failed)
	})
}

func TestAdmit(t *testing.T) {
	no := &pin.InvalidError{Field: "meta.replication", Msg: "too many"}
	cfg := pin.Config{Admit: func(s pin.Spec) error {
		if s.Meta["replication"] != "" {
			return no
		}
		return nil
	}}
	run(t, cfg, func(r *rig) {
		v := r.add(alice, 1)
		spec := pintest.DAGSpec(2)
		spec.Meta = map[string]string{"replication": "9"}
		if _, err := r.Add(t.Context(), alice, spec); !errors.Is(err, no) {
			t.Errorf("it is added: %v", err)
		}
		if _, err := r.Replace(t.Context(), alice, v.ID, spec); !errors.Is(err, no) {
			t.Errorf("it replaces another: %v", err)
		}
		synctest.Wait()
		if page, err := r.List(t.Context(), alice, pin.Query{Limit: 10, Statuses: pin.Statuses()}); err != nil || page.Count != 1 {
			t.Errorf("there are %d requests, %v", page.Count, err)
		}
	})
}

// telling is a place that says where DAGs are.
type telling struct{ *network }

func (telling) Describe(_ context.Context, r pin.Request, ask bool, info map[string]string) {
	if delete(info, "queue_position"); ask {
		info["copies"] = r.Name
	}
}

func TestPlaceDescribes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recs := pintest.NewRecords(time.Now)
		m, err := pin.New(t.Context(), pin.Config{}, recs, telling{newNetwork(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		spec := pintest.DAGSpec(1)
		spec.Name = "two"
		v, err := m.Add(t.Context(), alice, spec)
		if err != nil || v.Info["copies"] != "" {
			t.Errorf("%v, %v", v.Info, err)
		}
		if v, err = m.Get(t.Context(), alice, v.ID); err != nil || v.Info["copies"] != "two" {
			t.Errorf("%v, %v", v.Info, err)
		}
		page, err := m.List(t.Context(), alice, pin.Query{Limit: 10, Statuses: pin.Statuses()})
		if err != nil || len(page.Views) != 1 || strings.Contains(page.Views[0].Info["copies"], "two") {
			t.Errorf("a list asks: %+v, %v", page, err)
		}
	})
}

func TestReplication(t *testing.T) {
	for s, want := range map[string]pin.Replication{
		"": {}, "2": {Min: 2, Max: 2}, "2-3": {Min: 2, Max: 3}, "1000": {Min: 1000, Max: 1000},
	} {
		if got, err := pin.ParseReplication(s); err != nil || got != want || got.String() != s {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "-1", "2-", "-3", "3-2", "02", "+2", " 2", "2.5", "1001", "two", "1-2-3"} {
		if got, err := pin.ParseReplication(s); err == nil {
			t.Errorf("%q is %+v", s, got)
		}
	}
	if got := (pin.Replication{Min: 1, Max: 4}).With(pin.Replication{Min: 2, Max: 2}); got != (pin.Replication{Min: 2, Max: 4}) {
		t.Errorf("both are %v", got)
	}
}

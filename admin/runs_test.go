package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// fakeStore does what a test lets it do.
type fakeStore struct {
	Store
	verify func(ctx context.Context, repair bool, watch VerifyWatch) (VerifyReport, error)
}

func (f fakeStore) Verify(ctx context.Context, repair bool, watch VerifyWatch) (VerifyReport, error) {
	return f.verify(ctx, repair, watch)
}

func (f fakeStore) Reclaim(_ context.Context, progress func(StoreProgress)) (Reclaimed, error) {
	progress(StoreProgress{Text: "unpinning"})
	return Reclaimed{}, &pin.DiskFullError{Upkeep: true}
}

// runClient calls the API over TCP as an admin.
type runClient struct {
	t     *testing.T
	e     *echo.Echo
	token string
}

func (c runClient) do(method, path, body string, want int, out any) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	c.e.ServeHTTP(w, r)
	if w.Code != want {
		c.t.Fatalf("%s %s answers %d, want %d: %s", method, path, w.Code, want, w.Body)
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c runClient) runs() []Run {
	c.t.Helper()
	var all struct{ Runs []Run }
	c.do(http.MethodGet, RunsPath, "", http.StatusOK, &all)
	return all.Runs
}

// ended waits until the newest run has ended.
func (c runClient) ended() Run {
	c.t.Helper()
	for {
		if all := c.runs(); !all[0].Running() {
			return all[0]
		}
		select {
		case <-c.t.Context().Done():
			c.t.Fatal("the run does not end")
		case <-time.After(time.Millisecond):
		}
	}
}

// A check that one admin begins goes on without a connection, and every admin sees how far it is.
func TestRunsInTheBackground(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s, token := testServer(t)
	s.Runs = NewRuns()
	defer s.Runs.Close()
	s.Store = fakeStore{verify: func(ctx context.Context, repair bool, watch VerifyWatch) (VerifyReport, error) {
		watch.Progress(StoreProgress{Text: "7 blocks", Done: 1, Total: 4})
		for range maxRunDamage + 5 {
			if err := watch.Damage(Damage{CID: "bafy", Kind: "corrupt"}); err != nil {
				return VerifyReport{}, err
			}
		}
		if repair {
			watch.Repairing("bafyroot")
		}
		close(begun)
		select {
		case <-finish:
			return VerifyReport{Blocks: 7, Corrupt: maxRunDamage + 5}, nil
		case <-ctx.Done():
			return VerifyReport{}, ctx.Err()
		}
	}}
	e := echo.New()
	s.Register(e)
	c := runClient{t, e, token}
	if got := c.runs(); len(got) != 0 {
		t.Fatalf("there are runs: %+v", got)
	}
	c.do(http.MethodPost, RunsPath, `{"kind":"paint"}`, http.StatusBadRequest, nil)

	c.do(http.MethodPost, RunsPath, `{"kind":"repair"}`, http.StatusAccepted, nil)
	<-begun
	got := c.runs()[0]
	if !got.Running() || got.Kind != RunRepair || got.By == "" || got.Progress.Done != 1 || len(got.Damage) != maxRunDamage ||
		got.MoreDamage != 5 || len(got.Repairing) != 1 {
		t.Errorf("while it runs it is %+v", got)
	}
	c.do(http.MethodPost, RunsPath, `{"kind":"verify"}`, http.StatusConflict, nil)
	// A reclaim is something else.
	c.do(http.MethodPost, RunsPath, `{"kind":"reclaim"}`, http.StatusAccepted, nil)
	if got := c.ended(); got.Failure == nil || !strings.Contains(got.Failure.Error.Details, "free") {
		t.Errorf("the reclaim ended as %+v", got)
	}
	close(finish)
	for c.runs()[1].Running() {
		time.Sleep(time.Millisecond)
	}
	if got := c.runs()[1]; got.Verified == nil || got.Verified.Blocks != 7 || got.Failure != nil {
		t.Errorf("the check ended as %+v", got)
	}
	// Some clients take no other times.
	if got := s.Runs.list()[1]; got.Began.Location() != time.UTC || got.Ended.Location() != time.UTC {
		t.Errorf("it began at %v and ended at %v", got.Began, got.Ended)
	}
}

// A run ends when an admin says so, and when the server stops.
func TestRunsAreEnded(t *testing.T) {
	s, token := testServer(t)
	s.Runs = NewRuns()
	s.Store = fakeStore{verify: func(ctx context.Context, _ bool, _ VerifyWatch) (VerifyReport, error) {
		<-ctx.Done()
		return VerifyReport{}, ctx.Err()
	}}
	e := echo.New()
	s.Register(e)
	c := runClient{t, e, token}
	for range maxRuns + 3 { // the oldest that have ended are forgotten
		var one struct{ Run Run }
		c.do(http.MethodPost, RunsPath, `{"kind":"verify"}`, http.StatusAccepted, &one)
		c.do(http.MethodDelete, RunsPath+"/"+one.Run.ID, "", http.StatusOK, nil)
		if got := c.ended(); got.ID != one.Run.ID || got.Failure == nil {
			t.Fatalf("it ended as %+v", got)
		}
	}
	if got := c.runs(); len(got) != maxRuns {
		t.Errorf("%d are kept", len(got))
	}
	c.do(http.MethodDelete, RunsPath+"/nobody", "", http.StatusNotFound, nil)
	c.do(http.MethodPost, RunsPath, `{"kind":"verify"}`, http.StatusAccepted, nil)
	s.Runs.Close()
	if got := c.ended(); got.Failure == nil {
		t.Errorf("it ended as %+v", got)
	}
}

// What a command does is a run too, and a client that hangs up ends it.
func TestCommandsAreRuns(t *testing.T) {
	s, _ := testServer(t)
	s.Runs = NewRuns()
	defer s.Runs.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	s.Store = fakeStore{verify: func(ctx context.Context, _ bool, watch VerifyWatch) (VerifyReport, error) {
		watch.Progress(StoreProgress{Text: "1 block"})
		hangUp()
		<-ctx.Done()
		return VerifyReport{}, ctx.Err()
	}}
	handler, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, verifyPath, nil)
	handler.ServeHTTP(httptest.NewRecorder(), r)
	got := s.Runs.list()
	if len(got) != 1 || got[0].Running() || got[0].By != "" || got[0].Progress.Text != "1 block" {
		t.Errorf("the runs are %+v", got)
	}
}

// What a fault was is for the log and for the operator of the host.
func TestRunsHideCauses(t *testing.T) {
	s, token := testServer(t)
	s.Runs = NewRuns()
	defer s.Runs.Close()
	s.Store = fakeStore{verify: func(context.Context, bool, VerifyWatch) (VerifyReport, error) { panic("/secret/path") }}
	e := echo.New()
	s.Register(e)
	c := runClient{t, e, token}
	c.do(http.MethodPost, RunsPath, `{"kind":"verify"}`, http.StatusAccepted, nil)
	if got := c.ended(); got.Failure == nil || strings.Contains(got.Failure.Error.Details, "secret") {
		t.Errorf("an admin reads %+v", got.Failure)
	}
	if all := (handlers{s, BySocket}).shown(s.Runs.list()); !strings.Contains(all[0].Failure.Error.Details, "secret") {
		t.Errorf("the operator reads %+v", all[0].Failure)
	}
}

// A history has an hour of samples and one of each DayStep, also when the clock is set back.
func TestHistory(t *testing.T) {
	var h History
	start := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	const steps = 3 * 24 * int(time.Hour/HourStep)
	for i := range steps {
		h.Add(Sample{Time: start.Add(time.Duration(i) * HourStep), Peers: uint64(i)})
	}
	hour, day := h.Hour(), h.Day()
	if len(hour) != hourSamples || hour[len(hour)-1].Peers != uint64(steps-1) || len(day) != daySamples {
		t.Errorf("there are %d and %d samples", len(hour), len(day))
	}
	for i := 1; i < len(day); i++ {
		if day[i].Time.Sub(day[i-1].Time) != DayStep {
			t.Fatalf("samples of the day are %v apart", day[i].Time.Sub(day[i-1].Time))
		}
	}
	h.Add(Sample{Time: start, Peers: 7})
	if day := h.Day(); day[len(day)-1].Peers != 7 {
		t.Error("nothing is kept after the clock was set back")
	}

	s, token := testServer(t)
	e := echo.New()
	s.Register(e)
	c := runClient{t, e, token}
	c.do(http.MethodGet, HistoryPath, "", http.StatusNotFound, nil) // no server runs
	s.History = &h
	var got struct{ Samples []Sample }
	c.do(http.MethodGet, HistoryPath+"?of=day", "", http.StatusOK, &got)
	if len(got.Samples) != daySamples {
		t.Errorf("the day has %d samples", len(got.Samples))
	}
	c.do(http.MethodGet, HistoryPath+"?of=year", "", http.StatusBadRequest, nil)
}

package moving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
)

// cidOf makes the CID of the i-th raw block of a test: an identity CID.
func cidOf(i int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := []byte{1, 0x55, 0, 4, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
	var out strings.Builder
	out.WriteByte('b')
	bits, n := 0, 0
	for _, c := range b {
		bits, n = bits<<8|int(c), n+8
		for n >= 5 {
			out.WriteByte(letters[bits>>(n-5)&31])
			n -= 5
		}
	}
	out.WriteByte(letters[bits<<(5-n)&31])
	return out.String()
}

// direct serves requests without a network, so that time can stand still. A handler that
// panics breaks the connection, before or within the answer.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	broke := func() (broke bool) {
		defer func() { broke = recover() != nil }()
		d.ServeHTTP(w, r)
		return false
	}()
	if err := r.Context().Err(); err != nil { // the answer comes too late
		return nil, err
	}
	if broke && w.Body.Len() == 0 {
		return nil, errors.New("connection reset")
	}
	answer := w.Result()
	if broke {
		answer.Body = io.NopCloser(io.MultiReader(answer.Body, brokenBody{}))
	}
	return answer, nil
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// service is a pinning service.
type service struct {
	mu       sync.Mutex
	list     []stored // oldest first
	keys     map[string]string
	posts    int
	made     int
	maxPage  int    // of a list
	layout   string // of created
	ignores  string // parameter of lists that the service does not know
	lag      int    // how many lists until what was added is pinned
	quota    int    // how many pins; 0 is any number
	refuses  string // a CID
	faults   []func(http.ResponseWriter, *http.Request) bool
	requests []*http.Request
}

type stored struct {
	id      string
	created time.Time
	status  string
	pin     json.RawMessage
}

func newService(n int) *service {
	s := &service{keys: map[string]string{}, maxPage: 1000, layout: "2006-01-02T15:04:05.000Z"}
	for i := range n {
		s.put(fmt.Sprintf(`{"cid":%q,"name":"pin %d","meta":{"n":"%d"}}`, cidOf(i), i, i), time.UnixMilli(int64(i)), "pinned")
	}
	return s
}

func (s *service) put(body string, created time.Time, status string) string {
	s.made++
	id := fmt.Sprintf("id-%d", s.made)
	s.list = append(s.list, stored{id, created.UTC(), status, json.RawMessage(body)})
	return id
}

// lastCreated is a time later than that of all pins.
func lastCreated(s *service) time.Time { return time.UnixMilli(int64(100_000 + len(s.list))) }

func (s *service) statusOf(one stored) string {
	return fmt.Sprintf(`{"requestid":%q,"status":%q,"created":%q,"pin":%s,"delegates":["/ip4/1.2.3.4/tcp/1/p2p/x"],"info":{"status_details":"so it is"}}`,
		one.id, one.status, one.created.Format(s.layout), one.pin)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if len(s.faults) > 0 {
		fault := s.faults[0]
		s.faults = s.faults[1:]
		if fault != nil && fault(w, r) {
			return
		}
	}
	if r.URL.Path != "/psa/pins" || r.Header.Get("Authorization") != "Bearer secret-token" {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "no such token")
		return
	}
	if r.Method == http.MethodPost {
		s.add(w, r)
		return
	}
	if s.lag--; s.lag < 0 {
		for i := range s.list {
			if s.list[i].status == "queued" {
				s.list[i].status = "pinned"
			}
		}
	}
	q := r.URL.Query()
	q.Del(s.ignores)
	limit, _ := strconv.Atoi(q.Get("limit"))
	before, _ := time.Parse(time.RFC3339Nano, q.Get("before"))
	sorted := slices.Clone(s.list)
	slices.SortStableFunc(sorted, func(a, b stored) int { return b.created.Compare(a.created) })
	var found []string
	for _, one := range sorted {
		if slices.Contains(strings.Split(q.Get("status"), ","), one.status) && (before.IsZero() || one.created.Before(before)) {
			found = append(found, s.statusOf(one))
		}
	}
	fmt.Fprintf(w, `{"count":%d,"results":[%s]}`, len(found), strings.Join(found[:min(len(found), limit, s.maxPage)], ","))
}

func (s *service) add(w http.ResponseWriter, r *http.Request) {
	s.posts++
	body, _ := io.ReadAll(r.Body)
	var p wirePin
	if json.Unmarshal(body, &p) != nil || p.CID == s.refuses {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "cid: not this one")
		return
	}
	if id, again := s.keys[r.Header.Get("Idempotency-Key")]; again {
		i := slices.IndexFunc(s.list, func(one stored) bool { return one.id == id })
		if i < 0 {
			refuse(w, http.StatusGone, "GONE", "it was removed since")
			return
		}
		fmt.Fprint(w, s.statusOf(s.list[i]))
		return
	}
	if s.quota > 0 && len(s.list) >= s.quota {
		refuse(w, http.StatusConflict, "INSUFFICIENT_FUNDS", "the quota is reached")
		return
	}
	id := s.put(string(body), time.UnixMilli(int64(1000+len(s.list))), "queued")
	s.keys[r.Header.Get("Idempotency-Key")] = id
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, s.statusOf(s.list[len(s.list)-1]))
}

func refuse(w http.ResponseWriter, status int, reason, details string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"reason":%q,"details":%q}}`, reason, details)
}

// status answers with a status and headers.
func status(code int, headers ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

// body answers with a body.
func body(content string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, content)
		return true
	}
}

// cut breaks the connection, behind some of the answer.
func cut(some string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, some)
		panic("cut")
	}
}

func (s *service) client(t *testing.T) *PSA {
	t.Helper()
	p, err := NewPSA(Server{URL: "https://pins.example.com/psa/", Token: "secret-token", Transport: direct{s}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// all lists a source.
func all(t *testing.T, s Source) (pins []Pin, err error) {
	t.Helper()
	err = s.Each(t.Context(), func(p Pin) error {
		pins = append(pins, p)
		return nil
	})
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error has a secret: %v", err)
	}
	return pins, err
}

// pins is a source that fails at its end, if it has an error.
type pins struct {
	pins []Pin
	err  error
}

func (s pins) Each(_ context.Context, fn func(Pin) error) error {
	for _, p := range s.pins {
		if err := fn(p); err != nil {
			return err
		}
	}
	return s.err
}

func somePins(n int) (all []Pin) {
	for i := range n {
		all = append(all, Pin{CID: cidOf(i), Name: fmt.Sprintf("pin %d", i), Meta: map[string]string{"n": fmt.Sprint(i)}})
	}
	return all
}

func wantErr(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got the error %v, want %q", err, text)
	}
	if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
		t.Errorf("the error would do something to a terminal: %q", err)
	}
}

func wantOutcomes(t *testing.T, r Report, listed int, want map[Outcome]int) {
	t.Helper()
	if r.Listed != listed || !maps.Equal(r.Outcomes, want) {
		t.Errorf("listed %d, outcomes %v, want %d, %v\n%v", r.Listed, r.Outcomes, listed, want, r.Troubles)
	}
}

// unique counts the pins that a service has, and fails if one is there twice.
func unique(t *testing.T, s *service) int {
	t.Helper()
	seen := map[string]bool{}
	for _, one := range s.list {
		var p wirePin
		if err := json.Unmarshal(one.pin, &p); err != nil {
			t.Fatal(err)
		}
		if seen[p.CID+p.Name] {
			t.Errorf("%s %s is there twice", p.CID, p.Name)
		}
		seen[p.CID+p.Name] = true
	}
	return len(seen)
}

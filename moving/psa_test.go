package moving

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Lists are read whole, however a service pages them.
func TestPSAPages(t *testing.T) {
	for _, c := range []struct {
		name string
		is   func(*service)
	}{
		{"as it should be", func(*service) {}},
		{"short pages", func(s *service) { s.maxPage = 7 }},
		{"a page is as long as the list", func(s *service) { s.maxPage = 50 }},
		{"one a page", func(s *service) { s.maxPage = 1 }},
		{"seconds", func(s *service) {
			s.maxPage, s.layout = 20, "2006-01-02T15:04:05Z"
			for i := range s.list {
				s.list[i].created = time.Unix(int64(i/15), int64(i%15)*1e6).UTC()
			}
		}},
		{"microseconds, written as milliseconds", func(s *service) {
			s.maxPage = 5
			for i := range s.list {
				s.list[i].created = time.UnixMicro(int64(i) * 300).UTC()
			}
		}},
		{"several at the same time", func(s *service) {
			s.maxPage = 11
			for i := range s.list {
				s.list[i].created = time.UnixMilli(int64(i / 10)).UTC()
			}
		}},
		{"a zone", func(s *service) { s.maxPage, s.layout = 9, "2006-01-02T15:04:05.000000-07:00" }},
		{"no zone", func(s *service) { s.maxPage, s.layout = 9, "2006-01-02T15:04:05.000" }},
		{"the clock was set back", func(s *service) {
			s.maxPage = 6
			for i := range s.list[25:] {
				s.list[25+i].created = time.UnixMilli(int64(i)).UTC() // again as the first 25
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(50)
			c.is(s)
			got, err := all(t, s.client(t))
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, p := range got {
				seen[p.CID] = true
			}
			if len(got) != 50 || len(seen) != 50 {
				t.Errorf("listed %d pins, %d different, want 50", len(got), len(seen))
			}
		})
	}
}

// A list that is not whole is an error, and what it had is listed.
func TestPSAShortLists(t *testing.T) {
	for _, c := range []struct {
		name   string
		is     func(*service)
		listed int
	}{
		{"the first page again", func(s *service) { s.maxPage, s.ignores = 10, "before" }, 10},
		{"more at the same time than a page has", func(s *service) {
			s.maxPage = 10
			for i := range s.list {
				s.list[i].created = time.UnixMilli(int64(i / 25)).UTC()
			}
		}, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(50)
			c.is(s)
			got, err := all(t, s.client(t))
			wantErr(t, err, fmt.Sprintf("the service has 50 pins and listed %d of them", c.listed))
			if len(got) != c.listed {
				t.Errorf("listed %d pins, want %d", len(got), c.listed)
			}
		})
	}
}

// A list is whole if what is missing was removed, or is pinned by now, since its first page was read.
// What was made since does not make it short either.
func TestPSAListsChange(t *testing.T) {
	s := newService(50)
	s.maxPage = 10
	change := func(http.ResponseWriter, *http.Request) bool {
		for i := range 5 {
			s.list[i].status = "gone"
		}
		for i := range 7 {
			s.put(fmt.Sprintf(`{"cid":%q}`, cidOf(100+i)), lastCreated(s), "pinned")
		}
		return false
	}
	s.faults = []func(http.ResponseWriter, *http.Request) bool{nil, nil, change}
	if got, err := all(t, s.client(t)); err != nil || len(got) != 45 {
		t.Errorf("listed %d pins, %v, want 45", len(got), err)
	}
}

// What services send beside the specification is read.
func TestPSAOddAnswers(t *testing.T) {
	s := newService(0)
	s.faults = append(s.faults, body(`{"count":4,"results":[
		{"requestId":"a","status":"Pinned","created":"2022-03-29T18:52:37.675+00:00","delegates":[],"more":{},
			"pin":{"cid":"`+cidOf(1)+`","_id":"a","name":null,"origins":null,"meta":{"size":12,"on":true,"text":"x"}}},
		{"requestid":"b","status":"pinned","created":"2022-03-29T18:52:36Z","delegates":null,"info":null,"pin":{"cid":"`+cidOf(2)+`","meta":[]}},
		{"requestid":"c","status":"failed","created":"2022-03-29T18:52:35Z","pin":{"cid":"`+cidOf(3)+`"}},
		{"requestid":"d","status":"searching","created":"2022-03-29T18:52:34Z","pin":{"cid":"`+cidOf(4)+`"}}]}`))
	got, err := all(t, s.client(t))
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	if m := got[0].Meta; m["size"] != "12" || m["on"] != "true" || m["text"] != "x" || got[0].LeftOut != "" {
		t.Errorf("read %v", got[0])
	}
	if len(got[1].Meta) > 0 || got[1].LeftOut != "" {
		t.Errorf("read %v", got[1])
	}
	if got[2].LeftOut != "it failed at the source" || got[3].LeftOut != "it is not pinned at the source" {
		t.Errorf("left out: %q, %q", got[2].LeftOut, got[3].LeftOut)
	}
}

// What is not pinned at the source comes only if it is asked for.
func TestPSAUnfinished(t *testing.T) {
	s := newService(2)
	s.list[0].status = "pinning"
	s.lag = 1000
	for _, unfinished := range []bool{false, true} {
		p := s.client(t)
		p.Unfinished = unfinished
		got, err := all(t, p)
		if err != nil || len(got) != 2 || (got[1].LeftOut == "") != unfinished {
			t.Errorf("unfinished %v: %v, %v", unfinished, got, err)
		}
	}
}

// Faults that pass are borne, and others are errors at once.
func TestPSAFaults(t *testing.T) {
	date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) // the service's clock is wrong
	for _, c := range []struct {
		name   string
		faults []func(http.ResponseWriter, *http.Request) bool
		err    string        // "" is none
		took   time.Duration // as long as it must take, or up to twice that
	}{
		{"429 with seconds", []func(http.ResponseWriter, *http.Request) bool{status(429, "Retry-After", "42")}, "", 42 * time.Second},
		{"429 with a time", []func(http.ResponseWriter, *http.Request) bool{
			status(429, "Retry-After", date.Add(90*time.Second).Format(http.TimeFormat), "Date", date.Format(http.TimeFormat)),
		}, "", 90 * time.Second},
		{"429 alone", []func(http.ResponseWriter, *http.Request) bool{status(429), status(429), status(429)}, "", 7 * time.Second},
		{"429 with nonsense", []func(http.ResponseWriter, *http.Request) bool{status(429, "Retry-After", "soon")}, "", time.Second},
		{"5xx", []func(http.ResponseWriter, *http.Request) bool{status(502), status(503), nil}, "", 3 * time.Second},
		{"connection lost", []func(http.ResponseWriter, *http.Request) bool{cut(""), nil}, "", time.Second},
		{"answer cut", []func(http.ResponseWriter, *http.Request) bool{cut(`{"count":3,"res`), nil}, "", time.Second},
		{"later", []func(http.ResponseWriter, *http.Request) bool{nil, cut(""), status(500), cut("")}, "", 7 * time.Second},
		{"never there", slices.Repeat([]func(http.ResponseWriter, *http.Request) bool{cut("")}, 100), "connection reset", 2 * time.Second},
		{"gone for long", append([]func(http.ResponseWriter, *http.Request) bool{nil}, slices.Repeat([]func(http.ResponseWriter, *http.Request) bool{status(503)}, 100)...),
			"503", 10 * time.Minute},
		{"token refused", []func(http.ResponseWriter, *http.Request) bool{status(401)}, "the token is refused", 0},
		{"a reason for terminals", []func(http.ResponseWriter, *http.Request) bool{func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"reason":"BAD","details":"no\u001b[31m"}}`)
			return true
		}}, `no\x1b[31m`, 0},
		{"token refused in the middle", []func(http.ResponseWriter, *http.Request) bool{nil, status(403)}, "the token is refused", 0},
		{"no API", []func(http.ResponseWriter, *http.Request) bool{status(404)}, "no such API", 0},
		{"no JSON", []func(http.ResponseWriter, *http.Request) bool{body("<html>")}, "cannot be read", 0},
		{"JSON of another kind", []func(http.ResponseWriter, *http.Request) bool{body(`{"results":{"a":1}}`)}, "cannot be read", 0},
		{"no id", []func(http.ResponseWriter, *http.Request) bool{body(`{"results":[{"status":"pinned","created":"2022-03-29T18:52:36Z"}]}`)}, "without an id", 0},
		{"no time", []func(http.ResponseWriter, *http.Request) bool{body(`{"results":[{"requestid":"a","status":"pinned","created":"yesterday"}]}`)}, "yesterday", 0},
		{"a huge answer", []func(http.ResponseWriter, *http.Request) bool{body(`{"x":"` + strings.Repeat("x", maxAnswer) + `"}`)}, "more than 64 MiB", 0},
		{"elsewhere", []func(http.ResponseWriter, *http.Request) bool{status(302, "Location", "https://evil.example.com/psa/pins")}, "sends us elsewhere", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(20)
				s.maxPage, s.faults = 8, c.faults
				began := time.Now()
				got, err := all(t, s.client(t))
				took := time.Since(began)
				if c.err != "" {
					wantErr(t, err, c.err)
				} else if err != nil || len(got) != 20 {
					t.Errorf("listed %d pins, %v", len(got), err)
				}
				if took < c.took || took > 2*c.took+time.Second {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				for _, r := range s.requests {
					if r.URL.Host != "pins.example.com" {
						t.Errorf("%s was asked", r.URL)
					}
				}
			})
		})
	}
}

// A service that says 429 is asked more slowly from then on.
func TestSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(20)
		s.maxPage = 1
		s.faults = slices.Repeat([]func(http.ResponseWriter, *http.Request) bool{status(429)}, 7)
		if _, err := all(t, s.client(t)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		n := len(s.requests)
		p := s.client(t)
		p.api.limit.SetLimit(0.5)
		if _, err := all(t, p); err != nil {
			t.Fatal(err)
		}
		asked := len(s.requests) - n
		if took := time.Since(began); took < time.Duration(asked-1)*2*time.Second {
			t.Errorf("%d requests took %v", asked, took)
		}
	})
}

// A rate that was asked for is kept to.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(30)
		s.maxPage = 1
		p, err := NewPSA(Server{URL: "https://pins.example.com/psa", Token: "secret-token", Rate: 4, Transport: direct{s}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := all(t, p); err != nil {
			t.Fatal(err)
		}
		if took, want := time.Since(began), time.Duration(len(s.requests)-1)*time.Second/4; took < want || took > want+time.Second {
			t.Errorf("%d requests took %v, want %v", len(s.requests), took, want)
		}
	})
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"pins.example.com":                 "http:// or https://",
		"ftp://pins.example.com":           "http:// or https://",
		"https://":                         "http:// or https://",
		"https://u:secret@pins.example":    "standard input",
		"https://pins.example?token=12345": "no query",
		"https://pins.example/%zz":         "not a URL",
	} {
		_, err := NewPSA(Server{URL: address})
		wantErr(t, err, want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error has a secret: %v", address, err)
		}
	}
	for _, address := range []string{"https://pins.example.com/psa", "https://pins.example.com/psa/", "https://pins.example.com/psa/pins"} {
		s := newService(1)
		p, err := NewPSA(Server{URL: address, Token: "secret-token", Transport: direct{s}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := all(t, p); err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
	for address, want := range map[string]string{
		"/ip4/127.0.0.1/tcp/5001":      "http://127.0.0.1:5001/api/v0",
		"/ip6/::1/tcp/5001":            "http://[::1]:5001/api/v0",
		"/dns4/kubo.lan/tcp/443/tls":   "https://kubo.lan:443/api/v0",
		"http://127.0.0.1:5001/":       "http://127.0.0.1:5001/api/v0",
		"http://127.0.0.1:5001/api/v0": "http://127.0.0.1:5001/api/v0",
	} {
		if k, err := NewKubo(Server{URL: address}); err != nil || k.api.base.String() != want {
			t.Errorf("%s: %v, %v", address, k, err)
		}
	}
	for _, address := range []string{"/ip4/127.0.0.1", "/unix/tmp/x", "/ip4/127.0.0.1/udp/1", "/nonsense"} {
		if _, err := NewKubo(Server{URL: address}); err == nil {
			t.Errorf("%s is an address", address)
		}
	}
}

// A token that goes over the network in the clear is worth a note.
func TestTokenInTheClear(t *testing.T) {
	for address, want := range map[string]int{"http://10.1.2.3/psa": 1, "https://10.1.2.3/psa": 0, "http://127.0.0.1:1/psa": 0, "http://[::1]:1/psa": 0} {
		var notes []string
		if _, err := NewPSA(Server{URL: address, Token: "secret", Note: func(s string) { notes = append(notes, s) }}); err != nil {
			t.Fatal(err)
		}
		if len(notes) != want || want > 0 && strings.Contains(notes[0], "secret") {
			t.Errorf("%s: notes %q, want %d", address, notes, want)
		}
	}
}

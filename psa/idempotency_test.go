package psa

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestIdempotencyKeyHeader(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, tt := range []struct {
		given []string
		want  string
		bad   string // part of what is wrong; "" is nothing
	}{
		{},
		{given: []string{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`}, want: "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{given: []string{"8e03978e-40d5-43dd-bc93-6894a57f9324"}, want: "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{given: []string{` "a b, \"c\" \\ ;" `}, want: `a b, "c" \ ;`},
		{given: []string{`"key";v=1`}, want: "key"},
		{given: []string{"KG5LxwFBepaKHyUD=="}, want: "KG5LxwFBepaKHyUD=="},
		{given: []string{"a;b:c/d?e"}, want: "a;b:c/d?e"},
		{given: []string{long}, want: long},
		{given: []string{`"` + long + `"`}, want: long},
		{given: []string{""}, bad: "is empty"},
		{given: []string{`""`}, bad: "is empty"},
		{given: []string{"  "}, bad: "is empty"},
		{given: []string{long + "k"}, bad: "has 256 characters"},
		{given: []string{"one", "two"}, bad: "2 times"},
		{given: []string{"one, two"}, bad: "in quotes"},
		{given: []string{"one two"}, bad: "in quotes"},
		{given: []string{`o"ne`}, bad: "in quotes"},
		{given: []string{"schlüssel"}, bad: "in quotes"},
		{given: []string{`"one`}, bad: "must be one string"},
		{given: []string{`"one" two`}, bad: "must be one string"},
		{given: []string{`"one", "two"`}, bad: "must be one string"},
		{given: []string{`"schlüssel"`}, bad: "must be one string"},
		{given: []string{`"\n"`}, bad: "must be one string"},
	} {
		h := http.Header{}
		for _, v := range tt.given {
			h.Add("Idempotency-Key", v)
		}
		got, err := idempotencyKey(h)
		if got != tt.want || (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%q: key %q, %v; want %q, %q", tt.given, got, err, tt.want, tt.bad)
		}
	}
}

// A client that lost its answer sends its request again, and gets the request that it made.
// Another request with the same key is refused.
func TestIdempotencyKey(t *testing.T) {
	s := newServer(t, newRecords(t, time.Now))
	post := func(path, body, key string) (r response, id string) {
		t.Helper()
		r = s.call("POST", path, body, "Idempotency-Key", key)
		var made PinStatus
		if err := json.Unmarshal([]byte(r.body), &made); err != nil {
			t.Fatal(err)
		}
		return r, made.RequestID
	}
	count := func(want string) {
		t.Helper()
		if r := s.call("GET", "/pins?status=queued", ""); !strings.HasPrefix(r.body, `{"count":`+want+`,`) {
			t.Errorf("want %s: %s", want, r.body)
		}
	}
	r, id := post("/pins", pinBody(cidV0), `"a key"`)
	if r.StatusCode != http.StatusAccepted {
		t.Fatal(r.body)
	}
	again, sameID := post("/pins", "\n"+pinBody(cidV0)+" ", `"a key"`) // white space says nothing
	if again.StatusCode != http.StatusAccepted || sameID != id {
		t.Errorf("again: %d %s", again.StatusCode, again.body)
	}
	r, _ = post("/pins", pinBody(cidV1), `"a key"`)
	r.wantFailure(t, 422, "UNPROCESSABLE_ENTITY", "another request was made with this key")
	r, _ = post("/pins/"+id, pinBody(cidV0), `"a key"`)
	r.wantFailure(t, 422, "UNPROCESSABLE_ENTITY", "another request was made with this key")
	count("1")

	// Another account has keys of its own.
	r = s.call("POST", "/pins", pinBody(cidV1), "Idempotency-Key", `"a key"`, "Authorization", "Bearer "+otherTok)
	if r.StatusCode != http.StatusAccepted {
		t.Errorf("another account: %d %s", r.StatusCode, r.body)
	}

	// A replacement that is sent again finds its old request gone, and the new one by its key.
	r, replaced := post("/pins/"+id, pinBody(cidV1), "bare")
	if r.StatusCode != http.StatusAccepted {
		t.Fatal(r.body)
	}
	if again, sameID = post("/pins/"+id, pinBody(cidV1), `"bare"`); again.StatusCode != http.StatusAccepted || sameID != replaced {
		t.Errorf("again: %d %s", again.StatusCode, again.body)
	}
	count("1")
	r, _ = post("/pins", pinBody(cidV0), `"a key"`)
	r.wantFailure(t, 410, "GONE", "removed or replaced since")
	r, _ = post("/pins", pinBody(cidV0), "")
	if r.StatusCode != http.StatusAccepted {
		t.Errorf("without a key: %d %s", r.StatusCode, r.body)
	}
	count("2")
}

// Requests that make nothing may have any key.
func TestIdempotencyKeyElsewhere(t *testing.T) {
	s := newServer(t, &stub{view: view(pin.Queued)})
	for _, method := range []string{"GET", "DELETE"} {
		if r := s.call(method, "/pins/"+someID, "", "Idempotency-Key", `"one", "two"`); r.StatusCode >= 400 {
			t.Errorf("%s: %d %s", method, r.StatusCode, r.body)
		}
	}
}

// A page may send the key.
func TestIdempotencyKeyFromABrowser(t *testing.T) {
	s := newServer(t, &stub{})
	r := s.call("OPTIONS", "/pins", "", "Origin", "https://app.example.com",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
	if got := r.Header.Get("Access-Control-Allow-Headers"); r.StatusCode != http.StatusNoContent || !strings.Contains(got, "idempotency-key") {
		t.Errorf("%d, allowed headers %q", r.StatusCode, got)
	}
}

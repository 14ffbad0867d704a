package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/psa"
)

// A list shows how much each pin has, as far as that is known.
// A list with more pins than one page holds is read to its end, each pin once.
func TestListIsReadToItsEnd(t *testing.T) {
	const all = 2500
	created := func(n int) string { return fmt.Sprintf("2026-01-01T00:00:%02d.%03dZ", n/1000, n%1000) }
	asked := 0
	a := localClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		q := r.URL.Query()
		if q.Get("status") != "queued,failed" || q.Get("limit") != "1000" || r.Header.Get(userHeader) != "a%2Bb%40example.org" {
			t.Errorf("it asks %s as %q", r.URL, r.Header.Get(userHeader))
		}
		page := psa.PinResults{Results: []psa.PinStatus{}}
		for n := all - 1; n >= 0; n-- {
			if before := q.Get("before"); before != "" && created(n) >= before {
				continue
			}
			page.Count++
			if len(page.Results) < 1000 {
				page.Results = append(page.Results, psa.PinStatus{RequestID: fmt.Sprint(n), Created: created(n)})
			}
		}
		json.NewEncoder(w).Encode(page)
	}))
	pins, err := a.Pins(t.Context(), "a+b@example.org", strings.Split("queued,failed", ","))
	if err != nil || len(pins) != all || asked != 3 {
		t.Fatalf("%d pins in %d pages (%v)", len(pins), asked, err)
	}
	for i, p := range pins {
		if p.RequestID != fmt.Sprint(all-1-i) {
			t.Fatalf("pin %d is %s", i, p.RequestID)
		}
	}
}

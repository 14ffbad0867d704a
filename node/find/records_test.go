package find

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// Records that cannot be read cost themselves: those beside them are used, whichever
// they are, the router counts as good, and the log has it once.
func TestUnreadableRecords(t *testing.T) {
	good := []peer.AddrInfo{who(1, "/ip4/192.0.2.1/tcp/1"), who(2, "/ip4/192.0.2.1/tcp/1"), who(3, "/ip4/192.0.2.1/tcp/1")}
	bad := []string{
		`{"Schema":"peer","ID":"not an ID"}`, `{"Schema":"peer","ID":7}`, `"text"`, `7`,
		`{"Schema":"peer","ID":"` + good[0].ID.String() + `","Addrs":"none"}`, `{"Schema":["peer"]}`,
	}
	for _, wrong := range bad {
		for place := range len(good) + 1 {
			for kind, form := range map[string]struct{ open, between, end string }{
				"application/json": {`{"Providers":[`, ",", `]}`}, "application/x-ndjson": {"", "\n", "\n"},
			} {
				records := []string{}
				for _, ai := range good {
					records = append(records, record(ai))
				}
				records = append(records[:place:place], append([]string{wrong}, records[place:]...)...)
				s := answer(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", kind)
					fmt.Fprint(w, form.open+strings.Join(records, form.between)+form.end)
				})
				var log bytes.Buffer
				r := router(t, RouterConfig{URL: s.URL, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				for range routerPatience + 1 {
					got := map[peer.ID]bool{}
					for ai := range r.FindProvidersAsync(t.Context(), key(1), 0) {
						got[ai.ID] = true
					}
					if len(got) != len(good) {
						t.Fatalf("%s, %s at %d: %d of %d came", kind, wrong, place, len(got), len(good))
					}
				}
				if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), s.URL) || !strings.Contains(log.String(), "records=1") {
					t.Errorf("%s, %s at %d: the log is %q", kind, wrong, place, log.String())
				}
			}
		}
	}
}

// An answer of which nothing can be read is a failure of the router.
func TestOnlyUnreadableRecords(t *testing.T) {
	for _, c := range [][2]string{
		{"application/json", `{"Providers":[{"Schema":"peer","ID":7}]}`}, {"application/json", "<html>"},
		{"application/x-ndjson", `{"Schema":"peer","ID":7}` + "\n"}, {"application/x-ndjson", "<html>"},
	} {
		kind, body := c[0], c[1]
		s := answer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, body)
		})
		var log bytes.Buffer
		r := router(t, RouterConfig{URL: s.URL, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range r.FindProvidersAsync(t.Context(), key(1), 0) {
			t.Errorf("%s: somebody came", kind)
		}
		if !strings.Contains(log.String(), "a delegated router fails") {
			t.Errorf("%s: the log is %q", kind, log.String())
		}
	}
}

// A router that does not answer delays nobody whom another names.
func TestSlowRouterDelaysNobody(t *testing.T) {
	release := make(chan struct{})
	slow := answer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	quick := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, record(who(1, "/ip4/192.0.2.1/tcp/1")))
	})
	f := New(Config{Sources: []routing.ContentDiscovery{router(t, RouterConfig{URL: slow.URL}), router(t, RouterConfig{URL: quick.URL})}})
	defer f.Close()
	defer close(release)
	found := f.FindProvidersAsync(t.Context(), key(1), 0)
	select {
	case ai := <-found:
		if ai.ID != who(1, "/ip4/192.0.2.1/tcp/1").ID {
			t.Errorf("%s came", ai.ID)
		}
	case <-time.After(30 * time.Second):
		t.Error("nobody came while the other router is silent")
	}
}

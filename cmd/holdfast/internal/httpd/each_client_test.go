package httpd

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/labstack/echo/v4"
)

func TestEachClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := echo.New()
		e.IPExtractor = echo.ExtractIPDirect()
		var answered atomic.Int32
		busy := func() int { return int(answered.Load()) }
		release := make(chan struct{})
		e.Use(EachClient(2))
		e.GET("/", func(c echo.Context) error {
			answered.Add(1)
			defer answered.Add(-1)
			<-release
			return c.NoContent(http.StatusOK)
		})
		ask := func(ctx context.Context, from string) <-chan int {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
			r.RemoteAddr = from
			status := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				e.ServeHTTP(w, r)
				status <- w.Code
			}()
			synctest.Wait()
			return status
		}
		ctx := t.Context()
		one, two, three := ask(ctx, "192.0.2.1:1"), ask(ctx, "192.0.2.1:2"), ask(ctx, "192.0.2.1:3")
		other := ask(ctx, "192.0.2.2:1")
		if busy() != 3 {
			t.Fatalf("%d are answered, want 2 of one client and 1 of another", busy())
		}
		hungUp, hangUp := context.WithCancel(ctx)
		gone := ask(hungUp, "192.0.2.1:4")
		hangUp()
		<-gone
		release <- struct{}{} // one of them, whichever
		synctest.Wait()
		if busy() != 3 && busy() != 2 {
			t.Errorf("%d are answered after one ended", busy())
		}
		late, last := ask(ctx, "192.0.2.1:5"), ask(ctx, "192.0.2.1:6")
		if got := <-last; got != http.StatusTooManyRequests { // the clock goes on as all wait
			t.Errorf("one that waits for long: %d", got)
		}
		local := make([]<-chan int, 5)
		for i := range local {
			local[i] = ask(ctx, "127.0.0.1:1")
		}
		if busy() < 7 {
			t.Errorf("%d are answered, 5 of this host", busy())
		}
		close(release)
		for _, status := range append(local, one, two, three, other) {
			if got := <-status; got != http.StatusOK {
				t.Errorf("a request with a place: %d", got)
			}
		}
		<-late
	})
}

// Who floods does not hold the connections that others need.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := echo.New()
		e.IPExtractor = echo.ExtractIPDirect()
		release := make(chan struct{})
		e.Use(EachClient(2))
		e.GET("/", func(c echo.Context) error {
			<-release
			return c.NoContent(http.StatusOK)
		})
		statuses := make(chan int, 100)
		for range 100 {
			go func() {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
				r.RemoteAddr = "192.0.2.1:1"
				w := httptest.NewRecorder()
				e.ServeHTTP(w, r)
				statuses <- w.Code
			}()
		}
		synctest.Wait()
		if got, want := len(statuses), 100-2*(1+maxWaiting); got != want {
			t.Errorf("%d are refused at once, want %d", got, want)
		}
		close(release)
		synctest.Wait()
		served := 0
		for range 100 {
			if <-statuses == http.StatusOK {
				served++
			}
		}
		if want := 2 * (1 + maxWaiting); served != want {
			t.Errorf("%d are answered, want %d", served, want)
		}
	})
}

package httpd

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
)

// When all places are taken, the slowest client loses its own to the next that comes. Quick ones do
// not, and neither do slow ones while there is room.
func TestSlowGivesWay(t *testing.T) {
	for name, c := range map[string]struct {
		slow   int // bytes a second that the second client takes; the first takes 64 KiB
		after  time.Duration
		status string
	}{
		"slow":         {4 << 10, time.Minute, "200"},
		"not for long": {4 << 10, slowAfter / 2, "429"},
		"quick":        {32 << 10, 20 * time.Second, "429"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit = 2
				places := make(chan struct{}, limit)
				e := echo.New()
				e.Use(SlowGivesWay(limit))
				e.GET("/", func(c echo.Context) error {
					select {
					case places <- struct{}{}:
						defer func() { <-places }()
					default:
						return c.NoContent(http.StatusTooManyRequests)
					}
					for range 16 {
						if _, err := c.Response().Write(longAnswer); err != nil {
							return nil
						}
					}
					return nil
				})
				s := servePipes(t, 100, e)
				var clients sync.WaitGroup
				var lost [limit]atomic.Bool
				for i, rate := range []int{64 << 10, c.slow} {
					conn := s.dial(t)
					defer conn.Close()
					if _, err := io.WriteString(conn, hello); err != nil {
						t.Fatal(err)
					}
					clients.Go(func() {
						for {
							time.Sleep(100 * time.Millisecond)
							if _, err := io.CopyN(io.Discard, conn, int64(rate/10)); err != nil {
								lost[i].Store(true)
								return
							}
						}
					})
				}
				time.Sleep(c.after)
				third := s.dial(t)
				if _, err := io.WriteString(third, hello); err != nil {
					t.Fatal(err)
				}
				head := make([]byte, len("HTTP/1.1 200"))
				if _, err := io.ReadFull(third, head); err != nil || string(head[len(head)-3:]) != c.status {
					t.Errorf("the third gets %q, %v, want %s", head, err, c.status)
				}
				time.Sleep(time.Second) // until they notice
				if first, second := lost[0].Load(), lost[1].Load(); first || second != (c.status == "200") {
					t.Errorf("the clients lost their places: %v, %v", first, second)
				}
				third.Close()
				s.close(t)
				clients.Wait()
			})
		})
	}
}

package httpd

import (
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// A client that takes less than slowRate of its answer has a slow line, or means to keep the place.
	slowRate = 16 << 10 // bytes a second
	// For so long nothing is said of how slow a client is.
	slowAfter = 10 * time.Second
	// A place that is given back is there after an instant.
	slowGone = time.Second
)

// SlowGivesWay has the request of the slowest client give way if limit requests are being answered
// and another comes: its connection is closed. Else some clients that take a few bytes now and then
// would keep all places. A client is slow if it takes less than 16 KiB a second. If none is, the other
// request goes on as the next handler has it.
func SlowGivesWay(limit int) echo.MiddlewareFunc {
	s := &slowGivesWay{limit: limit, under: make(map[*limitedConn]time.Time), left: make(chan struct{})}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			conn, ok := c.Request().Context().Value(connKey{}).(*limitedConn)
			if !ok {
				return next(c)
			}
			s.enter(c.Request(), conn)
			defer s.leave(conn)
			return next(c)
		}
	}
}

type slowGivesWay struct {
	limit int

	mu    sync.Mutex
	under map[*limitedConn]time.Time // with requests that are being answered, and since when
	left  chan struct{}              // closed when one has left
}

// enter waits for a place if a slow request gives way.
func (s *slowGivesWay) enter(r *http.Request, c *limitedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.under) >= s.limit {
		if slow := s.slowest(time.Now()); slow != nil {
			left := s.left
			s.mu.Unlock()
			slow.Conn.Close() // it is cut off: there is nobody to tell of an error
			timer := time.NewTimer(slowGone)
			select {
			case <-left:
			case <-timer.C:
			case <-r.Context().Done():
			}
			timer.Stop()
			s.mu.Lock()
		}
	}
	c.took.Store(0)
	s.under[c] = time.Now()
}

func (s *slowGivesWay) leave(c *limitedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.under, c)
	close(s.left)
	s.left = make(chan struct{})
}

// slowest gives the connection of the slowest client; nil if none is slow.
func (s *slowGivesWay) slowest(now time.Time) (slow *limitedConn) {
	least := float64(slowRate)
	for c, since := range s.under {
		if took := now.Sub(since); took >= slowAfter {
			if rate := float64(c.took.Load()) / took.Seconds(); rate < least {
				slow, least = c, rate
			}
		}
	}
	return slow
}

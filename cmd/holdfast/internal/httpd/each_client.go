package httpd

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/internal/client"
)

// placeWait is how long a request waits for one of the same client to end. A browser that opens
// a page sends dozens at once through a proxy; they are answered one after the other.
const placeWait = 20 * time.Second

// maxWaiting is how many requests of a client may wait, for each that is answered: those of a
// browser with some pages. Waiting requests hold connections, which others need too.
const maxWaiting = 3

// EachClient answers up to limit requests of a client at the same time, so that none takes
// the places of all. Up to maxWaiting times as many wait, and are told to come again if that takes
// long; further ones are told at once. Clients on this host are not limited: they are a proxy that is not in http.trusted_proxies.
func EachClient(limit int) echo.MiddlewareFunc {
	e := &eachClient{limit: limit, clients: map[string]*places{}}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ip, err := netip.ParseAddr(c.RealIP())
			if err != nil || ip.IsLoopback() {
				return next(c)
			}
			leave, ok := e.enter(c.Request(), client.Network(ip))
			if !ok {
				c.Response().Header().Set(echo.HeaderRetryAfter, "5")
				return c.String(http.StatusTooManyRequests, "this address has too many requests under way\n")
			}
			defer leave()
			return next(c)
		}
	}
}

type eachClient struct {
	limit   int
	mu      sync.Mutex
	clients map[string]*places
}

// places are those of one client.
type places struct {
	taken chan struct{}
	users int // requests that have one or wait for one
}

// enter takes a place. ok is false if there is none for long, or if the client hung up.
func (e *eachClient) enter(r *http.Request, who string) (leave func(), ok bool) {
	e.mu.Lock()
	p := e.clients[who]
	if p == nil {
		p = &places{taken: make(chan struct{}, e.limit)}
		e.clients[who] = p
	}
	if p.users >= e.limit*(1+maxWaiting) {
		e.mu.Unlock()
		return nil, false
	}
	p.users++
	e.mu.Unlock()
	done := func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(e.clients, who)
		}
	}
	timer := time.NewTimer(placeWait)
	defer timer.Stop()
	select {
	case p.taken <- struct{}{}:
		return func() { <-p.taken; done() }, true
	case <-timer.C:
	case <-r.Context().Done():
	}
	done()
	return nil, false
}

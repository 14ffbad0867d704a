package admin

import (
	"net/http"
	"sync"
	"time"
)

// silentWait is how long a command waits before it says so. A server answers within
// milliseconds, unless it is stopped or has to do something that takes long.
const silentWait = 3 * time.Second

// waitTransport says once that an answer takes long.
type waitTransport struct {
	*http.Transport
	name func() string // of the server

	mu   sync.Mutex
	say  func(text string) // may be nil
	said bool
}

// RoundTrip returns only when say does not run any more.
func (t *waitTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	done := make(chan struct{})
	timer := time.AfterFunc(silentWait, func() {
		defer close(done)
		t.sayOnce()
	})
	answer, err := t.Transport.RoundTrip(r)
	if !timer.Stop() {
		<-done
	}
	return answer, err
}

func (t *waitTransport) sayOnce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said || t.say == nil {
		return
	}
	t.said = true
	t.say("waiting for " + t.name() + " to answer")
}

// TellWaiting makes the client call say, once, if an answer of the server takes long. It
// never calls say while no request is under way.
func (c *Client) TellWaiting(say func(text string)) {
	if c.waits == nil {
		return
	}
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	c.waits.say = say
}

package admin

import (
	"net/http"
	"sync"
	"time"
)

// tellWait is how long a command waits in silence. A server answers within
// milliseconds unless it is stopped, or asked for something that takes long.
const tellWait = 3 * time.Second

// tellingTransport has somebody told, once, that an answer takes long.
type tellingTransport struct {
	*http.Transport
	who func() string // names the server

	mu   sync.Mutex
	say  func(text string) // nil tells nobody
	told bool
}

// RoundTrip returns only when nobody is being told any more.
func (t *tellingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	told := make(chan struct{})
	timer := time.AfterFunc(tellWait, func() {
		defer close(told)
		t.tell()
	})
	answer, err := t.Transport.RoundTrip(r)
	if !timer.Stop() {
		<-told
	}
	return answer, err
}

func (t *tellingTransport) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told || t.say == nil {
		return
	}
	t.told = true
	t.say("waiting for " + t.who() + " to answer")
}

// TellWaiting has say called once if an answer of the server takes long. It is
// not called while nothing is asked.
func (c *Client) TellWaiting(say func(text string)) {
	if c.waits == nil {
		return
	}
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	c.waits.say = say
}

package cluster

import (
	"time"

	"github.com/google/uuid"
)

// Life is the time since the records were made or restored, or copied from elsewhere.
type Life struct {
	Name string // none that another life had
	// Newest is when the newest request was made that the records had at the beginning; zero if
	// they had none. The records know all requests that were made until then: one that they do not
	// have was removed. Of later ones of another life they know nothing.
	Newest time.Time
}

// knowsNot reports whether a request of another life was made when the records did not hear of it.
func (l Life) knowsNot(request string) bool {
	at, ok := MadeAt(request)
	return !ok || at.After(l.Newest)
}

// KnowUntil notes that the records know all requests that were made until some time, and gives the life,
// which the caller keeps: an import has made those that they did not know.
func (e *Engine) KnowUntil(at time.Time) Life {
	l := *e.life.Load()
	if at.After(l.Newest) {
		l.Newest = at
		e.life.Store(&l)
	}
	return l
}

// MadeAt is when a request was made, by its ID. ok is false if the ID does not say it.
func MadeAt(request string) (at time.Time, ok bool) {
	u, err := uuid.Parse(request)
	if err != nil || u.Version() != 7 {
		return time.Time{}, false
	}
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC(), true
}

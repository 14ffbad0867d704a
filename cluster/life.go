package cluster

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Life is the time since the records were made or restored, or copied from elsewhere.
type Life struct {
	Name string // none that another life had
	// Newest is when the newest request was made that the records had at the beginning; zero if
	// they had none. The records know all requests that were made until then: one that they do not
	// have was removed. Of later ones of another life they know nothing.
	Newest time.Time
	// Since is from when on the records know all requests again, whatever life these were made in; zero is
	// since this life began. It is when a server was started from a copy, and found that out later.
	Since time.Time
}

// knowsNot reports whether a request of another life was made when the records did not hear of it.
func (l Life) knowsNot(request string) bool {
	at, ok := MadeAt(request)
	return !ok || at.After(l.Newest) && (l.Since.IsZero() || at.Before(l.Since))
}

// began is what the records were when the engine was made.
type began struct {
	at      time.Time
	newest  time.Time   // when the newest request was made that they ever had
	attempt pin.Attempt // the highest number that an attempt could have
}

func beginningOf(ctx context.Context, records Records) (b began, err error) {
	b.at = time.Now().Truncate(time.Millisecond) // as requests have it
	if b.newest, err = records.NewestRequest(ctx); err != nil {
		return b, err
	}
	b.attempt, err = records.LastAttempt(ctx)
	return b, err
}

// missed reports whether a request was made before the engine was, and after all that the records had
// then: they are a copy from before it was made, unless it was removed.
func (b began) missed(request string) bool {
	at, ok := MadeAt(request)
	return ok && at.After(b.newest) && at.Before(b.at)
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

package admin

import (
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Sample is how a server was at one moment.
type Sample struct {
	Time time.Time `json:"time"` // UTC

	Pinned  uint64 `json:"pinned"` // requests of all accounts
	Pinning uint64 `json:"pinning"`
	Queued  uint64 `json:"queued"`
	Failed  uint64 `json:"failed"`

	Received uint64 `json:"received"` // bytes of blocks from others, since the start
	Served   uint64 `json:"served"`   // bytes of blocks to others, since the start
	Disk     uint64 `json:"disk"`     // bytes that the database takes
	Free     uint64 `json:"free"`     // bytes on its file system
	Memory   uint64 `json:"memory"`   // bytes that the heap holds of the system
	Peers    uint64 `json:"peers"`
}

// Spans of time that a history has.
const (
	HourStep = 10 * time.Second
	DayStep  = 5 * time.Minute

	hourSamples = int(time.Hour / HourStep)
	daySamples  = int(24 * time.Hour / DayStep)
)

// History has the samples of the last hour and of the last day, in memory: some 60 KiB. Its methods may
// be called concurrently. The zero value has none. Nil has none, and takes none.
type History struct {
	mu        sync.Mutex
	hour, day ring
}

// ring has the newest samples, in the order of their times.
type ring struct{ all []Sample }

func (r *ring) add(s Sample, limit int) {
	if len(r.all) >= 2*limit {
		r.all = append(r.all[:0], r.all[len(r.all)-limit+1:]...)
	}
	r.all = append(r.all, s)
}

func (r *ring) last(limit int) []Sample {
	return append([]Sample{}, r.all[max(0, len(r.all)-limit):]...)
}

// Add takes a sample, as often as HourStep says. The clock may step back.
func (h *History) Add(s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hour.add(s, hourSamples)
	if n := len(h.day.all); n == 0 || s.Time.Sub(h.day.all[n-1].Time).Abs() >= DayStep {
		h.day.add(s, daySamples)
	}
}

// Hour gives the samples of the last hour, the oldest first.
func (h *History) Hour() []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hour.last(hourSamples)
}

// Day gives one sample in each DayStep of the last day, the oldest first.
func (h *History) Day() []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.day.last(daySamples)
}

func (h handlers) history(c echo.Context) error {
	if h.History == nil {
		return authhttp.NotFound("there is no history here: no server runs")
	}
	out := struct {
		success
		Samples []Sample `json:"samples"`
	}{success: ok}
	switch of := c.QueryParam("of"); of {
	case "", "hour":
		out.Samples = h.History.Hour()
	case "day":
		out.Samples = h.History.Day()
	default:
		return invalid("of", "must be hour or day")
	}
	return c.JSON(http.StatusOK, out)
}

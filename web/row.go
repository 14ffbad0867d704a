package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// row is a pin as pages show it.
type row struct {
	ID      string
	Name    string
	CID     string
	Status  pin.Status
	Created time.Time
	Detail  string // why it waits or failed; "" is nothing to say
	Blocks  uint64
	Bytes   uint64
	Known   bool // Blocks and Bytes are known
	Going   bool // it is removed in a moment
	Gone    bool // it is not there any more; only ID is known
	May     bool // the session may change it

	// While it is being fetched.
	Claimed   uint64 // bytes of the whole, as the root says; 0 if it does not
	Rate      uint64 // bytes a second
	Providers int
	Left      string     // "about 3 min"; "" if it is not known
	Queue     string     // its place in the queue; "" if it has none
	Announced *time.Time // when it was last told to the network; zero is not yet, nil is not known
	Damaged   bool
}

func rowOf(v pin.View, going map[string]bool) row {
	info := v.Info
	r := row{
		ID: v.ID, Name: v.Name, CID: v.CID, Status: v.Status, Created: v.Created, Detail: info["status_details"],
		Going: going[v.ID], Queue: info["queue_position"], Damaged: v.Damaged,
	}
	if s, ok := info["announced"]; ok {
		at, _ := time.Parse(time.RFC3339, s) // "not yet" is no time
		r.Announced = &at
	}
	_, r.Known = info["bytes"]
	r.Blocks, r.Bytes = parse(info["blocks"]), parse(info["bytes"])
	r.Claimed, r.Rate, r.Providers = parse(info["bytes_claimed"]), parse(info["bytes_per_second"]), int(parse(info["providers"]))
	if r.Claimed > r.Bytes && r.Rate > 0 {
		r.Left = roughly(time.Duration(float64(r.Claimed-r.Bytes) / float64(r.Rate) * float64(time.Second)))
	}
	return r
}

// parse reads a number of Info; 0 if it is not there.
func parse(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 90*time.Minute:
		return "about " + text.Counted(int((d+30*time.Second)/time.Minute), "minute")
	case d < 48*time.Hour:
		return "about " + text.Counted(int((d+30*time.Minute)/time.Hour), "hour")
	}
	return "more than two days"
}

// Title is the name, or else a word for the lack of one.
func (r row) Title() string {
	if strings.TrimSpace(r.Name) == "" {
		return "unnamed"
	}
	return r.Name
}

// Moving reports whether the pin changes by itself.
func (r row) Moving() bool { return !r.Status.Done() }

// Percent is how far it is; -1 if nobody knows.
func (r row) Percent() int {
	switch {
	case r.Status == pin.Pinned:
		return 100
	case r.Claimed == 0:
		return -1
	}
	return min(99, percent(r.Bytes, r.Claimed)) // the claim may be wrong
}

package pin

import "time"

// Match is how a name filter compares, in the words of the PSA.
type Match string

// The PSA's four text matching strategies. "" means Exact.
const (
	Exact    Match = "exact"
	IExact   Match = "iexact"
	Partial  Match = "partial"
	IPartial Match = "ipartial"
)

// Query selects requests of one account. The zero value of each field filters
// nothing, but for Statuses, of which an empty list means Pinned alone (the
// PSA's default), and Limit.
type Query struct {
	Statuses []Status
	DAGs     []DAG             // any of them
	Name     string            // compared by Match
	Match    Match             // "" is Exact
	Meta     map[string]string // all of them
	// PrintedMeta is a map as Go prints it, without map[ and ] around it: what is
	// found has metadata that is printed so, beside any other. Where a key or a value
	// ends is not to be seen in the text, so each way to read it counts. "" is any.
	PrintedMeta string
	Before      time.Time // created strictly before
	After       time.Time // created strictly after
	Limit       int       // most results; 0 counts only
}

// Page is what List gives.
type Page struct {
	Count    int       // of all that match, Before and After included
	Requests []Request // newest first, at most Limit
}

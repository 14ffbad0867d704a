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

// Query selects requests of one account. A field with its zero value filters nothing,
// except Statuses and Limit.
type Query struct {
	Statuses []Status          // any of them; empty is Pinned alone, the PSA's default
	DAGs     []DAG             // any of them
	Name     string            // compared by Match
	Match    Match             // "" is Exact
	Meta     map[string]string // all of them
	// PrintedMeta is a map as Go prints it, without map[ and ] around it. It selects
	// requests that have this metadata among theirs. The text does not show where a key
	// or a value ends, so every way to read it counts. "" is any.
	PrintedMeta string
	Before      time.Time // created strictly before
	After       time.Time // created strictly after
	Limit       int       // maximum of results; 0 only counts
}

// Page is what List returns.
type Page struct {
	Count    int       // how many match, by Before and After too
	Requests []Request // the newest of them first, at most Limit
}

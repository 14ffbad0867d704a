package web

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

const (
	// rowsOnPage is how many pins a page shows unless it is asked for another number.
	rowsOnPage = 25
	// maxTrail is how many pages back a page remembers.
	maxTrail = 64
)

// pageSizes are what a reader can choose.
var pageSizes = []int{25, 50, 100}

// filter is what the list of pins shows, as the URL of its page has it.
type filter struct {
	Status string // "" is any
	Name   string
	Exact  bool // the name is whole; else it is a part, in any case
	CID    string
	Meta   string // KEY=VALUE, several with commas
	From   string // a day, in UTC, or a time in RFC 3339
	To     string // the same; a day counts whole
	Rows   int

	before string   // the created time that the page begins below, "" for the newest pins
	trail  []string // the same of the pages before it, the newest first
}

func readFilter(q url.Values) filter {
	f := filter{
		Status: q.Get("status"), Name: q.Get("name"), Exact: q.Get("match") == "exact",
		CID: strings.TrimSpace(q.Get("cid")), Meta: strings.TrimSpace(q.Get("meta")),
		From: q.Get("from"), To: q.Get("to"), Rows: rowsOnPage, before: q.Get("before"),
	}
	if n, err := strconv.Atoi(q.Get("rows")); err == nil && slices.Contains(pageSizes, n) {
		f.Rows = n
	}
	if t := q.Get("trail"); t != "" {
		f.trail = strings.Split(t, ".")
		f.trail = f.trail[max(0, len(f.trail)-maxTrail):]
	}
	return f
}

// Active reports whether anything is filtered.
func (f filter) Active() bool {
	return f.Status != "" || f.Name != "" || f.CID != "" || f.Meta != "" || f.From != "" || f.To != ""
}

// More reports whether a filter is set that the page has under "More filters".
func (f filter) More() bool { return f.CID != "" || f.Meta != "" || f.From != "" || f.To != "" }

// values is the filter as a query, without the place in the list.
func (f filter) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"status": f.Status, "name": f.Name, "cid": f.CID, "meta": f.Meta, "from": f.From, "to": f.To,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if f.Exact {
		v.Set("match", "exact")
	}
	if f.Rows != rowsOnPage {
		v.Set("rows", strconv.Itoa(f.Rows))
	}
	return v
}

// at is the filter's page that begins below a time.
func (f filter) at(before string, trail []string) string {
	v := f.values()
	if before != "" {
		v.Set("before", before)
	}
	if len(trail) > 0 {
		v.Set("trail", strings.Join(trail, "."))
	}
	return v.Encode()
}

// Query is what leads back to this very page.
func (f filter) Query() string { return f.at(f.before, f.trail) }

// cursor writes the time of a pin for URLs, and cursorTime reads it.
func cursor(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 36) }

func cursorTime(s string) (time.Time, bool) {
	ms, err := strconv.ParseInt(s, 36, 64)
	return time.UnixMilli(ms).UTC(), err == nil && ms > 0
}

// query makes the query of the filter, all pages of it. Errors: *pin.InvalidError.
func (f filter) query() (pin.Query, error) {
	v := url.Values{"limit": {strconv.Itoa(f.Rows)}}
	if f.Status != "" {
		v.Set("status", f.Status)
	} else {
		for _, s := range pin.Statuses() {
			v.Add("status", string(s))
		}
	}
	if f.Name != "" {
		v.Set("name", f.Name)
		v.Set("match", string(pin.IPartial))
		if f.Exact {
			v.Set("match", string(pin.Exact))
		}
	}
	if f.CID != "" {
		c, err := psa.FindCID(f.CID)
		if err != nil {
			return pin.Query{}, err
		}
		v.Set("cid", c)
	}
	if f.Meta != "" {
		meta, err := readPairs(f.Meta, ",")
		if err != nil {
			return pin.Query{}, err
		}
		b, err := json.Marshal(meta)
		if err != nil {
			return pin.Query{}, &pin.InvalidError{Field: "meta", Msg: err.Error()}
		}
		v.Set("meta", string(b))
	}
	q, err := psa.ParseQuery(v.Encode())
	if err != nil {
		return pin.Query{}, err
	}
	if q.After, err = readDay("from", f.From, 0); err != nil {
		return pin.Query{}, err
	}
	if !q.After.IsZero() {
		q.After = q.After.Add(-time.Millisecond) // the bounds are exclusive
	}
	q.Before, err = readDay("to", f.To, 24*time.Hour)
	return q, err
}

// readDay reads a day or a time; a day is its beginning plus more. "" is the zero time.
func readDay(field, s string, more time.Duration) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Year() >= 1970 {
		return t.Add(more), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil && t.Year() >= 1970 {
		return t.UTC().Truncate(time.Millisecond), nil
	}
	return time.Time{}, &pin.InvalidError{Field: field, Msg: strconv.Quote(s) + " is not a day, such as 2026-01-31"}
}

// readPairs reads KEY=VALUE, several of them apart by sep. Nil is none.
// Errors: *pin.InvalidError.
func readPairs(s, sep string) (map[string]string, error) {
	var pairs map[string]string
	for item := range strings.SplitSeq(s, sep) {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" {
			return nil, &pin.InvalidError{Field: "meta", Msg: strconv.Quote(item) + " is not KEY=VALUE"}
		}
		if _, twice := pairs[key]; twice {
			return nil, &pin.InvalidError{Field: "meta", Msg: strconv.Quote(key) + " is there twice"}
		}
		if pairs == nil {
			pairs = map[string]string{}
		}
		pairs[key] = value
	}
	return pairs, nil
}

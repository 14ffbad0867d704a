package psa

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Bounds of a query, as the spec has them.
const (
	defaultLimit = 10
	maxLimit     = 1000
	maxCIDs      = 10
)

// ParseQuery reads the query string of GET /pins. It rounds Before and After to whole
// milliseconds, the precision of created, so that they select the same requests as the times
// that were sent.
// Errors: [*pin.InvalidError].
func ParseQuery(raw string) (pin.Query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return pin.Query{}, invalid("query", "cannot be read: %v", err)
	}
	p, err := sortParams(values)
	if err != nil {
		return pin.Query{}, err
	}
	q := pin.Query{Limit: defaultLimit}
	if q.DAGs, err = parseDAGs(p.plain["cid"]); err != nil {
		return pin.Query{}, err
	}
	if q.Statuses, err = parseStatuses(p.plain["status"]); err != nil {
		return pin.Query{}, err
	}
	for _, f := range []struct {
		name  string
		parse func(*pin.Query, string) error
	}{
		{"name", parseNameFilter},
		{"match", parseMatch},
		{"limit", parseLimit},
		{"before", parseBefore},
		{"after", parseAfter},
		{"meta", parseMetaFilter},
	} {
		given := p.plain[f.name]
		switch {
		case len(given) > 1:
			return pin.Query{}, invalid(f.name, "is given %d times; give it once", len(given))
		case len(given) == 0:
			continue
		case given[0] == "" && f.name != "name":
			return pin.Query{}, invalid(f.name, "is empty; leave it out to not filter by it")
		}
		if err := f.parse(&q, given[0]); err != nil {
			return pin.Query{}, err
		}
	}
	if err := addMeta(&q, p.meta); err != nil {
		return pin.Query{}, err
	}
	return q, nil
}

// items returns the values of a parameter that may be a comma list, repeated, or both. They
// keep their order, and each is there once.
func items(name string, given []string) ([]string, error) {
	var list []string
	for _, g := range given {
		for item := range strings.SplitSeq(g, ",") {
			if item == "" {
				return nil, invalid(name, "has an empty item; leave it out to not filter by it")
			}
			if !slices.Contains(list, item) {
				list = append(list, item)
			}
			// The search above takes quadratic time in a long list.
			if len(list) > maxCIDs {
				return nil, invalid(name, "has more than %d items", maxCIDs)
			}
		}
	}
	return list, nil
}

func parseDAGs(given []string) ([]pin.DAG, error) {
	list, err := items("cid", given)
	if err != nil {
		return nil, err
	}
	var dags []pin.DAG
	for _, item := range list {
		c, err := parseCID(item)
		if err != nil {
			return nil, err
		}
		if d := pin.DAGOf(c); !slices.Contains(dags, d) {
			dags = append(dags, d)
		}
	}
	return dags, nil
}

func parseStatuses(given []string) ([]pin.Status, error) {
	list, err := items("status", given)
	if err != nil {
		return nil, err
	}
	var statuses []pin.Status
	for _, item := range list {
		s := pin.Status(item)
		if !slices.Contains(pin.Statuses(), s) {
			return nil, invalid("status", "%s must be one of queued, pinning, pinned, failed", quote(item))
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

func parseNameFilter(q *pin.Query, v string) error {
	q.Name = v
	return checkName(v)
}

func parseMatch(q *pin.Query, v string) error {
	switch q.Match = pin.Match(v); q.Match {
	case pin.Exact, pin.IExact, pin.Partial, pin.IPartial:
		return nil
	}
	return invalid("match", "%s must be one of exact, iexact, partial, ipartial", quote(v))
}

func parseLimit(q *pin.Query, v string) error {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n < 1 || n > maxLimit {
		return invalid("limit", "%s must be a whole number from 1 to %d", quote(v), maxLimit)
	}
	q.Limit = int(n)
	return nil
}

func parseBefore(q *pin.Query, v string) error {
	t, finer, err := parseTime("before", v)
	if finer { // a request of that very millisecond was created before v
		t = t.Add(time.Millisecond)
	}
	q.Before = clamp(t)
	return err
}

func parseAfter(q *pin.Query, v string) error {
	t, _, err := parseTime("after", v)
	q.After = clamp(t)
	return err
}

// parseTime reads an RFC 3339 time with a fraction of any length, and returns its whole
// milliseconds. finer says that the fraction goes on.
func parseTime(field, v string) (t time.Time, finer bool, err error) {
	// A plus sign in a query string means a space. Clients forget to escape the plus of a
	// zone.
	text := strings.ToUpper(strings.ReplaceAll(v, " ", "+"))
	// Package time accepts an hour of one digit, and a comma for the point.
	shaped := len(text) > 19 && text[13] == ':' && text[16] == ':' && strings.IndexByte(".Z+-", text[19]) >= 0
	if err := t.UnmarshalText([]byte(text)); err != nil || !shaped {
		return time.Time{}, false, invalid(field, "%s must be a time such as 2020-07-27T17:32:28.276Z (RFC 3339)", quote(v))
	}
	t = t.UTC()
	if _, fraction, ok := strings.Cut(text, "."); ok {
		// By hand, because package time drops what is finer than nanoseconds.
		fraction = fraction[:strings.IndexAny(fraction, "Z+-")]
		finer = len(fraction) > 3 && strings.Trim(fraction[3:], "0") != ""
	}
	return t.Truncate(time.Millisecond), finer, nil
}

// clamp moves a time into the range that created can have and that RFC 3339 can write. So
// the year 1 does not become the zero time, which would filter nothing.
func clamp(t time.Time) time.Time {
	first := time.Unix(0, 0).UTC()
	last := time.Date(9999, time.December, 31, 23, 59, 59, 999_000_000, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

func parseMetaFilter(q *pin.Query, v string) error {
	if printed, ok := strings.CutPrefix(v, "map["); ok {
		return parsePrintedMeta(q, printed)
	}
	meta, err := stringMap([]byte(v))
	if err != nil {
		return invalid("meta", "%v", err)
	}
	q.Meta = meta
	return checkMeta(meta)
}

// parsePrintedMeta reads a map as Go prints it, map[key:value other:value], from after its
// bracket on. boxo's client sends metadata like that, up to v0.43 at least, although the spec
// wants JSON. No JSON begins with map[, so nothing that the spec allows is read differently.
func parsePrintedMeta(q *pin.Query, v string) error {
	v, ok := strings.CutSuffix(v, "]")
	switch {
	case !utf8.ValidString(v):
		return invalid("meta", "is not valid UTF-8")
	case !ok || v != "" && !strings.Contains(v, ":"):
		return invalid("meta", "is neither a JSON object nor a map as Go prints it, such as map[key:value]")
	case len(v) > pin.MaxPrintedMeta:
		return invalid("meta", "has %d bytes as a map that Go prints; the maximum is %d, and %d for a JSON object",
			len(v), pin.MaxPrintedMeta, maxMeta)
	}
	q.PrintedMeta = v
	return nil
}

package pin

import (
	"maps"
	"slices"
	"strings"
)

// MaxPrintedMeta is how long [Query.PrintedMeta] may be, in bytes: the search takes time in
// proportion to that, for each request of the account.
const MaxPrintedMeta = 2 << 10

// HasMeta reports whether a request's metadata passes the filters of the query.
func (q Query) HasMeta(meta map[string]string) bool {
	for k, v := range q.Meta {
		if have, ok := meta[k]; !ok || have != v {
			return false
		}
	}
	return q.PrintedMeta == "" || printsAs(meta, q.PrintedMeta)
}

// FiltersMeta reports whether the query has a filter by metadata.
func (q Query) FiltersMeta() bool { return len(q.Meta) > 0 || q.PrintedMeta != "" }

// printsAs reports whether the text is how Go prints some of the metadata: KEY:VALUE of
// each, in the order of the keys, with a space between two.
func printsAs(meta map[string]string, text string) bool {
	// ends are the positions in the text that some of the metadata so far can end at.
	ends := []int{0}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		item := key + ":" + meta[key]
		for _, end := range ends { // without those that the loop adds
			rest, ok := strings.CutPrefix(text[end:], item)
			if !ok {
				continue
			}
			if rest == "" {
				return true
			}
			next := len(text) - len(rest) + 1
			if rest[0] == ' ' && !slices.Contains(ends, next) {
				ends = append(ends, next)
			}
		}
	}
	return false
}

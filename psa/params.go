package psa

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// paramNames are the parameters of GET /pins, as the spec has them.
var paramNames = []string{"cid", "name", "match", "status", "before", "after", "limit", "meta"}

// params are the parameters of a query, by what they mean.
type params struct {
	plain map[string][]string // by name; cid[] and cid[0] are among those of cid
	meta  map[string]string   // meta[KEY], by KEY
}

// sortParams finds out what each parameter means. Clients write lists and maps in brackets
// too: cid[]=a, cid[0]=a, meta[key]=value. A parameter that looks like one of [paramNames]
// and is none is an error: without the filter the answer would have everything, and programs
// delete what such an answer has. Other unknown parameters are ignored.
// Errors: [*pin.InvalidError].
func sortParams(values url.Values) (params, error) {
	p := params{plain: make(map[string][]string), meta: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		given := values[name]
		base, index, bracketed := cutIndex(name)
		switch {
		case !bracketed && slices.Contains(paramNames, name):
			p.plain[name] = append(p.plain[name], given...)
		case bracketed && (base == "cid" || base == "status") && strings.Trim(index, "0123456789") == "":
			p.plain[base] = append(p.plain[base], given...)
		case bracketed && base == "meta" && index != "" && !strings.Contains(index, "]["):
			if len(given) > 1 {
				return params{}, invalid("meta", "%s is given %d times; give it once", quote(name), len(given))
			}
			if !utf8.ValidString(index) || !utf8.ValidString(given[0]) {
				return params{}, invalid("meta", "%s is not valid UTF-8", quote(name))
			}
			p.meta[index] = given[0]
		default:
			if hint := meant(name); hint != "" {
				return params{}, invalid("query", "%s is no parameter of this list: %s", quote(name), hint)
			}
		}
	}
	return p, nil
}

// cutIndex splits base[index]. ok is false if the name has no such form.
func cutIndex(name string) (base, index string, ok bool) {
	base, rest, found := strings.Cut(name, "[")
	index, closed := strings.CutSuffix(rest, "]")
	return base, index, found && closed
}

// meant says what to send in place of an unknown parameter that looks like a filter. It
// returns "" for one that does not.
func meant(name string) string {
	base, nested := name, false
	if i := strings.IndexAny(name, "[]."); i >= 0 {
		base, nested = name[:i], true
	}
	folded := strings.ToLower(strings.TrimSpace(base))
	switch folded {
	case "requestid", "requestids":
		return "GET /pins/REQUESTID answers with one pin"
	case "metadata":
		folded = "meta"
	}
	for _, known := range paramNames {
		if folded != known && folded != known+"s" && folded != known+"es" {
			continue
		}
		switch known {
		case "cid", "status":
			return "use " + known + ", with a comma between values or once for each"
		case "meta":
			return `use meta={"KEY":"VALUE"} or meta[KEY]=VALUE`
		}
		return "use " + known
	}
	if nested && strings.ContainsAny(name, "[]") {
		return "filters are " + strings.Join(paramNames, ", ") + ", and only cid, status and meta may have brackets"
	}
	return ""
}

// addMeta adds the pairs of meta[KEY]=VALUE to a query that may have some from meta.
// Errors: [*pin.InvalidError].
func addMeta(q *pin.Query, pairs map[string]string) error {
	if len(pairs) == 0 {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		if _, twice := q.Meta[key]; twice {
			return invalid("meta", "%s is given twice; give it once", quote(key))
		}
	}
	maps.Copy(pairs, q.Meta)
	q.Meta = pairs
	return checkMeta(pairs)
}

package jsonblock

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	long := `"` + strings.Repeat("a", maxLink+1) + `"`
	short := `"` + strings.Repeat("a", maxLink) + `"`
	dag, plain := Limits{Links: true}, Limits{}
	for _, c := range []struct {
		json   string
		limits Limits
		want   string // in the error; "" if there is none
	}{
		{`{"/":` + long + `}`, dag, "too long to be a CID"},
		{" [ 1, {\"x\" : [ null, { \"/\" \n: " + long + " } ] } ]", dag, "too long to be a CID"},
		{`{"\u002f":` + long + `}`, dag, "too long to be a CID"},
		{`{"/":{"/":` + long + `}}`, dag, "too long to be a CID"},
		{`{"a":{"/":` + long + `} and what is not JSON`, dag, "too long to be a CID"},
		{`{"/":` + short + `}`, dag, ""},
		{`{"/":` + long + `}`, plain, ""},
		{`{"/":{"bytes":` + long + `}}`, dag, ""},
		{`{"/":` + long + `,"more":1}`, dag, ""},
		{`{"x":"/",` + long + `:1}`, dag, ""},
		{`{"x":` + long + `}`, dag, ""},
		{`["/",` + long + `]`, dag, ""},
		{`{"/":[` + long + `]}`, dag, ""},
		{long, dag, ""},
		{`{"/":`, dag, ""},
		{``, dag, ""},
		{strings.Repeat("[", maxDepth+1) + `{"/":` + long + `}`, dag, ""}, // no decoder goes so deep
		{`{"a":[1,2]}`, Limits{Tokens: 7}, ""},
		{`{"a":[1,2]}`, Limits{Tokens: 6}, "more than 6 tokens"},
		{`[[[[`, Limits{Tokens: 3}, "more than 3 tokens"},
	} {
		err := Check([]byte(c.json), c.limits)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v; want %q", c.json, err, c.want)
		}
	}
}

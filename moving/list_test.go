package moving

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestLists(t *testing.T) {
	a, b := cidOf(1), cidOf(2)
	both := []Pin{{CID: a}, {CID: b}}
	named := []Pin{{CID: a, Name: "one, \"1\""}, {CID: b, Name: "two", Meta: map[string]string{"k": "v", "K x": "w"}, Origins: []string{"/ip4/1.2.3.4/tcp/1/p2p/x", "/ip4/1.2.3.4/udp/1/p2p/x"}}}
	full, err := json.Marshal(named)
	if err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(named, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	lines := func(of []Pin) (s string) {
		for _, p := range of {
			b, _ := json.Marshal(p)
			s += string(b) + "\n"
		}
		return s
	}
	for name, c := range map[string]struct {
		text string
		want []Pin
	}{
		"nothing":         {"", nil},
		"empty lines":     {" \n\n\t\n", nil},
		"lines":           {a + "\n" + b + "\n", both},
		"lines, Windows":  {"\ufeff" + a + "\r\n" + b, both},
		"lines, comments": {"# all\n\n  " + a + "\n#" + a + "\n/ipfs/" + b + "\n", both},
		"CSV of CIDs":     {"cid\n" + a + "\n" + b + "\n", both},
		"CSV":             {"name,CID,origins,meta.k,meta.K x\n\"one, \"\"1\"\"\"," + a + ",,,\ntwo," + b + ",/ip4/1.2.3.4/tcp/1/p2p/x /ip4/1.2.3.4/udp/1/p2p/x,v,w\n", named},
		"CSV, with a BOM": {"\ufeffcid, name\r\n" + a + ", \"one, \"\"1\"\"\"\r\n", named[:1]},
		"JSON":            {string(full), named},
		"JSON, indented":  {string(indented), named},
		"JSON lines":      {lines(named), named},
		"an empty array":  {"[]", nil},
		"null members":    {`[{"cid":"` + a + `","name":null,"meta":null,"origins":null}]`, both[:1]},
		"pin ls --json":   {`[{"requestid":"x","status":"pinned","created":"2026-01-01T00:00:00.000Z","pin":` + strings.TrimSpace(lines(named[:1])) + `,"info":{"blocks":"1"},"account":{"id":"i"}}]`, named[:1]},
		"a page of a PSA": {`{"count":2,"results":[{"requestid":"x","status":"pinned","pin":{"cid":"` + a + `"},"delegates":[]},{"pin":{"cid":"` + b + `"}}]}`, both},
		"pages":           {`{"count":1,"results":[{"pin":{"cid":"` + a + `"}}]}` + "\n" + `{"count":1,"results":[{"pin":{"cid":"` + b + `"}}]}`, both},
		"Kubo":            {`{"Keys":{"` + a + `":{"Type":"recursive","Name":""},"` + b + `":{"Type":"direct","Name":""}}}`, both},
		"Kubo, none":      {`{"Keys":null}`, nil},
		"Kubo, a stream":  {`{"Cid":"` + a + `","Type":"recursive"}` + "\n" + `{"Cid":"` + b + `","Type":"direct"}` + "\n", both},
		"an empty object": {`{"results":[]}`, nil},
		"numbers in meta": {`[{"cid":"` + a + `","meta":{"n":1}}]`, []Pin{{CID: a, Meta: map[string]string{"n": "1"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := all(t, NewList(strings.NewReader(c.text)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, c.want, same) {
				t.Errorf("read %q, want %q", got, c.want)
			}
		})
	}
}

func same(a, b Pin) bool {
	return a.CID == b.CID && a.Name == b.Name && a.LeftOut == b.LeftOut && maps.Equal(a.Meta, b.Meta) && slices.Equal(a.Origins, b.Origins)
}

// An entry that is no pin is left out, and the others come.
func TestListsWithOddEntries(t *testing.T) {
	a, b := cidOf(1), cidOf(2)
	for name, c := range map[string]struct{ text, why string }{
		"lines":          {a + "\nnonsense\n" + b, "line 2: it is not a CID"},
		"more in a line": {a + "\n" + a + " recursive name\n" + b, "line 2: the line has more than a CID"},
		"a path":         {a + "\n/ipfs/" + a + "/x\n" + b, "line 2: it is a path"},
		"CSV":            {"cid,name\n" + a + ",\"a\nb\"\n,x\n" + b + ",\n", "line 4: it is not a CID"},
		"JSON":           {`[{"cid":"` + a + `"},{"cid":"nonsense"},{"cid":"` + b + `"}]`, "entry 2: it is not a CID"},
		"no cid":         {`[{"cid":"` + a + `"},{"name":"x"},{"cid":"` + b + `"}]`, "it has no cid"},
		"a number":       {`[{"cid":"` + a + `"},7,{"cid":"` + b + `"}]`, "it is 7, and no pin"},
		"indirect":       {`{"Keys":{"` + a + `":{"Type":"recursive"},"` + dirCID + `":{"Type":"indirect through x"},"` + b + `":{"Type":"direct"}}}`, "it comes with its root"},
		"direct":         {`{"Keys":{"` + a + `":{"Type":"recursive"},"` + dirCID + `":{"Type":"direct"},"` + b + `":{"Type":"direct"}}}`, directOnly},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := all(t, NewList(strings.NewReader(c.text)))
			if err != nil || len(got) != 3 {
				t.Fatal(got, err)
			}
			if !strings.Contains(got[1].LeftOut, c.why) || got[0].LeftOut+got[2].LeftOut != "" {
				t.Errorf("left out %q, %q, %q, want %q for the second", got[0].LeftOut, got[1].LeftOut, got[2].LeftOut, c.why)
			}
		})
	}
}

// A list in a form that is broken is an error, behind what it had before.
func TestBrokenLists(t *testing.T) {
	a := cidOf(1)
	for name, c := range map[string]struct {
		text   string
		err    string
		listed int
	}{
		"JSON that ends early":  {`[{"cid":"` + a + `"},{"cid":"`, "unexpected EOF", 1},
		"an array that does":    {`[{"cid":"` + a + `"}`, "unexpected EOF", 1},
		"an object that does":   {`{"results":[{"pin":{"cid":"` + a + `"}}`, "unexpected EOF", 1},
		"no JSON":               {`[{"cid":"` + a + `"}, nonsense]`, "invalid character", 1},
		"a name that is none":   {`[{"cid":"` + a + `","name":{}}]`, "cannot unmarshal", 0},
		"keys that are none":    {`{"Keys":[]}`, "keys is no object", 0},
		"too deep":              {strings.Repeat("[", 100_000), "too deep", 0},
		"too deep, in objects":  {strings.Repeat(`{"pins":`, 100_000), "too deep", 0},
		"a huge entry":          {`[{"cid":"` + a + `"},{"x":"` + strings.Repeat("x", 5<<20) + `"}]`, "more than 1024 KiB", 1},
		"an unknown column":     {"cid,size\n" + a + ",1\n", `column "size" is not known`, 0},
		"rows that are shorter": {"cid,name\n" + a + ",x\n" + a + "\n", "wrong number of fields", 1},
		"a quote without end":   {"cid,name\n" + a + ",x\n" + a + ",\"x", "quote", 1},
		"a huge field":          {"cid,name\n" + a + ",x\n" + a + ",\"" + strings.Repeat("x", 5<<20) + "\"\n", "more than 1024 KiB", 1},
		"a huge line":           {a + "\n" + strings.Repeat("x", 5<<20), "line 2 has more than 1024 KiB", 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := all(t, NewList(strings.NewReader(c.text)))
			wantErr(t, err, c.err)
			if len(got) != c.listed {
				t.Errorf("listed %d, want %d", len(got), c.listed)
			}
		})
	}
	_, err := all(t, NewList(io.MultiReader(strings.NewReader(a+"\n"), failing{})))
	wantErr(t, err, "read the list: bad disk")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("bad disk") }

// Whatever a list has in it, it is read to an end, and what is listed as good is a CID.
func FuzzList(f *testing.F) {
	for _, s := range []string{"", cidOf(1), "cid,name\n" + cidOf(1) + ",x", `[{"cid":"` + cidOf(1) + `","meta":{"a":1}}]`, `{"Keys":{"` + cidOf(1) + `":{"Type":"direct"}}}`, `{"results":[{"pin":null}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		_ = NewList(strings.NewReader(s)).Each(t.Context(), func(p Pin) error { // broken lists are errors
			if n++; n > len(s)+1 {
				return fmt.Errorf("%d entries in %d bytes", n, len(s))
			}
			if p = p.checked(); p.LeftOut == "" && p.checked().CID != p.CID {
				t.Errorf("%q is not a CID alone", p.CID)
			}
			return nil
		})
	})
}

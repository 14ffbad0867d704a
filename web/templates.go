package web

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are the pages by file name. Each is the layout and the parts, with its own "main".
type templates struct{ pages map[string]*template.Template }

func parseTemplates() (*templates, error) {
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	files, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	all := &templates{map[string]*template.Template{}}
	for _, f := range files {
		t, err := shared.Clone()
		if err == nil {
			t, err = t.ParseFS(templateFiles, "templates/"+f.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("read the template %s: %w", f.Name(), err)
		}
		all.pages[f.Name()] = t
	}
	return all, nil
}

func (t *templates) execute(w io.Writer, name, define string, data any) error {
	p, ok := t.pages[name]
	if !ok {
		return fmt.Errorf("there is no template %q", name)
	}
	if err := p.ExecuteTemplate(w, define, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return nil
}

// functions are what templates may call.
var functions = template.FuncMap{
	"asset":   assetURL,
	"size":    func(n any) string { return text.RoughSize(number(n)) },
	"count":   func(n any) string { return humanize.Comma(int64(number(n))) },
	"plural":  func(n any, what string) string { return plural(int(number(n)), what) },
	"when":    when,
	"cutCID":  cutCID,
	"field":   makeField,
	"join":    path.Join,
	"escape":  url.PathEscape,
	"percent": percent,
	"rough":   roughly,
	// The hint of a field in which somebody chooses a password.
	"passwordHint": func() string { return "hint=" + auth.PasswordRule() + "." },
	"map":          makeMap,
}

// makeMap makes a map of pairs, for a part that needs several values.
func makeMap(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("map needs pairs, and got %d values", len(pairs))
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("map needs names, and got %v", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// number reads the numbers that templates have.
func number(n any) uint64 {
	switch n := n.(type) {
	case int:
		return uint64(max(n, 0))
	case int64:
		return uint64(max(n, 0))
	case uint64:
		return n
	}
	return 0
}

// plural is a number of things with commas: "1 pin", "12,345 pins".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "s"
}

// percent is how much part is of whole, from 0 to 100.
func percent(part, whole any) int {
	p, w := number(part), number(whole)
	if w == 0 {
		return 0
	}
	return int(min(100, float64(p)/float64(w)*100))
}

// moment is a time for the part "time": for machines, and for people who have no script.
type moment struct{ Machine, Exact, Text string }

// when describes a time. The script writes it anew in the reader's zone.
func when(at any) moment {
	t, ok := at.(time.Time)
	if p, isPointer := at.(*time.Time); isPointer && p != nil {
		t, ok = *p, true
	}
	if !ok || t.IsZero() {
		return moment{}
	}
	t = t.UTC()
	return moment{t.Format(time.RFC3339Nano), t.Format("2006-01-02 15:04:05.000 UTC"), t.Format("2006-01-02 15:04 UTC")}
}

// cut is a CID in three parts, of which the middle one is not seen and is copied.
type cut struct{ Whole, Head, Middle, Tail string }

// cutCID cuts a CID where neither its form nor what tells it from others is lost.
func cutCID(cid string) cut {
	const head, tail = 10, 6
	if len(cid) <= head+tail+3 {
		return cut{Whole: cid, Head: cid}
	}
	return cut{cid, cid[:head], cid[head : len(cid)-tail], cid[len(cid)-tail:]}
}

// formField is a field of a form for the part "input".
type formField struct {
	ID, Name, Label, Type, Value, Hint, More string
	Required                                 bool
}

// makeField makes a field. attrs are of: "required"; "hint=TEXT"; "auto=TOKEN" for
// autocomplete; "name=NAME" if that is not the id.
func makeField(id, label, kind, value string, attrs ...string) (formField, error) {
	f := formField{ID: id, Name: id, Label: label, Type: kind, Value: value}
	for _, a := range attrs {
		name, v, _ := strings.Cut(a, "=")
		switch name {
		case "required":
			f.Required = true
		case "hint":
			f.Hint = v
		case "name":
			f.Name = v
		case "auto":
			f.More = v
		default:
			return f, fmt.Errorf("the field %s has the unknown attribute %s", strconv.Quote(id), strconv.Quote(a))
		}
	}
	return f, nil
}

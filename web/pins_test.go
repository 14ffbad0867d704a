package web

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestPinsAreListed(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	b.get("/ui/pins").must(t, http.StatusOK, "Nothing is pinned yet")
	r.pin(ben, someCID, "thesis")
	r.pin(ben, otherCID, "photos")
	r.pin(anna, otherCID, "not of ben")
	a := b.get("/ui/pins").must(t, http.StatusOK, "thesis", "photos", "1–2 of 2")
	if strings.Contains(a.body, "not of ben") {
		t.Error("the list has a pin of another account")
	}
	if strings.Index(a.body, "photos") > strings.Index(a.body, "thesis") {
		t.Error("the newest is not first")
	}
	for query, want := range map[string]struct{ has, not string }{
		"name=PHO":                            {"photos", "thesis"},
		"name=pho&match=exact":                {"No pin matches", "thesis"},
		"name=photos&match=exact":             {"photos", "thesis"},
		"status=queued":                       {"photos", "nothing"},
		"status=failed":                       {"No pin matches", "photos"},
		"cid=" + someCID:                      {"thesis", "photos"},
		"cid=ipfs://" + someCID:               {"thesis", "photos"},
		"cid=https://ipfs.io/ipfs/" + someCID: {"thesis", "photos"},
		"meta=a%3Db":                          {"No pin matches", "photos"},
		"from=2000-01-01":                     {"photos", "nothing"},
		"to=2000-01-01":                       {"No pin matches", "photos"},
	} {
		a := b.get("/ui/pins?"+query).must(t, http.StatusOK, want.has)
		if strings.Contains(a.body, ">"+want.not+"<") {
			t.Errorf("%s: the list has %q", query, want.not)
		}
	}
	for query, want := range map[string]string{
		"cid=nothing": "is not a CID", "meta=x": "is not KEY=VALUE", "from=yesterday": "is not a day", "status=lost": "must be one of",
		"cid=/ipns/example.com": "with a name",
	} {
		b.get("/ui/pins?"+query).must(t, http.StatusBadRequest, want)
	}
}

// Pages of the list go down and up again, by the index.
func TestPaging(t *testing.T) {
	r := newRig(t)
	for i := range 60 {
		r.pin(ben, someCID, fmt.Sprintf("pin %02d.", i))
	}
	b := r.as(ben)
	link := func(a answer, name string) string {
		m := regexp.MustCompile(`href="([^"]+)"[^>]*>` + name + `<`).FindStringSubmatch(a.body)
		if m == nil {
			return ""
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	first := b.get("/ui/pins").must(t, http.StatusOK, "1–25 of 60", "pin 59.", "pin 35.")
	if link(first, "Newer") != "" {
		t.Error("the first page has newer ones")
	}
	second := b.get(link(first, "Older")).must(t, http.StatusOK, "26–50 of 60", "pin 34.", "pin 10.")
	third := b.get(link(second, "Older")).must(t, http.StatusOK, "51–60 of 60", "pin 09.", "pin 00.")
	if link(third, "Older") != "" {
		t.Error("the last page has older ones")
	}
	b.get(link(third, "Newer")).must(t, http.StatusOK, "26–50 of 60")
	b.get(link(third, "Newest")).must(t, http.StatusOK, "1–25 of 60")
	part := b.get(link(first, "Older"), "HX-Request", "true").must(t, http.StatusOK, "26–50 of 60")
	if strings.Contains(part.body, "<html") || part.header.Get("HX-Push-Url") == "" {
		t.Errorf("htmx gets a whole page, or no address: %v", part.header)
	}
	b.get("/ui/pins?rows=50").must(t, http.StatusOK, "1–50 of 60")
	b.get("/ui/pins?before=1").must(t, http.StatusOK, "nothing further down")
}

// Names, metadata and reasons are text, whatever they look like.
func TestMarkupIsText(t *testing.T) {
	r := newRig(t)
	const evil = `<img src=x onerror=alert(1)>"'</td><script>alert(2)</script>`
	r.pin(ben, someCID, evil)
	r.pins.set(func(v *pin.View) { v.Info = map[string]string{"status_details": evil} }, nil)
	b := r.as(ben)
	a := b.get("/ui/pins").must(t, http.StatusOK, "&lt;img src=x")
	for _, bad := range []string{"<img src=x", "<script>alert"} {
		if strings.Contains(a.body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

// A session that may only look sees what there is, and no way to change it.
func TestViewer(t *testing.T) {
	r := newRig(t)
	r.pin(ben, someCID, "thesis")
	_, raw, err := r.auth.AddDevice(t.Context(), r.ids[ben], auth.NewDevice{Name: "viewer", Scope: auth.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	a := r.withToken(raw).get("/ui/pins").must(t, http.StatusOK, "thesis")
	for _, bad := range []string{`type="checkbox"`, "Remove", "Add a pin"} {
		if strings.Contains(a.body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

// A fault is logged once, and the page says under which id.
func TestFaultsAreTold(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	r.pins.set(nil, errCheese)
	a := b.get("/ui/pins")
	id := a.header.Get("X-Request-Id")
	a.must(t, http.StatusInternalServerError, id, "something went wrong")
	if id == "" || strings.Count(r.lines.String(), errCheese.Error()) != 1 || strings.Contains(a.body, "cheese") {
		t.Errorf("id %q, and the log has\n%s", id, r.lines)
	}
}

// events reads a stream until each of the texts has come.
func (b *browser) events(path string, texts ...string) {
	b.t.Helper()
	stream := b.open(path)
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	for len(texts) > 0 && lines.Scan() {
		if strings.Contains(lines.Text(), texts[0]) {
			texts = texts[1:]
		}
	}
	if len(texts) > 0 {
		b.t.Fatalf("the stream ended before %q: %v", texts, lines.Err())
	}
}

// open opens a stream. The caller closes it.
func (b *browser) open(path string) io.ReadCloser {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.rig.server.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		res.Body.Close()
		b.t.Fatalf("the stream answers %d %v", res.StatusCode, res.Header)
	}
	return res.Body
}

// What moves on a page is pushed to it.
func TestLivePage(t *testing.T) {
	r := newRig(t)
	v := r.pin(ben, someCID, "thesis")
	r.pins.set(func(v *pin.View) {
		v.Status = pin.Pinning
		v.Info = map[string]string{
			"bytes": "1048576", "blocks": "4", "bytes_claimed": "2097152", "bytes_per_second": "524288", "providers": "2",
			"status_details": "all is well",
		}
	}, nil)
	page := r.as(ben).get("/ui/pins")
	live := regexp.MustCompile(`data-live="([^"]+)"`).FindStringSubmatch(page.body)
	if live == nil {
		t.Fatalf("the page has no stream:\n%s", page.body)
	}
	b := r.as(ben)
	b.events(strings.ReplaceAll(live[1], "&amp;", "&"),
		"event: element", `id="state-`+v.ID, `value="50"`, "1.0 MiB of 2.0 MiB", "all is well", "event: newer", "data: 0")
	// What was added since the page was made is counted, and what was removed is told.
	r.pin(ben, otherCID, "new")
	b.events(strings.ReplaceAll(live[1], "&amp;", "&"), "event: newer", "data: 1")
	for range rowsOnPage {
		r.pin(ben, otherCID, "another")
	}
	b.events(strings.ReplaceAll(live[1], "&amp;", "&"), "event: newer", fmt.Sprintf("data: %d", 1+rowsOnPage))
}

// A name cannot end a line of a stream of events: what follows would be an event of its own.
func TestLivePageOfHostileNames(t *testing.T) {
	r := newRig(t)
	v := r.pin(ben, someCID, "a\rdata: b\r\revent: over\rdata: sign in elsewhere")
	r.pins.set(func(v *pin.View) { v.Status = pin.Pinning }, nil)
	b := r.as(ben)
	for _, path := range []string{"/ui/pins/live", "/ui/pins/" + v.ID + "/live"} {
		stream := b.open(path)
		defer stream.Close()
		lines := bufio.NewScanner(stream)
		named := false
		for !named && lines.Scan() {
			named = strings.Contains(lines.Text(), "sign in elsewhere")
			if strings.Contains(lines.Text(), "\r") || named && !strings.HasPrefix(lines.Text(), "data: ") {
				t.Errorf("%s has the line %q", path, lines.Text())
			}
		}
		if !named {
			t.Errorf("%s does not have the name: %v", path, lines.Err())
		}
	}
}

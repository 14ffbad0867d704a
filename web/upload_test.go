package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// sentPart is a part of a form that is sent.
type sentPart struct{ name, file, content string }

// send sends a form with files, as a browser does.
func (b *browser) send(parts []sentPart, header ...string) answer {
	b.t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"`, p.name))
		if p.file != "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s"`, p.name, p.file))
			h.Set("Content-Type", "text/html")
		}
		to, err := w.CreatePart(h)
		if err == nil {
			_, err = io.WriteString(to, p.content)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.rig.server.URL+"/ui/upload", &buf)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

func TestUpload(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	// A browser without script sends names as they are.
	a := b.send([]sentPart{
		{"name", "", ""}, {"file", "notes 100%+x.txt", "some notes"}, {"folder", "", ""},
	}).must(t, http.StatusSeeOther)
	b.get(a.to()).must(t, http.StatusOK, "notes 100%&#43;x.txt", "pinned", "It is uploaded and pinned", "Download")
	b.get(strings.TrimPrefix(a.to(), r.server.URL)+"/preview").must(t, http.StatusOK, "some notes")

	// The script sends paths.
	a = b.send([]sentPart{
		{"name", "", "my <site>"},
		{"path", url.PathEscape("site/../a&b.html"), hostile}, {"path", "site%2Fdocs%2Fdeep%2Fn.txt", "deep"}, {"path", "site%2Fdocs%2Fm.txt", "less deep"},
	}, "Accept", "application/json").must(t, http.StatusOK)
	var got uploaded
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.CID == "" || !strings.HasPrefix(got.Page, "/ui/pins/") {
		t.Fatalf("the answer is %s, %v", a.body, err)
	}
	b.get(got.Page).must(t, http.StatusOK, "my &lt;site&gt;", got.CID, "a&amp;b.html", "docs/")
	b.get(got.Page+"/preview?path=docs/deep/n.txt").must(t, http.StatusOK, "deep")

	// Several files are one directory if that is asked for.
	a = b.send([]sentPart{{"wrap", "", "yes"}, {"file", "one.txt", "1"}, {"file", "two.txt", "2"}}).must(t, http.StatusSeeOther)
	b.get(a.to()).must(t, http.StatusOK, "one.txt", "two.txt", "Download as TAR")

	b.get(a.to()).must(t, http.StatusOK, "<h1>folder with one.txt</h1>")
	// As the script sends them.
	a = b.send([]sentPart{{"wrap", "", "yes"}, {"tops", "", "3"}, {"path", "a.txt", "1"}, {"path", "b.txt", "2"}, {"path", "c%2Fd.txt", "3"}}).must(t, http.StatusSeeOther)
	b.get(a.to()).must(t, http.StatusOK, "<h1>a.txt and 2 others</h1>")

	// Else each is a pin, and has its own name, if none is given.
	a = b.send([]sentPart{{"file", "first.txt", "the first"}, {"file", "second.txt", "the second"}, {"folder", "dir/third.txt", "3"}, {"folder", "dir/fourth.txt", "4"}}).must(t, http.StatusSeeOther)
	if a.to() != pinsPath {
		t.Errorf("several pins lead to %s", a.to())
	}
	list := b.get(pinsPath+"?name=.txt").must(t, http.StatusOK, ">first.txt<", ">second.txt<")
	if n := strings.Count(list.body, ">first.txt<"); n != 1 {
		t.Errorf("%d pins are called first.txt", n)
	}
	b.get(pinsPath+"?name=dir&match=exact").must(t, http.StatusOK, ">dir<", "1–1 of 1")
	b.send([]sentPart{{"name", "", "both"}, {"file", "5.txt", "5"}, {"file", "6.txt", "6"}}).must(t, http.StatusSeeOther)
	b.get(pinsPath+"?name=both&match=exact").must(t, http.StatusOK, "1–2 of 2")

	// A CAR is what is in it.
	car := b.get(got.Page + "/download?as=car")
	again := r.as(anna).send([]sentPart{{"name", "", "from a CAR"}, {"car", "", "yes"}, {"file", "site.CAR", car.body}}, "Accept", "application/json")
	var imported uploaded
	if err := json.Unmarshal([]byte(again.must(t, http.StatusOK).body), &imported); err != nil || imported.CID != got.CID {
		t.Errorf("the CAR of %s becomes %s, %v", got.CID, again.body, err)
	}
}

// A mistake says what is wrong, and nothing of it is kept.
func TestBadUploads(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	for name, tt := range map[string]struct {
		parts []sentPart
		want  string
	}{
		"no file":                   {[]sentPart{{"name", "", "x"}, {"file", "", ""}}, "no file was chosen"},
		"a path of dots":            {[]sentPart{{"path", "..%2F..", "x"}}, "no file was chosen"},
		"no CAR":                    {[]sentPart{{"car", "", "yes"}, {"file", "x.car", "this is none"}}, "CAR"},
		"too long a name":           {[]sentPart{{"name", "", strings.Repeat("x", 300)}, {"file", "a", "a"}}, "255"},
		"a huge field":              {[]sentPart{{"name", "", strings.Repeat("x", 1<<20)}, {"file", "a", "a"}}, "cannot be read"},
		"too long a path":           {[]sentPart{{"path", strings.Repeat("x", 9000), "x"}}, "more than the 8192 bytes"},
		"too long a second path":    {[]sentPart{{"path", "d%2Fa", "x"}, {"path", strings.Repeat("x", 9000), "x"}}, "more than the 8192 bytes"},
		"too long a name of a file": {[]sentPart{{"path", "d/" + strings.Repeat("x", 2000), "x"}}, "a name has 2000 bytes"},
		"empty fields":              {append(slices.Repeat([]sentPart{{"", "", ""}}, 1000), sentPart{"file", "a", "a"}), "cannot be read"},
		"a huge name":               {[]sentPart{{strings.Repeat("x", 20_000), "", ""}, {"file", "a", "a"}}, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			b.send(tt.parts).must(t, http.StatusBadRequest, tt.want, "<main")
			a := b.send(tt.parts, "Accept", "application/json").must(t, http.StatusBadRequest, tt.want)
			if !json.Valid([]byte(a.body)) {
				t.Errorf("the script gets %s", a.body)
			}
		})
	}
	b.post("/ui/upload", url.Values{"a": {"b"}}).must(t, http.StatusUnsupportedMediaType)
	b.get("/ui/pins").must(t, http.StatusOK, "Nothing is pinned yet")
	// Who may only look may not upload.
	_, raw, err := r.auth.AddDevice(t.Context(), r.ids[ben], auth.NewDevice{Name: "viewer", Scope: auth.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	r.withToken(raw).send([]sentPart{{"file", "a", "a"}}).must(t, http.StatusForbidden)
}

// An upload that fails after some of its files are told has the answer of the dashboard, while the
// browser still sends.
func TestUploadFailsInTheMiddle(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	r.onPut = func(data []byte) error {
		if bytes.HasPrefix(data, []byte("too much")) {
			return &pin.QuotaError{}
		}
		return nil
	}
	parts := []sentPart{{"path", "d%2Fa", "fits"}, {"path", "d%2Fb", "too much" + strings.Repeat("x", 1<<20)}, {"path", "d%2Fc", strings.Repeat("x", 8<<20)}}
	b.send(parts).must(t, http.StatusBadRequest, "quota", "<main")
	a := b.send(parts, "Accept", "application/json").must(t, http.StatusBadRequest, "quota")
	if !json.Valid([]byte(a.body)) {
		t.Errorf("the script gets %s", a.body)
	}
	b.get("/ui/pins").must(t, http.StatusOK, "Nothing is pinned yet")
}

// An upload that breaks off is no pin.
func TestUploadBreaksOff(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nthe beginning of it"
	fmt.Fprintf(conn, "POST /ui/upload HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n%s",
		r.server.Listener.Addr(), cookieName, b.session(), body)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(answer), " 303 ") {
		t.Errorf("it answers %s, %v", answer, err)
	}
	b.get("/ui/pins").must(t, http.StatusOK, "Nothing is pinned yet")
}

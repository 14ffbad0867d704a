package kuborpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"
)

// server answers every call in one way, and notes the last.
type server struct {
	*httptest.Server
	query url.Values
	path  string
	token string
}

func serve(t *testing.T, answer http.HandlerFunc) (*server, *Client) {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.query, s.path, s.token = r.URL.Query(), r.URL.Path, r.Header.Get("Authorization")
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := New(s.URL, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func same(r io.Reader) io.Reader { return r }

func someFile() files.Directory {
	return files.NewSliceDirectory([]files.DirEntry{files.FileEntry("a", files.NewBytesFile([]byte("content")))})
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:5001":           "http://127.0.0.1:5001/api/v0",
		"http://127.0.0.1:5001/":          "http://127.0.0.1:5001/api/v0",
		"https://h.example/api/v0/":       "https://h.example/api/v0",
		"https://h.example/ipfs":          "https://h.example/ipfs/api/v0",
		"/ip4/127.0.0.1/tcp/5001":         "http://127.0.0.1:5001/api/v0",
		"/ip6/::1/tcp/5001":               "http://[::1]:5001/api/v0",
		"/dns/h.example/tcp/443/https":    "https://h.example:443/api/v0",
		"/dns4/h.example/tcp/80/http":     "http://h.example:80/api/v0",
		"/ip4/127.0.0.1/udp/5001":         "",
		"/ip4/127.0.0.1":                  "",
		"/nonsense":                       "",
		"127.0.0.1:5001":                  "",
		"ftp://h.example":                 "",
		"http://user:pw@h.example":        "",
		"http://h.example?x=y":            "",
		"http://":                         "",
		"":                                "",
		"http://h.example:5001/api/v0?a#": "",
	} {
		got, err := baseURL(address)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v; want %q", address, got, err, want)
		}
	}
}

func TestAdd(t *testing.T) {
	s, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		part, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := part.NextPart(); err != nil {
			t.Error(err)
		}
		io.WriteString(w, `{"Name":"a","Bytes":7}`+"\n"+`{"Name":"a","Hash":"first"}`+"\n"+`{"Name":"","Hash":"root"}`)
	})
	cid, err := c.Add(t.Context(), someFile(), url.Values{"cid-version": {"1"}}, same)
	if err != nil || cid != "root" || s.path != "/api/v0/add" || s.query.Get("cid-version") != "1" || s.token != "Bearer secret" {
		t.Errorf("it is %q, %v; asked was %s %v as %q", cid, err, s.path, s.query, s.token)
	}
}

func TestImport(t *testing.T) {
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"Root":{"Cid":{"/":"one"}}}`+"\n"+`{"Root":{"Cid":{"/":"two"},"PinErrorMsg":""}}`+"\n"+`{"Stats":{"BlockCount":3}}`)
	})
	roots, err := c.Import(t.Context(), someFile(), nil, same)
	if err != nil || strings.Join(roots, " ") != "one two" {
		t.Errorf("the roots are %v, %v", roots, err)
	}
	_, c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"Root":{"Cid":{"/":"one"},"PinErrorMsg":"block was not found"}}`)
	})
	if _, err := c.Import(t.Context(), someFile(), nil, same); err == nil || err.Error() != "pin the root one: block was not found" {
		t.Errorf("a root that is not pinned gives %v", err)
	}
}

// Whatever is no success is an error that says what the server said.
func TestErrors(t *testing.T) {
	for name, one := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
		hint   string
	}{
		"Kubo's": {func(w http.ResponseWriter) {
			w.WriteHeader(500)
			io.WriteString(w, `{"Message":"it broke","Code":0,"Type":"error"}`)
		}, "it broke", ""},
		"the socket's": {func(w http.ResponseWriter) {
			w.WriteHeader(400)
			io.WriteString(w, `{"status":"error","error":{"reason":"X","details":"which account","hint":"name one"}}`)
		}, "which account", "name one"},
		"text": {func(w http.ResponseWriter) {
			w.WriteHeader(404)
			io.WriteString(w, "404 page not found\n")
		}, `the server answers 404 Not Found: "404 page not found"`, ""},
		"elsewhere": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://h.example/")
			w.WriteHeader(308)
		}, "the server answers 308 Permanent Redirect, and points to https://h.example/", ""},
		"later": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(429)
			io.WriteString(w, `{"Message":"too often"}`)
		}, "too often", "try again in 10s"},
		"behind": {func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "X-Stream-Error")
			io.WriteString(w, `{"Name":"a","Hash":"first"}`+"\n")
			w.Header().Set("X-Stream-Error", "quota exceeded")
		}, "quota exceeded", ""},
		"cut": {func(w http.ResponseWriter) {
			io.WriteString(w, `{"Name":"a","Hash":"first"}`+"\n")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "the server's answer broke off", ""},
		"nothing": {func(http.ResponseWriter) {}, "the server did not say what it added", ""},
		"no JSON": {func(w http.ResponseWriter) { io.WriteString(w, "<html>") }, "read the server's answer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				one.answer(w)
			})
			_, err := c.Add(t.Context(), someFile(), nil, same)
			if err == nil || !strings.Contains(err.Error(), one.want) {
				t.Errorf("the error is %v, want %q", err, one.want)
			}
			if e, ok := errors.AsType[*Error](err); one.hint != "" && (!ok || e.Hint != one.hint) {
				t.Errorf("the hint is %+v, want %q", e, one.hint)
			}
		})
	}
}

// What cannot be read is told as that, and not as a connection that ended.
func TestUploadThatCannotBeRead(t *testing.T) {
	broken := errors.New("the disk broke")
	_, c := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	_, err := c.Add(t.Context(), someFile(), nil, func(r io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(r, 10), failing{broken})
	})
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A server that refuses is heard before all is sent.
func TestUploadThatIsRefused(t *testing.T) {
	_, c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(401)
		io.WriteString(w, `{"Message":"no token"}`)
	})
	all := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("a", files.NewReaderFile(io.NopCloser(endless{})))})
	if _, err := c.Add(t.Context(), all, nil, same); err == nil || err.Error() != "no token" {
		t.Errorf("the error is %v", err)
	}
}

func TestDownloads(t *testing.T) {
	s, c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Content-Length", "7")
		io.WriteString(w, "content")
	})
	for command, call := range map[string]func(context.Context, string) (*Answer, error){"dag/export": c.Export, "get": c.Get} {
		a, err := call(t.Context(), "CID/x y")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(a)
		if err != nil || !bytes.Equal(got, []byte("content")) || a.Length != 7 || s.path != "/api/v0/"+command || s.query.Get("arg") != "CID/x y" {
			t.Errorf("%s gives %q, %v of %d; asked was %s %v", command, got, err, a.Length, s.path, s.query)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	_, c = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"TotalSize":1,"DagStats":[]}`+"\n"+`{"TotalSize":1234,"DagStats":[]}`)
	})
	if n, err := c.Size(t.Context(), "CID"); err != nil || n != 1234 {
		t.Errorf("the size is %d, %v", n, err)
	}
}

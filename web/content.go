package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	gopath "path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// entriesAtOnce is how much of a directory one look lists.
	entriesAtOnce = 200
	// maxEntry bounds a line of a listing.
	maxEntry = 1 << 20
	// peek is how much of a file says what it is.
	peek = 512
	// maxText and maxImage are how much of a file a preview shows.
	maxText  = 256 << 10
	maxImage = 16 << 20
)

// filePolicy is the Content-Security-Policy of what comes out of a pin. It may do nothing, and
// it has an origin of its own, so it cannot even be a page of ours.
const filePolicy = "sandbox; default-src 'none'; frame-ancestors 'self'"

// entry is one line of a directory.
type entry struct {
	Name string
	Path string // from the root of the pin
	Size uint64
	Dir  bool
	Link string // where a symlink leads; "" is none
}

// listing is a part of a directory.
type listing struct {
	ID      string // of the pin
	Path    string // of the directory, "" is the root
	Entries []entry
	More    int // the number of the next entry; 0 if these are the last
}

// ipfsPath names what is at a path below the root of a pin.
func ipfsPath(v pin.View, path string) string {
	p := "/ipfs/" + v.CID
	if path != "" {
		p += "/" + path
	}
	return p
}

// readPath reads the path of a query. Paths stay below the pin.
func readPath(c *call) (string, error) {
	p := strings.Trim(c.QueryParam("path"), "/")
	if p == "" {
		return "", nil
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return "", &failure{http.StatusBadRequest, "this is not a path in a pin"}
		}
	}
	return p, nil
}

// whole reads the pin of the path, if all of it is here.
func (u *UI) whole(c *call) (pin.View, string, error) {
	v, err := u.pin(c)
	if err != nil {
		return v, "", err
	}
	path, err := readPath(c)
	if err == nil && v.Status != pin.Pinned {
		err = &failure{http.StatusConflict, "the pin is not complete yet, so there is nothing to look at"}
	}
	return v, path, err
}

func rpcURL(command string, values ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		q.Set(values[i], values[i+1])
	}
	return "/api/v0/" + command + "?" + q.Encode()
}

// list reads a part of a directory, from the entry with the number skip on.
func (u *UI) list(c *call, v pin.View, path string, skip int) (listing, error) {
	l := listing{ID: v.ID, Path: path}
	r, err := c.apiRequest(http.MethodPost, rpcURL("ls", "arg", ipfsPath(v, path), "stream", "true", "size", "true"), nil)
	if err != nil {
		return l, err
	}
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	n := 0
	w := &lineReader{recorder: recorder{header: http.Header{}}, stop: stop, line: func(line []byte) error {
		var out struct {
			Objects []struct {
				Links []struct {
					Name, Target string
					Size         uint64
					Type         int
				}
			}
		}
		if err := json.Unmarshal(line, &out); err != nil {
			return fmt.Errorf("read an entry: %w", err)
		}
		for _, o := range out.Objects {
			for _, e := range o.Links {
				if n++; n <= skip {
					continue
				}
				if len(l.Entries) == entriesAtOnce {
					l.More = n - 1
					return errEnough
				}
				l.Entries = append(l.Entries, entry{e.Name, strings.TrimPrefix(path+"/"+e.Name, "/"), e.Size, e.Type == 1, e.Target})
			}
		}
		return nil
	}}
	u.API.ServeHTTP(w, r.WithContext(ctx))
	switch {
	case errors.Is(w.err, errEnough):
	case w.status >= 400:
		return l, c.apiFailed(w.status, w.header, w.body.Bytes())
	case w.err != nil:
		return l, w.err
	case w.header.Get("X-Stream-Error") != "":
		return l, &failure{http.StatusBadGateway, w.header.Get("X-Stream-Error")}
	}
	return l, nil
}

var errEnough = errors.New("there are enough entries")

// lineReader reads an answer line by line, and ends it when there are enough.
type lineReader struct {
	recorder
	line func([]byte) error
	stop func() // ends the request, as a client does that hangs up
	err  error
}

func (w *lineReader) Write(b []byte) (n int, err error) {
	defer func() {
		if w.err != nil {
			w.stop()
		}
	}()
	w.WriteHeader(http.StatusOK)
	if w.err != nil {
		return 0, w.err
	}
	if w.body.Write(b); w.status != http.StatusOK {
		return len(b), nil
	}
	for {
		i := bytes.IndexByte(w.body.Bytes(), '\n')
		if i < 0 {
			if w.body.Len() > maxEntry {
				w.err = errors.New("an entry is too long")
			}
			return len(b), w.err
		}
		if w.err = w.line(w.body.Next(i + 1)); w.err != nil {
			return 0, w.err
		}
	}
}

// start reads the beginning of a file, of at most n bytes. dir says that it is a directory.
func (u *UI) start(c *call, v pin.View, path string, n int) (begin []byte, size int64, dir bool, err error) {
	r, err := c.apiRequest(http.MethodPost, rpcURL("cat", "arg", ipfsPath(v, path), "length", strconv.Itoa(n)), nil)
	if err != nil {
		return nil, 0, false, err
	}
	w := &recorder{header: http.Header{}}
	u.API.ServeHTTP(w, r)
	if w.status >= 400 {
		f := c.apiFailed(w.status, w.header, w.body.Bytes())
		if strings.Contains(f.text, "is a directory") {
			return nil, 0, true, nil
		}
		return nil, 0, false, f
	}
	if e := w.header.Get("X-Stream-Error"); e != "" {
		return nil, 0, false, &failure{http.StatusBadGateway, e}
	}
	return w.body.Bytes(), size, false, nil
}

// kindOf says how a file can be shown, by its beginning: "text", "image", or "" for not at
// all. HTML and SVG are shown as the text that they are.
func kindOf(begin []byte) (kind, media string) {
	switch m := http.DetectContentType(begin); m {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		return "image", m
	}
	text := begin
	for range utf8.UTFMax - 1 { // the last character may be cut
		if utf8.Valid(text) || len(text) == 0 {
			break
		}
		text = text[:len(text)-1]
	}
	if utf8.Valid(text) && !bytes.ContainsRune(text, 0) {
		return "text", "text/plain; charset=utf-8"
	}
	return "", ""
}

// preview serves a file of a pin for a frame. Whatever it is, nothing in it runs.
func (u *UI) preview(c *call) error {
	v, path, err := u.whole(c)
	if err != nil {
		return err
	}
	begin, _, dir, err := u.start(c, v, path, peek)
	if err != nil {
		return err
	}
	kind, media := kindOf(begin)
	if dir || kind == "" {
		return &failure{http.StatusUnsupportedMediaType, "there is no preview of this"}
	}
	limit := maxText
	if kind == "image" {
		limit = maxImage
	}
	h := c.Response().Header()
	h.Set("X-Frame-Options", "SAMEORIGIN")
	return u.passOn(c, rpcURL("cat", "arg", ipfsPath(v, path), "length", strconv.Itoa(limit)), media, "inline")
}

// download sends a file, a directory as TAR, or the whole of it as CAR.
func (u *UI) download(c *call) error {
	v, path, err := u.whole(c)
	if err != nil {
		return err
	}
	name := gopath.Base(path)
	if path == "" {
		if name = v.Name; name == "" {
			name = v.CID
		}
	}
	switch c.QueryParam("as") {
	case "car":
		return u.passOn(c, rpcURL("dag/export", "arg", v.CID), "application/vnd.ipld.car; version=1", attachment(name+".car"))
	case "tar":
		return u.passOn(c, rpcURL("get", "arg", ipfsPath(v, path), "archive", "true"), "application/x-tar", attachment(name+".tar"))
	}
	return u.passOn(c, rpcURL("cat", "arg", ipfsPath(v, path)), "application/octet-stream", attachment(name))
}

// attachment makes a Content-Disposition that a browser saves under a name.
func attachment(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}

// passOn sends what the RPC answers, under headers of its own.
func (u *UI) passOn(c *call, to, media, disposition string) error {
	r, err := c.apiRequest(http.MethodPost, to, nil)
	if err != nil {
		return err
	}
	// The session may end in the middle of a download, and then it ends too.
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	r = r.WithContext(ctx)
	w := &passer{out: c.Response(), stop: stop, head: c.Request().Method == http.MethodHead, header: http.Header{}, media: media, disposition: disposition}
	u.API.ServeHTTP(w, r)
	if w.status >= 400 {
		return c.apiFailed(w.status, w.header, w.problem.Bytes())
	}
	cut := w.header.Get("X-Stream-Error") != "" || w.out.Committed && c.ctx.Err() != nil
	if cut && !w.head {
		panic(http.ErrAbortHandler) // so that nobody takes what came for the whole
	}
	return nil
}

// errHead ends an answer of which only the headers are wanted.
var errHead = errors.New("only the headers are wanted")

// passer passes a good answer on, without its headers, and keeps a bad one.
type passer struct {
	out                *echo.Response
	head               bool   // nobody gets more than the headers
	stop               func() // ends the request, as a client does that hangs up
	header             http.Header
	status             int
	problem            bytes.Buffer
	media, disposition string
}

func (w *passer) Header() http.Header { return w.header }

func (w *passer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if status >= 400 {
		return
	}
	h := w.out.Header()
	h.Set("Content-Security-Policy", filePolicy)
	h.Set(echo.HeaderContentType, w.media)
	h.Set(echo.HeaderContentDisposition, w.disposition)
	if n := w.header.Get("X-Content-Length"); n != "" && w.media != "application/x-tar" {
		h.Set(echo.HeaderContentLength, n)
	}
	w.out.WriteHeader(http.StatusOK)
}

func (w *passer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status >= 400 {
		return w.problem.Write(b)
	}
	if w.head {
		w.stop()
		return 0, errHead
	}
	return w.out.Write(b)
}

// Unwrap lets the RPC set deadlines of the connection.
func (w *passer) Unwrap() http.ResponseWriter { return w.out }

// Flush sends what was written.
func (w *passer) Flush() {
	if w.status != 0 && w.status < 400 {
		w.out.Flush()
	}
}

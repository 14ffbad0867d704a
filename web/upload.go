package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// maxFields bounds the fields of an upload, which come before its files: their names and
	// values, and fieldCost bytes for each, for what it takes in memory.
	maxFields = 16 << 10
	fieldCost = 64
	// maxPath is what the path of a file may have, in bytes; the RPC takes no longer ones.
	maxPath = 8 << 10
)

// Names of the parts of an upload. The script names files with their paths, escaped. A browser
// alone sends names as they are.
const (
	partFile   = "file"
	partFolder = "folder"
	partPath   = "path"
)

var (
	errLongPath = &failure{http.StatusBadRequest, fmt.Sprintf("the path of a file has more than the %d bytes that may be", maxPath)}
	errNoFile   = &failure{http.StatusBadRequest, "no file was chosen: choose some, or drop them here"}
	errFields   = &failure{http.StatusBadRequest, "the fields of the upload cannot be read"}
	errNotAForm = &failure{http.StatusUnsupportedMediaType, "this is not an upload by the form of this page"}
)

// sentFiles is a multipart body whose fields were read, up to its first file.
type sentFiles struct {
	parts  *multipart.Reader
	first  *multipart.Part // of those that were not forwarded; nil: there is no file
	fields url.Values
}

func (s *sentFiles) name() string { return strings.TrimSpace(s.fields.Get("name")) }

func (s *sentFiles) wrapped() bool {
	return s.fields.Get("wrap") != "" && s.first.FormName() != partFolder
}

// top is the name of a file, or of the folder that the file is in.
func top(p *multipart.Part) string {
	name, _, _ := strings.Cut(sentPath(p), "/")
	return name
}

func readFields(r *http.Request) (*sentFiles, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, errNotAForm
	}
	s := &sentFiles{parts: parts, fields: url.Values{}}
	room := int64(maxFields)
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, &failure{http.StatusBadRequest, "the upload was cut off"}
		}
		if isFile(p) {
			switch path := sentPath(p); {
			case path == "": // a field of files in which nobody chose any
				continue
			case len(path) > maxPath:
				return nil, errLongPath
			}
			s.first = p
			return s, nil
		}
		name := p.FormName()
		if room -= int64(len(name)) + fieldCost; room < 0 {
			return nil, errFields
		}
		b, err := io.ReadAll(io.LimitReader(p, room+1))
		if room -= int64(len(b)); err != nil || room < 0 {
			return nil, errFields
		}
		s.fields.Add(name, string(b))
	}
}

func isFile(p *multipart.Part) bool {
	switch p.FormName() {
	case partFile, partFolder, partPath:
		return true
	}
	return false
}

// sentPath is the path of a file below what is uploaded; "" if it has none. Go's own FileName
// has the last part only.
func sentPath(p *multipart.Part) string {
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	name := params["filename"]
	if p.FormName() == partPath {
		if name, err = url.PathUnescape(name); err != nil {
			return ""
		}
	} else { // what browsers escape in the header
		name = strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n").Replace(name)
	}
	var path []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." && part != ".." {
			path = append(path, part)
		}
	}
	return strings.Join(path, "/")
}

// forward writes the files as clients of Kubo's RPC send them. Files that are a pin each, and
// have no name but their own, are written one at a time: then first is the next one.
func (s *sentFiles) forward(to *multipart.Writer) error {
	apart, of := s.name() == "" && !s.wrapped(), top(s.first)
	for p := s.first; ; {
		path := sentPath(p)
		if isFile(p) && len(path) > maxPath {
			return errLongPath
		}
		if apart && isFile(p) && path != "" && top(p) != of {
			s.first = p
			return to.Close()
		}
		if isFile(p) && path != "" {
			h := textproto.MIMEHeader{}
			h.Set("Content-Disposition", mime.FormatMediaType("form-data", map[string]string{"name": "file", "filename": url.QueryEscape(path)}))
			h.Set(echo.HeaderContentType, echo.MIMEOctetStream)
			w, err := to.CreatePart(h)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, p); err != nil {
				return err
			}
		}
		var err error
		if p, err = s.parts.NextPart(); errors.Is(err, io.EOF) {
			s.first = nil
			return to.Close()
		} else if err != nil {
			return err
		}
	}
}

// uploaded is the answer to the script.
type uploaded struct {
	CID   string `json:"cid,omitempty"`
	Page  string `json:"page,omitempty"`  // of the pin
	Error string `json:"error,omitempty"` // for people
}

// upload pins files, a directory, or what is in a CAR.
func (u *UI) upload(c *call) error {
	root, pins, err := u.uploadAll(c)
	byScript := strings.Contains(c.Request().Header.Get(echo.HeaderAccept), echo.MIMEApplicationJSON)
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		if byScript {
			return c.JSON(c.status, uploaded{Error: c.said})
		}
		return c.render("add.html", "Add a pin", newPinForm())
	}
	page := pinsPath
	if pins == 1 {
		if page, err = u.pageOf(c, root); err != nil {
			return err
		}
	}
	if byScript {
		return c.JSON(http.StatusOK, uploaded{CID: root, Page: page})
	}
	return c.done("uploaded", page)
}

// pageOf finds the page of the newest pin of what was uploaded.
func (u *UI) pageOf(c *call, root string) (string, error) {
	at, err := pin.ParseCID(root)
	if err != nil {
		return "", fmt.Errorf("read the CID of the upload: %w", err)
	}
	found, err := u.Pins.List(c.ctx, c.me.Account, pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{pin.DAGOf(at)}, Limit: 1})
	if err != nil {
		return "", err
	}
	if len(found.Views) == 0 { // it was removed meanwhile
		return pinsPath, nil
	}
	return pinsPath + "/" + found.Views[0].ID, nil
}

// uploadAll pins all files, and gives the last CID, and how many there are.
func (u *UI) uploadAll(c *call) (root string, pins int, err error) {
	_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(time.Minute)) // the RPC moves it on while something comes
	sent, err := readFields(c.Request())
	if err != nil {
		return "", 0, err
	}
	if sent.first == nil {
		return "", 0, errNoFile
	}
	for sent.first != nil {
		if root, err = u.uploadSome(c, sent); err != nil {
			return "", 0, err
		}
		pins++
	}
	return root, pins, nil
}

// uploadSome passes files on to Kubo's RPC, and gives the CID that it answers with.
func (u *UI) uploadSome(c *call, sent *sentFiles) (root string, err error) {
	conn := http.NewResponseController(c.Response())
	r, err := c.apiRequest(http.MethodPost, sent.command(), nil)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	from, to := io.Pipe()
	body := multipart.NewWriter(to)
	forwarded := make(chan error, 1)
	go func() {
		err := sent.forward(body)
		forwarded <- err       // before the RPC can be done with it
		to.CloseWithError(err) // nil is the end
	}()
	r = r.WithContext(ctx)
	r.Body = from
	r.ContentLength = -1
	r.Header.Set(echo.HeaderContentType, body.FormDataContentType())
	w := &connected{lineReader{recorder: recorder{header: http.Header{}}, stop: cancel, line: func(line []byte) (err error) {
		root, err = readRoot(root, line)
		return err
	}}, c.Response()}
	u.API.ServeHTTP(w, r)
	// If the RPC has given up, nobody reads the rest.
	from.CloseWithError(errors.New("the upload is over"))
	select {
	case err = <-forwarded:
	default:
		// A read that times out ends the context of the connection, and so of all requests after this
		// one: the connection has to end with it.
		c.Response().Header().Set("Connection", "close")
		_ = conn.SetReadDeadline(time.Now())
		err = <-forwarded
	}
	switch {
	case w.status >= 400:
		return "", c.apiFailed(w.status, w.header, w.body.Bytes())
	case w.err != nil:
		return "", w.err
	case w.header.Get("X-Stream-Error") != "":
		return "", &failure{http.StatusBadRequest, w.header.Get("X-Stream-Error")}
	case err != nil:
		return "", &failure{http.StatusBadRequest, "the upload was cut off: only files that were pinned before that are kept"}
	}
	if root == "" {
		return "", errors.New("the RPC names no root of the upload")
	}
	return root, nil
}

// connected is a lineReader that knows the connection, whose deadlines the RPC moves.
type connected struct {
	lineReader
	out http.ResponseWriter
}

func (w *connected) Unwrap() http.ResponseWriter { return w.out }

// Hijack refuses: the connection is that of the dashboard, which has not answered yet. The RPC
// would end its own answer on it.
func (w *connected) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}

// command is the command of the RPC that the files are for.
func (s *sentFiles) command() string {
	name, first := s.name(), sentPath(s.first)
	if s.fields.Get("car") != "" && strings.HasSuffix(strings.ToLower(first), ".car") {
		values := []string{"stats", "false"}
		if name != "" {
			values = append(values, "pin-name", name)
		}
		return rpcURL("dag/import", values...)
	}
	if name == "" {
		name = top(s.first)
		if s.wrapped() {
			name = "folder with " + name
		}
		if n, err := strconv.Atoi(s.fields.Get("tops")); err == nil && n > 1 {
			name = fmt.Sprintf("%s and %s", top(s.first), text.Counted(n-1, "other"))
		}
	}
	return rpcURL("add", "cid-version", "1", "wrap-with-directory", strconv.FormatBool(s.wrapped()), "pin-name", name)
}

// readRoot reads a line that add or dag/import tells, and gives the root by then.
func readRoot(root string, line []byte) (string, error) {
	var e struct {
		Hash string
		Root *struct {
			Cid         map[string]string
			PinErrorMsg string
		}
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return "", fmt.Errorf("read the answer of the upload: %w", err)
	}
	switch {
	case e.Root != nil && e.Root.PinErrorMsg != "":
		return "", &failure{http.StatusBadRequest, e.Root.PinErrorMsg}
	case e.Root != nil && root == "":
		return e.Root.Cid["/"], nil
	case e.Hash != "":
		return e.Hash, nil // the last one is above the others
	}
	return root, nil
}

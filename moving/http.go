package moving

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

const (
	// maxAnswer bounds an answer that is read whole. A page of 1,000 pins with 16 KiB of
	// metadata each has 16 MiB.
	maxAnswer = 64 << 20
	// maxEntry bounds one entry of a stream or a list: metadata of 16 KiB, all of it escaped.
	maxEntry = 1 << 20
	// stalled is after what time without a byte an answer is given up. A Kubo with many pins
	// may need long for the first.
	stalled = 5 * time.Minute
)

// Server says how to reach an API.
type Server struct {
	URL string // base, such as https://api.example.com/psa
	// Token is what the server knows us by: a bearer token, or "basic:USER:PASSWORD". "" is
	// none. It is in no error.
	Token string
	// Rate is how many requests a second are made at most. 0 is as many as the server takes.
	Rate float64
	// Note gets what people may want to know meanwhile; nil drops it.
	Note func(string)
	// Transport is nil for the usual one.
	Transport http.RoundTripper
}

// api is a server's API.
type api struct {
	*pace
	client http.Client
	base   *url.URL
	auth   string // the header Authorization; "" is none
}

// open checks how to reach a server. It makes no request.
func (s Server) open(name string) (*api, error) {
	base, err := url.Parse(strings.TrimRight(s.URL, "/"))
	switch {
	case err != nil:
		return nil, errors.New("the address is not a URL") // whose text may have a password
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("the address must be a URL with http:// or https://, not %q", base.Redacted())
	case base.User != nil:
		return nil, errors.New("the address has a name or a password in it: give them on standard input")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the address must have no query: give tokens on standard input")
	}
	a := &api{pace: newPace(name, s.Rate, s.Note), base: base}
	kind, rest, _ := strings.Cut(s.Token, ":")
	switch {
	case s.Token == "":
	case kind == "basic":
		user, password, _ := strings.Cut(rest, ":")
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		a.auth = r.Header.Get("Authorization")
	case kind == "bearer":
		a.auth = "Bearer " + rest
	default:
		a.auth = "Bearer " + s.Token
	}
	if a.auth != "" && base.Scheme == "http" && !loopback(base.Hostname()) {
		a.note("the token goes to " + base.Host + " without encryption")
	}
	a.client.Transport = s.Transport
	if s.Transport == nil {
		a.client.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	a.client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 || r.URL.Scheme != base.Scheme || r.URL.Host != base.Host {
			return &brokenError{fmt.Errorf("it sends us elsewhere, to %s://%s: use that address if you trust it", r.URL.Scheme, r.URL.Host)}
		}
		return nil
	}
	return a, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// send makes one request, once. If the answer is no success, the error is an [*AnswerError].
// The caller closes the body.
func (a *api) send(ctx context.Context, method, path string, query url.Values, in any, header http.Header) (*http.Response, error) {
	u := *a.base
	u.Path += path
	u.RawQuery = query.Encode()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, &brokenError{err}
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stalled, func() { cancel(fmt.Errorf("nothing came for %v", stalled)) })
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, &brokenError{err}
	}
	r.Header.Set("User-Agent", "holdfast")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.auth != "" {
		r.Header.Set("Authorization", a.auth)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	answer, err := a.client.Do(r)
	timer.Stop()
	if err != nil {
		err = cause(ctx, err)
		cancel(nil)
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the query
		}
		return nil, err
	}
	answer.Body = &watched{body: answer.Body, ctx: ctx, timer: timer, cancel: cancel}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		return nil, failure(answer)
	}
	return answer, nil
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// watched is a body that fails if nothing comes for too long while it is read.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (w *watched) Read(b []byte) (int, error) {
	w.timer.Reset(stalled)
	n, err := w.body.Read(b)
	w.timer.Stop() // the reader may take its time
	if err != nil && !errors.Is(err, io.EOF) {
		err = cause(w.ctx, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.body.Close()
	w.cancel(nil)
	return err
}

// failure makes an error of an answer, in the form of whichever API it is.
func failure(answer *http.Response) error {
	e := &AnswerError{Status: answer.StatusCode, RetryAfter: retryAfter(answer.Header)}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what cannot be read is no error text
	var said struct {
		Error   json.RawMessage `json:"error"`   // the PSA: an object; others: a text
		Message string          `json:"message"` // Kubo, and ipfs-cluster
	}
	advice := ""
	if json.Unmarshal(body, &said) == nil {
		var f struct{ Reason, Details, Hint string }
		e.Details = said.Message
		if json.Unmarshal(said.Error, &f) == nil {
			e.Reason, e.Details, advice = f.Reason, f.Details, f.Hint // the hint is Holdfast's own
		} else if e.Details == "" {
			_ = json.Unmarshal(said.Error, &e.Details)
		}
	}
	status := fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status))
	const maxText = 500 // bytes of a line for people
	if e.Details = text.Printable(strings.ToValidUTF8(e.Details[:min(len(e.Details), maxText)], "")); e.Details == "" {
		e.Details = status
		if e.Reason != "" {
			e.Details += ", " + text.Printable(e.Reason)
		}
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Details = "the token is refused: " + e.Details
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		e.Details = "there is no such API at this address: " + e.Details
	}
	if advice != "" {
		return hint.Add(e, text.Printable(advice))
	}
	return e
}

// read asks for an answer and decodes it, again if it must.
func (a *api) read(ctx context.Context, method, path string, query url.Values, in any, header http.Header, out any) error {
	return a.do(ctx, func() error {
		answer, err := a.send(ctx, method, path, query, in, header)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
		switch {
		case err != nil:
			return fmt.Errorf("the answer ends early: %w", err)
		case len(body) > maxAnswer:
			return &brokenError{fmt.Errorf("the answer has more than %d MiB", maxAnswer>>20)}
		}
		if err := json.Unmarshal(body, out); err != nil {
			return &brokenError{fmt.Errorf("the answer cannot be read: %w", err)}
		}
		return nil
	})
}

// lines asks for a stream of JSON objects, one a line, and calls fn with each. A stream that
// broke off is asked for again, and fn then gets the first lines again. An error of fn ends
// it.
func (a *api) lines(ctx context.Context, method, path string, query url.Values, fn func([]byte) error) error {
	var own error
	err := a.do(ctx, func() error {
		answer, err := a.send(ctx, method, path, query, nil, nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		err = eachLine(answer.Body, func(_ int, line []byte) error {
			own = fn(line)
			return own
		})
		if own != nil {
			return &brokenError{own}
		}
		if err != nil {
			return fmt.Errorf("the list ends early: %w", err)
		}
		if said := strings.Join(answer.Trailer.Values("X-Stream-Error"), ""); said != "" {
			return fmt.Errorf("the list ends early: %s", text.Printable(said))
		}
		return nil
	})
	if own != nil {
		return own
	}
	return err
}

// eachLine calls fn with each line that is not empty, and its number. What comes before an
// error without a newline is no line.
func eachLine(r io.Reader, fn func(n int, line []byte) error) error {
	in := bufio.NewReaderSize(r, maxEntry)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return &brokenError{fmt.Errorf("line %d has more than %d KiB", n, maxEntry>>10)}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := fn(n, line); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

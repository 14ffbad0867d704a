package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/pipe"
)

// SocketName is in the data directory while a server runs there.
const SocketName = "admin.sock"

// Client speaks the admin API, to a server or within this process.
type Client struct {
	http    *http.Client
	Running bool              // a server answers
	waits   *tellingTransport // nil within this process
	close   func() error
}

// dialFunc connects to what serves the admin API.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient is for a server that dial reaches. who names it to somebody who waits
// for it.
func NewClient(dial dialFunc, who func() string) *Client {
	waits := &tellingTransport{Transport: &http.Transport{DialContext: dial}, who: who}
	return &Client{
		http:    &http.Client{Transport: waits},
		Running: true,
		waits:   waits,
		close:   func() error { return nil },
	}
}

// NewLocalClient is for a handler within this process, which it serves until it is
// closed. It calls closed then.
func NewLocalClient(h http.Handler, closed func() error) *Client {
	l := pipe.New()
	s := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return &Client{
		http: &http.Client{Transport: &http.Transport{DialContext: l.Dial}},
		close: func() error {
			err := s.Shutdown(context.Background()) // nobody but this client has requests under way
			<-served
			return errors.Join(err, closed())
		},
	}
}

// Close ends what the client started.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.close()
}

// Do makes a request. in, if not nil, is sent as JSON; the answer is read into
// out, if that is not nil. An answer that is no success is an
// [*AnswerError].
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask the server: %w", err)
		}
		body = bytes.NewReader(b)
	}
	u := url.URL{Scheme: "http", Host: "holdfast", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL is of no interest: its host is a socket
		}
		return fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return readFailure(answer)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// AnswerError is an answer that is no success.
type AnswerError struct {
	Status  int
	details string
	Hint    string
}

func (e *AnswerError) Error() string { return e.details }

// readFailure makes an error of an answer that is no success, with the hint
// that came with it.
func readFailure(answer *http.Response) error {
	e := &AnswerError{Status: answer.StatusCode}
	var f Failure
	if err := json.NewDecoder(answer.Body).Decode(&f); err == nil {
		e.details, e.Hint = f.Error.Details, f.Error.Hint
	}
	if hint, err := url.QueryUnescape(answer.Header.Get(hintHeader)); err == nil && e.Hint == "" {
		e.Hint = hint
	}
	if e.details == "" {
		e.details = "the server answered " + answer.Status
	}
	if e.Hint != "" {
		return hint.Add(e, e.Hint)
	}
	return e
}

// Users lists the accounts.
func (c *Client) Users(ctx context.Context) (users []Account, err error) {
	return users, c.Do(ctx, http.MethodGet, "/users", nil, nil, nil, &users)
}

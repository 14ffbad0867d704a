package main

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
)

// adminSocketName is in the data directory while a server runs there.
const adminSocketName = "admin.sock"

// adminClient speaks the admin API, to a server or within this process.
type adminClient struct {
	http    *http.Client
	running bool              // a server answers
	waits   *tellingTransport // nil within this process
	close   func() error
}

// dialFunc connects to what serves the admin API.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newAdminClient is for a server that dial reaches. who names it to somebody who waits
// for it.
func newAdminClient(dial dialFunc, who func() string) *adminClient {
	waits := &tellingTransport{Transport: &http.Transport{DialContext: dial}, who: who}
	return &adminClient{
		http:    &http.Client{Transport: waits},
		running: true,
		waits:   waits,
		close:   func() error { return nil },
	}
}

// newLocalClient is for a handler within this process, which it serves until it is
// closed. It calls closed then.
func newLocalClient(h http.Handler, closed func() error) *adminClient {
	l := newPipeListener()
	s := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return &adminClient{
		http: &http.Client{Transport: &http.Transport{DialContext: l.dial}},
		close: func() error {
			err := s.Shutdown(context.Background()) // nobody but this client has requests under way
			<-served
			return errors.Join(err, closed())
		},
	}
}

// Close ends what the client started.
func (c *adminClient) Close() error {
	c.http.CloseIdleConnections()
	return c.close()
}

// do makes a request. in, if not nil, is sent as JSON; the answer is read into
// out, if that is not nil. An answer that is no success is an
// [*answerError].
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, header http.Header, in, out any) error {
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

// answerError is an answer that is no success.
type answerError struct {
	status  int
	details string
	hint    string
}

func (e *answerError) Error() string { return e.details }

// readFailure makes an error of an answer that is no success, with the hint
// that came with it.
func readFailure(answer *http.Response) error {
	e := &answerError{status: answer.StatusCode}
	var f adminFailure
	if err := json.NewDecoder(answer.Body).Decode(&f); err == nil {
		e.details, e.hint = f.Error.Details, f.Error.Hint
	}
	if hint, err := url.QueryUnescape(answer.Header.Get(hintHeader)); err == nil && e.hint == "" {
		e.hint = hint
	}
	if e.details == "" {
		e.details = "the server answered " + answer.Status
	}
	if e.hint != "" {
		return hinted(e, e.hint)
	}
	return e
}

// users lists the accounts.
func (c *adminClient) users(ctx context.Context) (users []userInfo, err error) {
	return users, c.do(ctx, http.MethodGet, "/users", nil, nil, nil, &users)
}

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
	"strings"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/pipe"
)

// SocketName is the name of the socket in the data directory while a server runs.
const SocketName = "admin.sock"

// Client calls the API: of a server, by its socket or over TCP, or within this process. If
// the answer is an error, methods return it as an [*AnswerError]. A client over TCP gets
// status 404 for routes of the socket alone.
type Client struct {
	http    *http.Client
	base    url.URL
	token   string // "" on the socket
	running bool
	waits   *waitTransport // nil within this process
	close   func() error
}

// NewClient makes a client of a server that dial reaches. name is the server's name for
// people who wait for it.
func NewClient(dial func(ctx context.Context, network, address string) (net.Conn, error), name func() string) *Client {
	waits := &waitTransport{Transport: &http.Transport{DialContext: dial}, name: name}
	return &Client{
		http:    &http.Client{Transport: waits},
		base:    socketURL,
		running: true,
		waits:   waits,
		close:   func() error { return nil },
	}
}

// socketURL is the base URL on the socket, where the host does not matter.
var socketURL = url.URL{Scheme: "http", Host: "holdfast"}

// NewTokenClient makes a client of a server at a base URL, such as https://pins.example.com,
// with the token of an admin. A nil transport means the default one.
func NewTokenClient(base, token string, transport *http.Transport) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	waits := &waitTransport{Transport: transport, name: func() string { return "the server at " + u.Host }}
	return &Client{
		http:    &http.Client{Transport: waits},
		base:    *u,
		token:   token,
		running: true,
		waits:   waits,
		close:   func() error { return nil },
	}, nil
}

// NewLocalClient makes a client of a handler within this process. It serves the handler
// until the client is closed, and calls closed then.
func NewLocalClient(h http.Handler, closed func() error) *Client {
	l := pipe.New()
	s := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return &Client{
		http: &http.Client{Transport: &http.Transport{DialContext: l.Dial}},
		base: socketURL,
		close: func() error {
			err := s.Shutdown(context.Background()) // nobody but this client has requests under way
			<-served
			return errors.Join(err, closed())
		},
	}
}

// Running reports whether a server answers, rather than this process.
func (c *Client) Running() bool { return c.running }

// Close ends what the client started.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.close()
}

// call is a request.
type call struct {
	method, path string // the path is escaped
	query        url.Values
	account      string // it acts for this account, by address or id; "" names none
	in           any    // sent as JSON, if not nil
}

// do makes a request, and reads the answer into out unless that is nil.
func (c *Client) do(ctx context.Context, r call, out any) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// send makes a request and returns the answer, if it is a success. The caller closes the
// body.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	var body io.Reader
	if r.in != nil {
		b, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("ask the server: %w", err)
		}
		body = bytes.NewReader(b)
	}
	target := c.base.String() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.account != "" {
		req.Header.Set(userHeader, url.QueryEscape(r.account))
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which is made up on the socket
		}
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		return nil, readFailure(answer)
	}
	return answer, nil
}

// ForAccount gives a transport to the server for other APIs than this one, such as Kubo's RPC.
// It acts for an account, by its address or id; "" names none. Scheme and host of a request do
// not matter. It never says that an answer takes long: that of an upload does.
func (c *Client) ForAccount(account string) http.RoundTripper {
	inner := c.http.Transport
	if c.waits != nil {
		inner = c.waits.Transport
	}
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = c.base.Scheme, c.base.Host
		if account != "" {
			r.Header.Set(userHeader, url.QueryEscape(account))
		}
		return inner.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// AnswerError is an answer that is no success.
type AnswerError struct {
	Status  int
	details string
	Hint    string // what to do about it; "" if there is none
}

func (e *AnswerError) Error() string { return e.details }

// readFailure makes an error of an answer that is no success, with its hint.
func readFailure(answer *http.Response) error {
	var f Failure
	if err := json.NewDecoder(answer.Body).Decode(&f); err != nil || f.Error.Details == "" {
		f.Error.Details = "the server answered " + answer.Status
	}
	if hint, err := url.QueryUnescape(answer.Header.Get(hintHeader)); err == nil && f.Error.Hint == "" {
		f.Error.Hint = hint
	}
	return failed(answer.StatusCode, f)
}

// failed makes the error for a failure.
func failed(status int, f Failure) error {
	e := &AnswerError{Status: status, details: f.Error.Details, Hint: f.Error.Hint}
	if e.Hint != "" {
		return hint.Add(e, e.Hint)
	}
	return e
}

package kuborpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// basePath is above all commands.
const basePath = "/api/v0"

// Client calls commands. Its methods may be called concurrently.
type Client struct {
	base  string // ends in basePath
	token string // "" sends none
	http  *http.Client
}

// New makes a client of the server at an address: a URL, with or without /api/v0 at its end,
// or a multiaddr as Kubo's --api takes it. token is sent with each call, unless it is "". A nil
// transport is one of its own.
func New(address, token string, transport http.RoundTripper) (*Client, error) {
	base, err := baseURL(address)
	if err != nil {
		return nil, err
	}
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true // blocks do not compress, and X-Content-Length would lie
		transport = t
	}
	return &Client{base: base, token: token, http: &http.Client{
		Transport: transport,
		// What was uploaded cannot be sent again, and the token is for nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// baseURL reads an address.
func baseURL(address string) (string, error) {
	if strings.HasPrefix(address, "/") {
		a, err := ma.NewMultiaddr(address)
		if err != nil {
			return "", fmt.Errorf("the address of the RPC: %w", err)
		}
		scheme := "http"
		for _, p := range a.Protocols() {
			if p.Code == ma.P_HTTPS || p.Code == ma.P_TLS {
				scheme = "https"
			}
		}
		network, host, err := manet.DialArgs(a)
		if err != nil || !strings.HasPrefix(network, "tcp") {
			return "", fmt.Errorf("the address of the RPC: %s has no host and TCP port", address)
		}
		address = scheme + "://" + host
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("the address of the RPC is to be a URL such as https://pins.example.com, or a multiaddr such as /ip4/127.0.0.1/tcp/5001")
	}
	return u.Scheme + "://" + u.Host + strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), basePath) + basePath, nil
}

// Error is an answer that is no success.
type Error struct {
	Status  int
	Message string
	Hint    string // what to do about it; "" if the server did not say
}

func (e *Error) Error() string { return e.Message }

// Answer is the answer to a call. Reads end in [io.EOF] only if the server says that it was
// whole. The caller closes it.
type Answer struct {
	// Length is how many bytes the content has, before it is packed; -1 is not known.
	Length int64

	res  *http.Response
	sent *source // nil if nothing was sent
}

// Read implements [io.Reader].
func (a *Answer) Read(p []byte) (int, error) {
	n, err := a.res.Body.Read(p)
	if err == nil {
		return n, nil
	}
	if failed := a.sent.failed(); failed != nil {
		return n, failed
	}
	if errors.Is(err, io.EOF) {
		if message := a.res.Trailer.Get("X-Stream-Error"); message != "" {
			err = &Error{Status: a.res.StatusCode, Message: message}
		}
	} else {
		err = fmt.Errorf("the server's answer broke off: %w", err)
	}
	return n, err
}

// Close ends the call.
func (a *Answer) Close() error { return a.res.Body.Close() }

// call calls a command. body may be nil; else contentType is its type, and the server may
// refuse before it is read.
func (c *Client) call(ctx context.Context, command string, q url.Values, body io.Reader, contentType string) (*Answer, error) {
	var sent *source
	if body != nil {
		sent = &source{Reader: body}
		body = sent
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/"+command+"?"+q.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Expect", "100-continue")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		if failed := sent.failed(); failed != nil {
			return nil, failed
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, whose query is long
		}
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, readError(res)
	}
	a := &Answer{Length: -1, res: res, sent: sent}
	if n, err := strconv.ParseInt(res.Header.Get("X-Content-Length"), 10, 64); err == nil {
		a.Length = n
	}
	return a, nil
}

// readError reads an answer that is no success: Kubo's, or that of Holdfast's admin socket
// about the account.
func readError(res *http.Response) error {
	const enough = 16 << 10
	text, _ := io.ReadAll(io.LimitReader(res.Body, enough)) // what came of it is shown
	var object struct {
		Message string
		Error   struct{ Details, Hint string } `json:"error"`
	}
	e := &Error{Status: res.StatusCode}
	switch err := json.Unmarshal(text, &object); {
	case err == nil && object.Message != "":
		e.Message = object.Message
	case err == nil && object.Error.Details != "":
		e.Message, e.Hint = object.Error.Details, object.Error.Hint
	case res.Header.Get("Location") != "":
		e.Message = fmt.Sprintf("the server answers %s, and points to %s", res.Status, res.Header.Get("Location"))
	default:
		e.Message = fmt.Sprintf("the server answers %s: %.200q", res.Status, strings.TrimSpace(string(text)))
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && e.Hint == "" {
		e.Hint = fmt.Sprintf("try again in %v", time.Duration(seconds)*time.Second)
	}
	return e
}

// lines reads an answer of JSON objects, each into a new T.
func lines[T any](a *Answer, each func(T) error) error {
	for dec := json.NewDecoder(a); ; {
		var v T
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			if _, told := errors.AsType[*Error](err); told {
				return err
			}
			return fmt.Errorf("read the server's answer: %w", err)
		}
		if err := each(v); err != nil {
			return err
		}
	}
}
